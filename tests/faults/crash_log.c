#include "tests/faults/crash_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/sys.h"
#include "tests/support/test.h"

/* What a torn write leaves: the first half, and the rest as zeros. */
#define TORN_PART 2

static void *grow(void *array, size_t count, size_t element_bytes)
{
    void *out = realloc(array, (count + 1) * element_bytes);
    assert_non_null(out);
    memset((char *)out + count * element_bytes, 0, element_bytes);
    return out;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

/* The part of path below the folder ("" for itself), or NULL when it lies elsewhere. */
static const char *below(const struct crash_log *log, const char *path)
{
    size_t length = strlen(log->folder);
    if (path == NULL || strncmp(path, log->folder, length) != 0) {
        return NULL;
    }
    return path[length] == '/' ? path + length + 1 : path[length] == '\0' ? path + length : NULL;
}

static int find_node(const struct crash_log *log, const char *path)
{
    for (int i = 0; i < log->node_count; i++) {
        if (log->nodes[i].path != NULL && strcmp(log->nodes[i].path, path) == 0) {
            return i;
        }
    }
    return -1;
}

static int add_node(struct crash_log *log, const char *path, bool is_folder)
{
    log->nodes = grow(log->nodes, (size_t)log->node_count, sizeof *log->nodes);
    log->nodes[log->node_count] = (struct crash_node){copy_text(path), is_folder};
    return log->node_count++;
}

static struct crash_call *add_call(struct crash_log *log, enum crash_change change, int node,
                                   const char *path)
{
    log->calls = grow(log->calls, log->call_count, sizeof *log->calls);
    struct crash_call *call = &log->calls[log->call_count++];
    call->change = change;
    call->node = node;
    call->path = copy_text(path);
    call->phase = log->phase;
    return call;
}

static void set_entry(struct crash_log *log, struct crash_entry *entry, const char *path, int node)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? copy_text("") : strndup(path, (size_t)(slash - path));
    assert_non_null(folder);
    entry->folder = find_node(log, folder);
    entry->name = copy_text(slash == NULL ? path : slash + 1);
    entry->node = node;
    assert_true(entry->folder >= 0);
    free(folder);
}

static void note_new(struct crash_log *log, const char *path, bool is_folder)
{
    int node = add_node(log, path, is_folder);
    set_entry(log, &add_call(log, CRASH_CHANGE_ENTRY, node, path)->entries[0], path, node);
}

static void note_open(struct crash_log *log, const char *path, int flags)
{
    if ((flags & O_CREAT) != 0 && find_node(log, path) < 0) {
        note_new(log, path, false);
    } else if ((flags & O_TRUNC) != 0) {
        (void)add_call(log, CRASH_CHANGE_TRUNCATE, find_node(log, path), path);
    }
}

static void forget(struct crash_log *log, int node)
{
    free(log->nodes[node].path);
    log->nodes[node].path = NULL;
}

static void note_removed(struct crash_log *log, const char *path)
{
    int node = find_node(log, path);
    if (node < 0) {
        return; /* the call will fail */
    }
    set_entry(log, &add_call(log, CRASH_CHANGE_ENTRY, node, path)->entries[0], path, -1);
    forget(log, node);
}

static void note_renamed(struct crash_log *log, const char *from, const char *to)
{
    int node = find_node(log, from);
    int replaced = find_node(log, to);
    assert_true(node > 0);
    struct crash_call *call = add_call(log, CRASH_CHANGE_ENTRY, node, to);
    set_entry(log, &call->entries[0], from, -1);
    set_entry(log, &call->entries[1], to, node);
    if (replaced >= 0) {
        forget(log, replaced);
    }
    forget(log, node);
    log->nodes[node].path = copy_text(to);
}

static void note_write(struct crash_log *log, const struct sys_event *event, const char *path)
{
    struct crash_call *call = add_call(log, CRASH_CHANGE_WRITE, find_node(log, path), path);
    off_t offset = lseek(event->fd, 0, SEEK_CUR);
    assert_true(offset >= 0);
    call->offset = (size_t)offset;
    call->size = event->size;
    call->data = malloc(event->size + 1);
    assert_non_null(call->data);
    memcpy(call->data, event->data, event->size);
}

/* The path that a descriptor was opened by. */
static const char *path_of_fd(char out[PATH_BYTES_MAX], int fd)
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_BYTES_MAX - 1);
    if (length < 0) {
        return NULL;
    }
    out[length] = '\0';
    return out;
}

/* Notes a call that is about to happen. What only reads changes nothing, nor does what will fail:
 * a folder that is there, a name that is not. */
static int note(void *context, const struct sys_event *event)
{
    struct crash_log *log = context;
    char buffer[PATH_BYTES_MAX];
    const char *path = below(log, event->fd >= 0 ? path_of_fd(buffer, event->fd) : event->path);
    if (path == NULL) {
        return 0;
    }
    if (log->dies_after > 0 && log->call_count >= log->dies_after) {
        return EIO;
    }
    switch (event->call) {
    case SYS_CALL_OPEN:
        note_open(log, path, event->flags);
        break;
    case SYS_CALL_WRITE:
        note_write(log, event, path);
        break;
    case SYS_CALL_FDATASYNC:
    case SYS_CALL_FSYNC:
        (void)add_call(log, CRASH_CHANGE_SYNC, find_node(log, path), path);
        break;
    case SYS_CALL_RENAME:
        note_renamed(log, path, below(log, event->to_path));
        break;
    case SYS_CALL_UNLINK:
    case SYS_CALL_RMDIR:
        note_removed(log, path);
        break;
    case SYS_CALL_MKDIR:
        if (find_node(log, path) < 0) {
            note_new(log, path, true);
        }
        break;
    case SYS_CALL_TRUNCATE:
        fail_msg("the model has no ftruncate");
        break;
    case SYS_CALL_ALLOC:
    case SYS_CALL_READ:
    case SYS_CALL_MMAP:
    case SYS_CALL_LOCK:
        break;
    }
    return 0;
}

