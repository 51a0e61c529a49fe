#include "worker/text/input.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "worker/text/prepare_json.h"

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "list of input files: out of memory");
}

static int64_t modified_ns(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

static enum status add_file(struct input_list *list, const char *path, const struct stat *info,
                            struct error *err)
{
    if (list->count == INPUT_FILES_MAX) {
        return error_set(err, STATUS_LIMIT, "more than %d input files", INPUT_FILES_MAX);
    }
    if (access(path, R_OK) != 0) {
        return error_from_errno(err, errno, "'%s'", path);
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct input_file *files = sys_realloc(list->files, capacity * sizeof *files);
        if (!files) {
            return no_memory(err);
        }
        list->files = files;
        list->capacity = capacity;
    }
    char *copy = sys_strdup(path);
    if (!copy) {
        return no_memory(err);
    }
    list->files[list->count++] =
        (struct input_file){.path = copy, .bytes = info->st_size, .modified_ns = modified_ns(info)};
    return STATUS_OK;
}

static bool ends_with(const char *name, size_t size, const char *end)
{
    size_t end_size = strlen(end);
    return size > end_size && memcmp(name + size - end_size, end, end_size) == 0;
}

static bool has_text_name(const char *name)
{
    static const char *const kinds[] = {".xml", ".jsonl", ".ndjson", ".json",
                                        ".txt", ".text",  ".md"};
    static const char *const packings[] = {".gz", ".zst"};
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof packings / sizeof *packings; i++) {
        if (ends_with(name, size, packings[i])) {
            size -= strlen(packings[i]);
            break;
        }
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (ends_with(name, size, kinds[i])) {
            return true;
        }
    }
    return false;
}

static enum status add_folder(struct input_list *list, const char *folder, int depth,
                              struct error *err);

/* Outputs often lie beside the texts; their JSON is no text. */
static bool is_output(const char *path)
{
    char marker[PATH_BYTES_MAX];
    struct error ignored;
    return ends_with(path, strlen(path), ".partial") ||
           (path_printf(marker, &ignored, "%s/%s", path, PREPARE_JSON) == STATUS_OK &&
            file_exists(marker));
}

static enum status add_entry(struct input_list *list, const char *folder, const char *name,
                             int depth, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct stat info;

    enum status status = path_printf(path, err, "%s/%s", folder, name);
    if (status) {
        return status;
    }
    if (lstat(path, &info) != 0) {
        return error_from_errno(err, errno, "'%s'", path);
    }
    if (S_ISDIR(info.st_mode)) {
        return is_output(path) ? STATUS_OK : add_folder(list, path, depth + 1, err);
    }
    if (S_ISLNK(info.st_mode) && (stat(path, &info) != 0 || S_ISDIR(info.st_mode))) {
        list->skipped++;
        return STATUS_OK;
    }
    if (!S_ISREG(info.st_mode) || !has_text_name(name)) {
        list->skipped++;
        return STATUS_OK;
    }
    return add_file(list, path, &info, err);
}

static enum status add_folder(struct input_list *list, const char *folder, int depth,
                              struct error *err)
{
    if (depth > INPUT_DEPTH_MAX) {
        return error_set(err, STATUS_LIMIT, "'%s': folders nest deeper than %d", folder,
                         INPUT_DEPTH_MAX);
    }
    DIR *entries = opendir(folder);
    if (!entries) {
        return error_from_errno(err, errno, "'%s'", folder);
    }
    enum status status = STATUS_OK;
    const struct dirent *entry;
    while (!status && (errno = 0, entry = readdir(entries))) {
        if (entry->d_name[0] != '.') {
            status = add_entry(list, folder, entry->d_name, depth, err);
        }
    }
    if (!status && errno != 0) {
        status = error_from_errno(err, errno, "'%s': read", folder);
    }
    (void)closedir(entries);
    return status;
}

static enum status add_path(struct input_list *list, const char *path, struct error *err)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return error_from_errno(err, errno, "'%s'", path);
    }
    if (S_ISDIR(info.st_mode)) {
        return add_folder(list, path, 0, err);
    }
    if (!S_ISREG(info.st_mode)) {
        return error_set(err, STATUS_INVALID, "'%s' is neither a file nor a folder", path);
    }
    return add_file(list, path, &info, err);
}

static enum status add_glob(struct input_list *list, const char *pattern, struct error *err)
{
    glob_t found = {0};
    enum status status = STATUS_OK;
    int result = glob(pattern, GLOB_NOSORT | GLOB_BRACE | GLOB_TILDE, NULL, &found);
    if (result == GLOB_NOSPACE) {
        status = no_memory(err);
    } else if (result != 0) {
        status = error_set(err, STATUS_NOT_FOUND, "no file matches '%s'", pattern);
    }
    for (size_t i = 0; !status && i < found.gl_pathc; i++) {
        status = add_path(list, found.gl_pathv[i], err);
    }
    globfree(&found);
    return status;
}

/* A name that exists is taken as it is, even when it has characters of a glob. */
static enum status add_input(struct input_list *list, const char *input, struct error *err)
{
    size_t before = list->count;
    enum status status = !file_exists(input) && strpbrk(input, "*?[{~")
                             ? add_glob(list, input, err)
                             : add_path(list, input, err);
    if (!status && list->count == before) {
        status = error_set(err, STATUS_NOT_FOUND, "'%s': no text files in it", input);
        error_set_hint(err, "in folders .xml, .jsonl, .json and .txt are read, also .gz and .zst; "
                            "name other files themselves");
    }
    return status;
}

static int compare_files(const void *a, const void *b)
{
    const struct input_file *file_a = a;
    const struct input_file *file_b = b;
    return strcmp(file_a->path, file_b->path);
}

static void sort_and_unite(struct input_list *list)
{
    size_t kept = 0;
    if (list->count == 0) {
        return;
    }
    qsort(list->files, list->count, sizeof *list->files, compare_files);
    list->bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->files[kept - 1].path, list->files[i].path) == 0) {
            free(list->files[i].path);
            continue;
        }
        list->files[kept++] = list->files[i];
        list->bytes += list->files[i].bytes;
    }
    list->count = kept;
}

enum status input_list_fill(struct input_list *list, const char *const *inputs, size_t input_count,
                            struct error *err)
{
    for (size_t i = 0; i < input_count; i++) {
        enum status status = add_input(list, inputs[i], err);
        if (status) {
            error_set_field(err, "inputs[%zu]", i);
            return status;
        }
    }
    sort_and_unite(list);
    return STATUS_OK;
}

enum status input_list_check_unchanged(const struct input_list *list, struct error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct input_file *file = &list->files[i];
        struct stat info;
        if (stat(file->path, &info) != 0) {
            return error_from_errno(err, errno, "'%s'", file->path);
        }
        if (info.st_size != file->bytes || modified_ns(&info) != file->modified_ns) {
            return error_set(err, STATUS_CONFLICT, "'%s' was changed while it was read",
                             file->path);
        }
    }
    return STATUS_OK;
}

void input_list_deinit(struct input_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->files[i].path);
    }
    free(list->files);
    *list = (struct input_list){0};
}
