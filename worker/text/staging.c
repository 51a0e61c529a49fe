#include "worker/text/staging.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/sys.h"

#define LOCK_TRIES 8

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_empty_folder(const char *path)
{
    DIR *entries = opendir(path);
    if (!entries) {
        return false;
    }
    const struct dirent *entry;
    bool is_empty = true;
    while (is_empty && (entry = readdir(entries))) {
        is_empty = is_dots(entry->d_name);
    }
    (void)closedir(entries);
    return is_empty;
}

static enum status check_output(const char *output, const char *marker, struct error *err)
{
    char path[PATH_BYTES_MAX];
    enum status status = path_printf(path, err, "%s/%s", output, marker);
    if (status) {
        return status;
    }
    if (!file_exists(output) || file_exists(path) || is_empty_folder(output)) {
        return STATUS_OK;
    }
    (void)error_set(err, STATUS_CONFLICT, "'%s' exists and was not made by this command", output);
    error_set_field(err, "output");
    error_set_hint(err, "name another output folder, or remove it first");
    return STATUS_CONFLICT;
}

/* Removes what a builder that died has left. */
static enum status empty_folder(const char *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];
    enum status status = STATUS_OK;
    DIR *entries = opendir(folder);
    if (!entries) {
        return error_from_errno(err, errno, "'%s'", folder);
    }
    const struct dirent *entry;
    while (!status && (entry = readdir(entries))) {
        if (is_dots(entry->d_name)) {
            continue;
        }
        struct stat info;
        status = path_printf(path, err, "%s/%s", folder, entry->d_name);
        if (!status && lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
            status = folder_remove(path, err);
        } else if (!status && sys_unlink(path) != 0) {
            status = error_from_errno(err, errno, "'%s': remove", path);
        }
    }
    (void)closedir(entries);
    return status;
}

/* The folder that we have a lock on may have been moved away by its former builder meanwhile. */
static bool is_still_there(int fd, const char *folder)
{
    struct stat locked;
    struct stat found;
    return fstat(fd, &locked) == 0 && stat(folder, &found) == 0 && locked.st_ino == found.st_ino &&
           locked.st_dev == found.st_dev;
}

static enum status lock_folder(struct staging *staging, struct error *err)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        enum status status = folder_create(staging->folder, 0777, err);
        if (status) {
            (void)rmdir(staging->folder); /* made, but not durable */
            return status;
        }
        int fd = sys_open(staging->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (fd < 0) {
            status = error_from_errno(err, errno, "'%s'", staging->folder);
            (void)rmdir(staging->folder); /* unless it holds something */
            return status;
        }
        if (sys_flock(fd, LOCK_EX | LOCK_NB) != 0) {
            status = errno == EWOULDBLOCK
                         ? error_set(err, STATUS_BUSY, "'%s' is being made by another process",
                                     staging->output)
                         : error_from_errno(err, errno, "'%s': lock", staging->folder);
            (void)close(fd);
            return status;
        }
        if (is_still_there(fd, staging->folder)) {
            staging->lock_fd = fd;
            staging->is_open = true;
            return STATUS_OK;
        }
        (void)close(fd);
    }
    return error_set(err, STATUS_BUSY, "'%s' is being made by another process", staging->output);
}

enum status staging_open(struct staging *staging, const char *output, const char *marker,
                         struct error *err)
{
    size_t size = strlen(output);
    while (size > 1 && output[size - 1] == '/') {
        size--;
    }
    *staging = (struct staging){.lock_fd = -1};
    enum status status = path_printf(staging->output, err, "%.*s", (int)size, output);
    if (!status) {
        status = path_printf(staging->folder, err, "%s.partial", staging->output);
    }
    if (!status) {
        status = check_output(staging->output, marker, err);
    }
    if (!status) {
        status = lock_folder(staging, err);
    }
    if (!status) {
        status = empty_folder(staging->folder, err);
    }
    return status;
}

/* What cannot be removed stays for the next builder to empty. */
static void remove_or_leave(const char *folder)
{
    struct error ignored;
    enum status status = folder_remove(folder, &ignored);
    (void)status;
}

/* Where file systems cannot exchange two folders there is a moment without output. */
static int exchange(const char *from, const char *to)
{
    char aside[PATH_BYTES_MAX];
    struct error ignored;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    if (path_printf(aside, &ignored, "%s.old", from) != STATUS_OK) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (sys_rename(to, aside) != 0 || sys_rename(from, to) != 0) {
        return -1;
    }
    return sys_rename(aside, from);
}

static enum status sync_parent(const char *path, struct error *err)
{
    char parent[PATH_BYTES_MAX];
    enum status status = path_printf(parent, err, "%s", path);
    if (status) {
        return status;
    }
    char *slash = strrchr(parent, '/');
    if (!slash) {
        return folder_sync(".", err);
    }
    slash[slash == parent] = '\0';
    return folder_sync(parent, err);
}

enum status staging_commit(struct staging *staging, struct error *err)
{
    assert(staging->is_open);
    enum status status = folder_sync(staging->folder, err);
    if (status) {
        return status;
    }
    int result = sys_rename(staging->folder, staging->output);
    bool is_replaced = result != 0 && (errno == ENOTEMPTY || errno == EEXIST);
    if (is_replaced) {
        result = exchange(staging->folder, staging->output);
    }
    if (result != 0) {
        return error_from_errno(err, errno, "'%s': rename", staging->output);
    }
    staging->is_open = false;
    if (is_replaced) {
        remove_or_leave(staging->folder);
    }
    return sync_parent(staging->output, err);
}

void staging_close(struct staging *staging)
{
    if (staging->is_open) {
        remove_or_leave(staging->folder);
    }
    staging->is_open = false;
    if (staging->lock_fd > 0) { /* 0: never opened */
        (void)close(staging->lock_fd);
    }
    staging->lock_fd = -1;
}
