#include "daemon/attempt_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/text.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"

/* These files are small; anything larger is not ours. */
#define ATTEMPT_FILE_BYTES_MAX (64 * KIB)
/* How far back the last line of a log is looked for. */
#define OUTPUT_TAIL_BYTES 2048

enum status job_folder_path(char *out, const char *state_folder, int64_t job, struct error *err)
{
    return path_printf(out, err, "%s/jobs/%lld", state_folder, (long long)job);
}

enum status run_folder_path(char *out, const char *state_folder, int64_t job, struct error *err)
{
    return path_printf(out, err, "%s/jobs/%lld/run", state_folder, (long long)job);
}

enum status attempt_folder_path(char *out, const char *state_folder, int64_t job, int attempt,
                                struct error *err)
{
    return path_printf(out, err, "%s/jobs/%lld/attempts/%d", state_folder, (long long)job, attempt);
}

enum status attempt_lock_take(int *fd, const char *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/%s", folder, ATTEMPT_LOCK_FILE);
    if (status) {
        return status;
    }
    int lock = sys_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    if (sys_flock(lock, LOCK_EX | LOCK_NB) < 0) {
        status = errno == EWOULDBLOCK
                     ? error_set(err, STATUS_BUSY, "'%s' is held by another process", path)
                     : error_from_errno(err, errno, "lock '%s'", path);
        (void)close(lock);
        return status;
    }
    *fd = lock;
    return STATUS_OK;
}

enum status attempt_scratch_remove(const char *folder, const char *shared_folder, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/%s", folder, ATTEMPT_TMP_FOLDER);
    if (status == STATUS_OK) {
        status = folder_remove(path, err);
    }
    if (status == STATUS_OK && shared_folder[0] != '\0') {
        status = folder_remove(shared_folder, err);
    }
    return status;
}

/* Writes an object as a file of the attempt folder; takes the object over. */
static enum status write_object(const char *folder, const char *name, json_t *object,
                                struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    if (!object) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", name);
    }
    json_canonical(&text, object);
    bytes_append_char(&text, '\n');
    enum status status = bytes_status(&text, name, err);
    if (status == STATUS_OK) {
        status = path_printf(path, err, "%s/%s", folder, name);
    }
    if (status == STATUS_OK) {
        status = file_write(path, text.data, text.size, 0600, err);
    }
    bytes_deinit(&text);
    json_decref(object);
    return status;
}

static enum status read_object(const char *folder, const char *name, json_t **out,
                               struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    enum status status = path_printf(path, err, "%s/%s", folder, name);
    if (status == STATUS_OK) {
        status = file_read(&text, path, ATTEMPT_FILE_BYTES_MAX, err);
    }
    if (status == STATUS_OK) {
        status = json_parse(out, text.data, text.size, path, err);
    }
    bytes_deinit(&text);
    return status;
}

void attempt_cgroup_read(char *out, const char *folder, const char *attempt_id)
{
    json_t *launch = NULL;
    size_t id_bytes = strlen(attempt_id);

    out[0] = '\0';
    if (read_object(folder, ATTEMPT_LAUNCH_FILE, &launch, NULL) == STATUS_OK) {
        const char *path = json_get_text(launch, "cgroup", "");
        size_t size = strlen(path);
        /* All that is in it is going to be killed: it had better be the attempt's. */
        if (size > id_bytes && size < PATH_BYTES_MAX &&
            strcmp(path + size - id_bytes, attempt_id) == 0) {
            memcpy(out, path, size + 1);
        }
    }
    json_decref(launch);
}

enum status shim_record_write(const char *folder, const char *attempt_id,
                              const struct process_identity *shim, struct error *err)
{
    return write_object(folder, ATTEMPT_SHIM_FILE,
                        json_pack("{s:s, s:s, s:I, s:I, s:I}", "attempt_id", attempt_id, "boot_id",
                                  shim->boot_id, "pid", (json_int_t)shim->pid, "start_time",
                                  (json_int_t)shim->start_ticks, "started_ms",
                                  (json_int_t)sys_realtime_ms()),
                        err);
}

enum status shim_record_read(const char *folder, struct process_identity *out, struct error *err)
{
    json_t *object = NULL;

    enum status status = read_object(folder, ATTEMPT_SHIM_FILE, &object, err);
    if (status) {
        return status;
    }
    (void)snprintf(out->boot_id, sizeof out->boot_id, "%s", json_get_text(object, "boot_id", ""));
    out->pid = json_get_int(object, "pid", 0);
    out->start_ticks = (uint64_t)json_get_int(object, "start_time", 0);
    json_decref(object);
    if (out->pid <= 1) {
        return error_set(err, STATUS_CORRUPT, "'%s/%s': no pid in it", folder, ATTEMPT_SHIM_FILE);
    }
    return STATUS_OK;
}