void crash_log_start(struct crash_log *log, const char *folder)
{
    *log = (struct crash_log){.folder = copy_text(folder)};
    (void)add_node(log, "", true);
    sys_set_hook(note, log);
}

void crash_log_stop(void)
{
    sys_set_hook(NULL, NULL);
}

void crash_log_deinit(struct crash_log *log)
{
    for (size_t i = 0; i < log->call_count; i++) {
        free(log->calls[i].path);
        free(log->calls[i].data);
        free(log->calls[i].entries[0].name);
        free(log->calls[i].entries[1].name);
    }
    for (int i = 0; i < log->node_count; i++) {
        free(log->nodes[i].path);
    }
    free(log->calls);
    free(log->nodes);
    free(log->folder);
    *log = (struct crash_log){0};
}

/* The disk after a crash: entries that are there, and the data of files. */
struct disk {
    struct crash_entry *entries; /* names borrowed from the log */
    size_t entry_count;
    struct bytes *data; /* by node */
};

static void disk_set(struct disk *disk, const struct crash_entry *entry)
{
    for (size_t i = 0; i < disk->entry_count; i++) {
        struct crash_entry *found = &disk->entries[i];
        if (found->folder == entry->folder && strcmp(found->name, entry->name) == 0) {
            found->node = entry->node;
            return;
        }
    }
    disk->entries = grow(disk->entries, disk->entry_count, sizeof *disk->entries);
    disk->entries[disk->entry_count++] = *entry;
}

static void disk_write(struct disk *disk, const struct crash_call *call, enum crash_fate fate)
{
    struct bytes *data = &disk->data[call->node];
    const size_t end = call->offset + call->size;
    const size_t kept = fate == CRASH_FATE_TORN ? call->size / TORN_PART : call->size;
    while (data->size < end) {
        bytes_append_char(data, '\0');
    }
    assert_true(data->size >= end);
    memcpy(data->data + call->offset, call->data, kept);
}

/* Whether one of the calls up to call_count makes all changes of the node up to index durable. */
static bool is_synced(const struct crash_log *log, size_t index, int node, size_t call_count,
                      crash_sync_fn *sync, void *context)
{
    for (size_t i = index + 1; i < call_count; i++) {
        const struct crash_call *call = &log->calls[i];
        if (call->change == CRASH_CHANGE_SYNC && call->node == node &&
            (sync == NULL || sync(context, call))) {
            return true;
        }
    }
    return false;
}

/* Files are linked nowhere but in one folder; each folder's entries lie below its own. */
// NOLINTNEXTLINE(misc-no-recursion): as deep as the folders are
static void make_folder(const struct crash_log *log, const struct disk *disk, int node,
                        const char *path)
{
    for (size_t i = 0; i < disk->entry_count; i++) {
        const struct crash_entry *entry = &disk->entries[i];
        char child[PATH_BYTES_MAX];
        if (entry->folder != node || entry->node < 0) {
            continue;
        }
        (void)snprintf(child, sizeof child, "%s/%s", path, entry->name);
        if (log->nodes[entry->node].is_folder) {
            assert_int_equal(mkdir(child, 0700), 0);
            make_folder(log, disk, entry->node, child);
            continue;
        }
        const struct bytes *data = &disk->data[entry->node];
        FILE *file = fopen(child, "wbe");
        assert_non_null(file);
        assert_int_equal(fwrite(data->size ? data->data : "", 1, data->size, file), data->size);
        assert_int_equal(fclose(file), 0);
    }
}

void crash_log_replay(const struct crash_log *log, const char *folder, size_t call_count,
                      crash_fate_fn *fate, crash_sync_fn *sync, void *context)
{
    struct disk disk = {.data = calloc((size_t)log->node_count, sizeof *disk.data)};
    assert_non_null(disk.data);
    assert_true(call_count <= log->call_count);
    for (size_t i = 0; i < call_count; i++) {
        const struct crash_call *call = &log->calls[i];
        if (call->change == CRASH_CHANGE_SYNC) {
            continue;
        }
        /* Both names of a rename are in one folder. */
        int holder = call->change == CRASH_CHANGE_ENTRY ? call->entries[0].folder : call->node;
        enum crash_fate what = is_synced(log, i, holder, call_count, sync, context)
                                   ? CRASH_FATE_KEPT
                                   : fate(context, log, i);
        if (call->change == CRASH_CHANGE_WRITE && what != CRASH_FATE_DROPPED) {
            disk_write(&disk, call, what);
        } else if (call->change == CRASH_CHANGE_TRUNCATE && what == CRASH_FATE_KEPT) {
            bytes_clear(&disk.data[call->node]);
        } else if (call->change == CRASH_CHANGE_ENTRY && what == CRASH_FATE_KEPT) {
            for (size_t k = 0; k < 2 && call->entries[k].name != NULL; k++) {
                disk_set(&disk, &call->entries[k]);
            }
        }
    }
    make_folder(log, &disk, 0, folder);
    for (int i = 0; i < log->node_count; i++) {
        bytes_deinit(&disk.data[i]);
    }
    free(disk.data);
    free(disk.entries);
}
