#include "proto/base/file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/limits.h"
#include "proto/base/sys.h"

#define READ_PIECE_BYTES (64 * KIB)

/* Appends all of fd to out; true unless a call failed (errno). Stops once past size_max. */
static bool read_rest(struct bytes *out, int fd, size_t size_max)
{
    while (out->size <= size_max) {
        if (!bytes_reserve(out, READ_PIECE_BYTES)) {
            errno = ENOMEM;
            return false;
        }
        ssize_t count = sys_read(fd, out->data + out->size, READ_PIECE_BYTES);
        if (count <= 0) {
            return count == 0;
        }
        out->size += (size_t)count;
        out->data[out->size] = '\0';
    }
    return true;
}

enum status file_read(struct bytes *out, const char *path, size_t size_max, struct error *err)
{
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    enum status status = STATUS_OK;
    struct stat facts;
    bytes_clear(out);
    if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0 &&
        (uint64_t)facts.st_size <= size_max) {
        /* One allocation for what is there. A failure shows in read_rest. */
        (void)!bytes_reserve(out, (size_t)facts.st_size + READ_PIECE_BYTES);
    }
    if (!read_rest(out, fd, size_max)) {
        status = error_from_errno(err, errno, "read '%s'", path);
    } else if (out->size > size_max) {
        status = error_set(err, STATUS_LIMIT, "'%s' has more than %zu bytes", path, size_max);
    }
    if (status) {
        bytes_clear(out);
    }
    (void)close(fd);
    return status;
}

/* The folder that path lies in, into out[PATH_BYTES_MAX]. */
static enum status folder_of(char *out, const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return path_printf(out, err, ".");
    }
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    return path_printf(out, err, "%.*s", (int)length, path);
}

static enum status folder_of_sync(const char *path, struct error *err)
{
    char folder[PATH_BYTES_MAX];
    enum status status = folder_of(folder, path, err);
    return status ? status : folder_sync(folder, err);
}

/* Writes path's new content to its temporary sibling, durably. */
static enum status write_aside(const char *temporary, const void *data, size_t size, mode_t mode,
                               struct error *err)
{
    int fd = sys_open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return error_from_errno(err, errno, "create '%s'", temporary);
    }
    enum status status = STATUS_OK;
    if (sys_write_all(fd, data, size) != 0) {
        status = error_from_errno(err, errno, "write '%s'", temporary);
    } else if (sys_fdatasync(fd) != 0) {
        status = error_from_errno(err, errno, "sync '%s'", temporary);
    }
    (void)close(fd);
    if (status) {
        (void)unlink(temporary);
    }
    return status;
}

/* Renames temporary to path, for which is_new says that it must be free, and syncs the folder. */
static enum status appear(const char *temporary, const char *path, bool is_new, struct error *err)
{
    int renamed = is_new ? sys_rename_new(temporary, path) : sys_rename(temporary, path);
    if (renamed != 0) {
        enum status status = error_from_errno(err, errno, "create '%s'", path);
        (void)unlink(temporary);
        return status;
    }
    return folder_of_sync(path, err);
}

static enum status write_whole(const char *path, const void *data, size_t size, mode_t mode,
                               bool is_new, struct error *err)
{
    char temporary[PATH_BYTES_MAX];

    enum status status = file_temporary(temporary, path, err);
    if (status) {
        return status;
    }
    status = write_aside(temporary, data, size, mode, err);
    return status ? status : appear(temporary, path, is_new, err);
}

enum status file_replace(const char *temporary, const char *path, struct error *err)
{
    return appear(temporary, path, false, err);
}

enum status file_temporary(char *out, const char *path, struct error *err)
{
    return path_printf(out, err, "%s" FILE_TEMPORARY_MARK "%ld-%ld", path, (long)getpid(),
                       (long)gettid());
}

enum status file_write(const char *path, const void *data, size_t size, mode_t mode,
                       struct error *err)
{
    return write_whole(path, data, size, mode, false, err);
}

