/*
 * sys — the allocation, file and process calls that can fail, behind one seam.
 *
 * Each wrapper asks the hook first, when one is set: a hook returns 0 to let the call happen or an
 * errno value to make it fail without happening. Tests fail the Nth call for N = 1, 2, … until the
 * operation under test succeeds, or record the calls for the crash simulator. The hook is the one
 * piece of process-wide state here; the programs never set it.
 *
 * EINTR is retried inside; short writes are continued (sys_write_all). errno is as after the call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum sys_call {
    SYS_CALL_ALLOC,
    SYS_CALL_OPEN,
    SYS_CALL_READ,
    SYS_CALL_WRITE,
    SYS_CALL_FDATASYNC,
    SYS_CALL_FSYNC,
    SYS_CALL_RENAME,
    SYS_CALL_UNLINK,
    SYS_CALL_RMDIR,
    SYS_CALL_MKDIR,
    SYS_CALL_TRUNCATE,
    SYS_CALL_MMAP,
    SYS_CALL_LOCK,
};

/* What a call is about; fd is -1 and other unused fields are 0 or NULL. Valid during the hook
 * only. A write that the system cuts short is one event per piece. */
struct sys_event {
    enum sys_call call;
    int fd;
    const char *path;
    const char *to_path;
    const void *data;
    size_t size;
    uint64_t offset;
    int flags; /* of open */
};

typedef int sys_hook_fn(void *context, const struct sys_event *event);

/* Not thread-safe against calls in flight: set it before, clear it (NULL) after. */
void sys_set_hook(sys_hook_fn *hook, void *context);

void *sys_malloc(size_t size);
void *sys_calloc(size_t count, size_t size);
void *sys_realloc(void *pointer, size_t size);
char *sys_strdup(const char *text);

int sys_open(const char *path, int flags, mode_t mode);
/* At most size bytes; 0 at the end. */
ssize_t sys_read(int fd, void *data, size_t size);
/* Reads until size bytes or the end; how many, or -1. */
ssize_t sys_read_all(int fd, void *data, size_t size);
/* As sys_read_all, from offset on, without moving the file's position. */
ssize_t sys_pread_all(int fd, void *data, size_t size, off_t offset);
/* Writes all of it or returns -1 (part may be written). */
int sys_write_all(int fd, const void *data, size_t size);
int sys_fdatasync(int fd);
int sys_fsync(int fd);
int sys_rename(const char *from, const char *to);
/* As sys_rename, but fails with EEXIST when there is a file called to. */
int sys_rename_new(const char *from, const char *to);
int sys_unlink(const char *path);
int sys_rmdir(const char *path);
int sys_mkdir(const char *path, mode_t mode);
int sys_ftruncate(int fd, off_t size);
int sys_flock(int fd, int operation);
void *sys_mmap(size_t size, int protection, int flags, int fd, off_t offset);

/* CLOCK_MONOTONIC and CLOCK_REALTIME. */
int64_t sys_monotonic_ns(void);
int64_t sys_realtime_ms(void);