enum status exit_record_write(const char *folder, const struct exit_record *record,
                              struct error *err)
{
    json_t *object = json_pack("{s:i, s:i, s:b, s:b, s:I, s:s}", "exit_code", record->exit_code,
                               "signal", record->signal, "cancelled", record->is_cancelled,
                               "never_started", record->never_started, "ended_ms",
                               (json_int_t)record->ended_ms, "message", record->message);
    return write_object(folder, ATTEMPT_EXIT_FILE, object, err);
}

enum status exit_record_read(const char *folder, struct exit_record *out, struct error *err)
{
    json_t *object = NULL;

    enum status status = read_object(folder, ATTEMPT_EXIT_FILE, &object, err);
    if (status) {
        return status;
    }
    *out = (struct exit_record){
        .exit_code = (int)json_get_int(object, "exit_code", -1),
        .signal = (int)json_get_int(object, "signal", 0),
        .is_cancelled = json_get_bool(object, "cancelled", false),
        .never_started = json_get_bool(object, "never_started", false),
        .ended_ms = json_get_int(object, "ended_ms", 0),
    };
    (void)snprintf(out->message, sizeof out->message, "%s", json_get_text(object, "message", ""));
    json_decref(object);
    return STATUS_OK;
}

enum status token_create(const char *folder, char *out, struct error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[(TOKEN_HEX_BYTES - 1) / 2];
    char path[PATH_BYTES_MAX];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return error_from_errno(err, errno, "random bytes");
    }
    for (size_t i = 0; i < sizeof random; i++) {
        out[2 * i] = digits[random[i] >> 4];
        out[2 * i + 1] = digits[random[i] & 15];
    }
    out[TOKEN_HEX_BYTES - 1] = '\0';
    enum status status = path_printf(path, err, "%s/%s", folder, ATTEMPT_TOKEN_FILE);
    return status ? status : file_write(path, out, TOKEN_HEX_BYTES - 1, 0600, err);
}

enum status token_read(const char *folder, char *out, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    enum status status = path_printf(path, err, "%s/%s", folder, ATTEMPT_TOKEN_FILE);
    if (status == STATUS_OK) {
        status = file_read(&text, path, TOKEN_HEX_BYTES, err);
    }
    if (status == STATUS_OK && text.size != TOKEN_HEX_BYTES - 1) {
        status = error_set(err, STATUS_CORRUPT, "'%s': has %zu bytes, a token %d", path, text.size,
                           TOKEN_HEX_BYTES - 1);
    }
    if (status == STATUS_OK) {
        memcpy(out, text.data, TOKEN_HEX_BYTES);
    }
    bytes_deinit(&text);
    return status;
}

bool rank_error_read(const char *folder, int ranks, struct error *out)
{
    struct timespec earliest = {0};
    bool is_found = false;

    for (int rank = 0; rank < ranks; rank++) {
        char name[64];
        char path[PATH_BYTES_MAX];
        struct stat info;
        json_t *object = NULL;
        (void)snprintf(name, sizeof name, "rank-%d.error.json", rank);
        if (path_printf(path, NULL, "%s/%s", folder, name) != STATUS_OK || stat(path, &info) < 0) {
            continue;
        }
        bool is_earlier =
            !is_found || info.st_mtim.tv_sec < earliest.tv_sec ||
            (info.st_mtim.tv_sec == earliest.tv_sec && info.st_mtim.tv_nsec < earliest.tv_nsec);
        if (!is_earlier || read_object(folder, name, &object, NULL) != STATUS_OK) {
            continue;
        }
        (void)error_set(out, status_from_name(json_get_text(object, "status", "")), "rank %d: %s",
                        rank, json_get_text(object, "message", ""));
        error_set_field(out, "%s", json_get_text(object, "field", ""));
        error_set_hint(out, "%s", json_get_text(object, "hint", ""));
        json_decref(object);
        earliest = info.st_mtim;
        is_found = true;
    }
    return is_found;
}

void output_last_line(const char *folder, char *out, size_t size)
{
    char path[PATH_BYTES_MAX];
    char tail[OUTPUT_TAIL_BYTES];

    out[0] = '\0';
    if (path_printf(path, NULL, "%s/%s", folder, ATTEMPT_OUTPUT_FILE) != STATUS_OK) {
        return;
    }
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    int64_t file_bytes = file_size(path);
    off_t offset = file_bytes > OUTPUT_TAIL_BYTES ? (off_t)(file_bytes - OUTPUT_TAIL_BYTES) : 0;
    ssize_t count = pread(fd, tail, sizeof tail - 1, offset);
    (void)close(fd);
    while (count > 0 && (tail[count - 1] == '\n' || tail[count - 1] == ' ')) {
        count--;
    }
    if (count > 0) {
        tail[count] = '\0';
        const char *newline = strrchr(tail, '\n');
        text_copy_printable(out, size, newline ? newline + 1 : tail);
    }
}