enum status file_create(const char *path, const void *data, size_t size, mode_t mode,
                        struct error *err)
{
    return write_whole(path, data, size, mode, true, err);
}

enum status folder_sync(const char *path, struct error *err)
{
    int fd = sys_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0) {
        return error_from_errno(err, errno, "open folder '%s'", path);
    }
    enum status status = STATUS_OK;
    if (sys_fsync(fd) != 0) {
        status = error_from_errno(err, errno, "sync folder '%s'", path);
    }
    (void)close(fd);
    return status;
}

/* One mkdir; a folder that is there already is fine. */
static enum status folder_create_one(const char *path, mode_t mode, struct error *err)
{
    struct stat facts;
    if (stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        return STATUS_OK;
    }
    if (sys_mkdir(path, mode) == 0) {
        return folder_of_sync(path, err);
    }
    int errno_value = errno;
    if (errno_value == EEXIST && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        return STATUS_OK; /* another process was faster */
    }
    return error_from_errno(err, errno_value, "create folder '%s'", path);
}

enum status folder_create(const char *path, mode_t mode, struct error *err)
{
    char prefix[PATH_BYTES_MAX];

    enum status status = path_printf(prefix, err, "%s", path);
    for (char *at = prefix; status == STATUS_OK && *at != '\0'; at++) {
        if (*at == '/' && at != prefix && at[-1] != '/') {
            *at = '\0';
            status = folder_create_one(prefix, mode, err);
            *at = '/';
        }
    }
    size_t length = status ? 0 : strlen(prefix);
    while (length > 1 && prefix[length - 1] == '/') {
        prefix[--length] = '\0';
    }
    return status ? status : folder_create_one(prefix, mode, err);
}

/* Removes what path[PATH_BYTES_MAX] names; path is used as a stack of names and left as it was. */
// NOLINTNEXTLINE(misc-no-recursion): as deep as the folders are, one descriptor each
static enum status remove_tree(char *path, struct error *err)
{
    int fd = sys_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0 && errno == ENOENT) {
        return STATUS_OK;
    }
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP)) {
        return sys_unlink(path) == 0 || errno == ENOENT
                   ? STATUS_OK
                   : error_from_errno(err, errno, "remove '%s'", path);
    }
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        int errno_value = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return error_from_errno(err, errno_value, "open folder '%s'", path);
    }
    enum status status = STATUS_OK;
    size_t length = strlen(path);
    const struct dirent *entry = NULL;
    while (status == STATUS_OK && (entry = readdir(folder)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        int added = snprintf(path + length, PATH_BYTES_MAX - length, "/%s", entry->d_name);
        status = added < 0 || (size_t)added >= PATH_BYTES_MAX - length
                     ? error_set(err, STATUS_LIMIT, "path in '%s' is too long", path)
                     : remove_tree(path, err);
        path[length] = '\0';
    }
    (void)closedir(folder);
    if (status == STATUS_OK && sys_rmdir(path) != 0 && errno != ENOENT) {
        status = error_from_errno(err, errno, "remove folder '%s'", path);
    }
    return status;
}

enum status folder_remove(const char *path, struct error *err)
{
    char stack[PATH_BYTES_MAX];
    enum status status = path_printf(stack, err, "%s", path);
    return status ? status : remove_tree(stack, err);
}

bool file_exists(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0;
}

int64_t file_size(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 ? (int64_t)facts.st_size : -1;
}

enum status path_printf(char *out, struct error *err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, PATH_BYTES_MAX, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= PATH_BYTES_MAX) {
        out[PATH_BYTES_MAX - 1] = '\0';
        return error_set(err, STATUS_LIMIT, "path '%.64s…' has more than %d bytes", out,
                         PATH_BYTES_MAX - 1);
    }
    return STATUS_OK;
}

enum status path_resolve(char *out, const char *folder, const char *path, struct error *err)
{
    if (folder == NULL || path[0] == '/') {
        return path_printf(out, err, "%s", path);
    }
    return path_printf(out, err, "%s/%s", folder, path);
}
