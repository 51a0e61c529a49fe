#include "proto/base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/checked.h"

static sys_hook_fn *sys_hook;
static void *sys_hook_context;

void sys_set_hook(sys_hook_fn *hook, void *context)
{
    sys_hook = hook;
    sys_hook_context = context;
}

/* True when the hook makes the call fail; errno is then set. */
static bool refused(struct sys_event event)
{
    if (sys_hook == NULL) {
        return false;
    }
    int errno_value = sys_hook(sys_hook_context, &event);
    if (errno_value == 0) {
        return false;
    }
    errno = errno_value;
    return true;
}

void *sys_malloc(size_t size)
{
    if (refused((struct sys_event){.call = SYS_CALL_ALLOC, .fd = -1, .size = size})) {
        return NULL;
    }
    return malloc(size);
}

void *sys_calloc(size_t count, size_t size)
{
    size_t total = 0;
    if (!checked_mul(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    if (refused((struct sys_event){.call = SYS_CALL_ALLOC, .fd = -1, .size = total})) {
        return NULL;
    }
    return calloc(count, size);
}

void *sys_realloc(void *pointer, size_t size)
{
    if (refused((struct sys_event){.call = SYS_CALL_ALLOC, .fd = -1, .size = size})) {
        return NULL;
    }
    return realloc(pointer, size);
}

char *sys_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = sys_malloc(size);
    return copy == NULL ? NULL : memcpy(copy, text, size);
}

int sys_open(const char *path, int flags, mode_t mode)
{
    struct sys_event event = {.call = SYS_CALL_OPEN, .fd = -1, .path = path, .flags = flags};
    if (refused(event)) {
        return -1;
    }
    int fd = -1;
    do {
        fd = open(path, flags, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

ssize_t sys_read(int fd, void *data, size_t size)
{
    if (refused((struct sys_event){.call = SYS_CALL_READ, .fd = fd, .size = size})) {
        return -1;
    }
    ssize_t count = 0;
    do {
        count = read(fd, data, size);
    } while (count < 0 && errno == EINTR);
    return count;
}

ssize_t sys_read_all(int fd, void *data, size_t size)
{
    size_t total = 0;
    while (total < size) {
        ssize_t count = sys_read(fd, (char *)data + total, size - total);
        if (count < 0) {
            return -1;
        }
        if (count == 0) {
            break;
        }
        total += (size_t)count;
    }
    return (ssize_t)total;
}

ssize_t sys_pread_all(int fd, void *data, size_t size, off_t offset)
{
    size_t total = 0;
    while (total < size) {
        off_t at = offset + (off_t)total;
        struct sys_event event = {
            .call = SYS_CALL_READ, .fd = fd, .size = size - total, .offset = (uint64_t)at};
        if (refused(event)) {
            return -1;
        }
        ssize_t count = pread(fd, (char *)data + total, size - total, at);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return -1;
        }
        if (count == 0) {
            break;
        }
        total += (size_t)count;
    }
    return (ssize_t)total;
}

int sys_write_all(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        struct sys_event event = {.call = SYS_CALL_WRITE, .fd = fd, .data = at, .size = size};
        if (refused(event)) {
            return -1;
        }
        ssize_t count = write(fd, at, size);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return -1;
        }
        at += count;
        size -= (size_t)count;
    }
    return 0;
}

int sys_fdatasync(int fd)
{
    if (refused((struct sys_event){.call = SYS_CALL_FDATASYNC, .fd = fd})) {
        return -1;
    }
    int result = 0;
    do {
        result = fdatasync(fd);
    } while (result < 0 && errno == EINTR);
    return result;
}

int sys_fsync(int fd)
{
    if (refused((struct sys_event){.call = SYS_CALL_FSYNC, .fd = fd})) {
        return -1;
    }
    int result = 0;
    do {
        result = fsync(fd);
    } while (result < 0 && errno == EINTR);
    return result;
}

int sys_rename(const char *from, const char *to)
{
    struct sys_event event = {.call = SYS_CALL_RENAME, .fd = -1, .path = from, .to_path = to};
    return refused(event) ? -1 : rename(from, to);
}

int sys_rename_new(const char *from, const char *to)
{
    struct sys_event event = {.call = SYS_CALL_RENAME, .fd = -1, .path = from, .to_path = to};
    if (refused(event)) {
        return -1;
    }
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    /* A file system without RENAME_NOREPLACE: link fails as well when the name is taken. */
    return link(from, to) != 0 ? -1 : unlink(from);
}

int sys_unlink(const char *path)
{
    if (refused((struct sys_event){.call = SYS_CALL_UNLINK, .fd = -1, .path = path})) {
        return -1;
    }
    return unlink(path);
}

int sys_rmdir(const char *path)
{
    if (refused((struct sys_event){.call = SYS_CALL_RMDIR, .fd = -1, .path = path})) {
        return -1;
    }
    return rmdir(path);
}

int sys_mkdir(const char *path, mode_t mode)
{
    if (refused((struct sys_event){.call = SYS_CALL_MKDIR, .fd = -1, .path = path})) {
        return -1;
    }
    return mkdir(path, mode);
}

int sys_ftruncate(int fd, off_t size)
{
    struct sys_event event = {.call = SYS_CALL_TRUNCATE, .fd = fd, .size = (size_t)size};
    if (refused(event)) {
        return -1;
    }
    int result = 0;
    do {
        result = ftruncate(fd, size);
    } while (result < 0 && errno == EINTR);
    return result;
}

int sys_flock(int fd, int operation)
{
    if (refused((struct sys_event){.call = SYS_CALL_LOCK, .fd = fd})) {
        return -1;
    }
    int result = 0;
    do {
        result = flock(fd, operation);
    } while (result < 0 && errno == EINTR);
    return result;
}

void *sys_mmap(size_t size, int protection, int flags, int fd, off_t offset)
{
    struct sys_event event = {
        .call = SYS_CALL_MMAP, .fd = fd, .size = size, .offset = (uint64_t)offset};
    return refused(event) ? MAP_FAILED : mmap(NULL, size, protection, flags, fd, offset);
}

int64_t sys_monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t sys_realtime_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
