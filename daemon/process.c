#include "daemon/process.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"

/* /proc/PID/stat has 52 fields; the command's name is at most 64 bytes with its brackets. */
#define STAT_BYTES_MAX 4096
/* Linux allows an environment of at most a quarter of the stack's limit, by default 2 MiB. */
#define ENVIRON_BYTES_MAX (8 * MIB)

/* What /proc/PID/stat says. */
struct process_stat {
    pid_t pid;
    pid_t parent;
    char state; /* 'Z' and 'X' have ended */
    uint64_t start_ticks;
};

static int pidfd_open_by_number(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

enum status boot_id_read(char *out, struct error *err)
{
    struct bytes text = {0};

    enum status status = file_read(&text, "/proc/sys/kernel/random/boot_id", KIB, err);
    if (status == STATUS_OK) {
        text.data[strcspn(text.data, "\n")] = '\0';
        (void)snprintf(out, BOOT_ID_BYTES, "%s", text.data);
    }
    bytes_deinit(&text);
    return status;
}

/* False when there is no such process. */
static bool read_stat(struct process_stat *out, pid_t pid)
{
    char path[64];
    char text[STAT_BYTES_MAX];

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    ssize_t size = sys_read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (size <= 0) {
        return false;
    }
    text[size] = '\0';
    /* The name, in brackets, may hold anything; the fields go on behind the last bracket. */
    char *field = strrchr(text, ')');
    if (!field || strlen(field) < 4) {
        return false;
    }
    out->pid = pid;
    out->state = field[2];
    field += 3;
    out->parent = (pid_t)strtol(field, &field, 10); /* field 4 */
    for (int number = 5; number < 22; number++) {
        field += strspn(field, " ");
        field += strcspn(field, " ");
    }
    out->start_ticks = strtoull(field, NULL, 10);
    return true;
}

static bool has_ended(const struct process_stat *stat)
{
    return stat->state == 'Z' || stat->state == 'X';
}

enum status process_identify(struct process_identity *out, pid_t pid, struct error *err)
{
    struct process_stat stat;

    if (!read_stat(&stat, pid) || has_ended(&stat)) {
        return error_set(err, STATUS_NOT_FOUND, "process %d has ended", (int)pid);
    }
    out->pid = pid;
    out->start_ticks = stat.start_ticks;
    return boot_id_read(out->boot_id, err);
}

enum status process_open(int *pidfd, const struct process_identity *identity, struct error *err)
{
    struct process_identity now;
    pid_t pid = (pid_t)identity->pid;

    assert(pid > 0);
    int fd = pidfd_open_by_number(pid);
    if (fd < 0) {
        return errno == ESRCH ? error_set(err, STATUS_NOT_FOUND, "process %d has ended", (int)pid)
                              : error_from_errno(err, errno, "pidfd of process %d", (int)pid);
    }
    /* The pidfd holds the pid from here on: what we read now is about the same process. */
    enum status status = process_identify(&now, pid, err);
    if (status == STATUS_OK &&
        (now.start_ticks != identity->start_ticks || strcmp(now.boot_id, identity->boot_id) != 0)) {
        status = error_set(err, STATUS_NOT_FOUND, "process %d has ended, its number is used again",
                           (int)pid);
    }
    if (status) {
        (void)close(fd);
        return status;
    }
    *pidfd = fd;
    return STATUS_OK;
}

void process_signal(int pidfd, int signal)
{
    (void)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

/* Whether the environment of pid has this "NAME=value". */
static bool has_variable(pid_t pid, const char *variable)
{
    char path[64];
    struct bytes environment = {0};
    bool is_found = false;

    (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    if (file_read(&environment, path, ENVIRON_BYTES_MAX, NULL) == STATUS_OK) {
        size_t offset = 0;
        while (!is_found && offset < environment.size) {
            const char *entry = environment.data + offset;
            is_found = strcmp(entry, variable) == 0;
            offset += strlen(entry) + 1;
        }
    }
    bytes_deinit(&environment);
    return is_found;
}

/* Sends signal to pid if it still is the process that was looked at. True when it lives. */
static bool signal_one(const struct process_stat *seen, int signal)
{
    struct process_stat now;

    int pidfd = pidfd_open_by_number(seen->pid);
    if (pidfd < 0) {
        return false;
    }
    bool is_alive =
        read_stat(&now, seen->pid) && !has_ended(&now) && now.start_ticks == seen->start_ticks;
    if (is_alive && signal != 0) {
        process_signal(pidfd, signal);
    }
    (void)close(pidfd);
    return is_alive;
}

/* All processes of the machine; *out is the caller's to free. */
static size_t read_all(struct process_stat **out)
{
    struct process_stat *stats = NULL;
    size_t count = 0;
    size_t capacity = 0;
    DIR *folder = opendir("/proc");

    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        if (count == capacity) {
            capacity = capacity > 0 ? 2 * capacity : 256;
            struct process_stat *grown = sys_realloc(stats, capacity * sizeof *stats);
            if (!grown) {
                break;
            }
            stats = grown;
        }
        if (read_stat(&stats[count], (pid_t)strtol(entry->d_name, NULL, 10)) &&
            !has_ended(&stats[count])) {
            count++;
        }
    }
    if (folder) {
        (void)closedir(folder);
    }
    *out = stats;
    return count;
}

size_t process_signal_attempt(const char *attempt_id, int signal)
{
    char variable[sizeof ATTEMPT_ID_VARIABLE + ATTEMPT_ID_BYTES];
    struct process_stat *stats = NULL;
    size_t found = 0;

    (void)snprintf(variable, sizeof variable, "%s=%s", ATTEMPT_ID_VARIABLE, attempt_id);
    size_t count = read_all(&stats);
    for (size_t i = 0; i < count; i++) {
        if (stats[i].pid != getpid() && has_variable(stats[i].pid, variable) &&
            signal_one(&stats[i], signal)) {
            found++;
        }
    }
    free(stats);
    return found;
}

size_t process_signal_descendants(pid_t pid, int signal)
{
    struct process_stat *stats = NULL;
    size_t found = 0;
    size_t count = read_all(&stats);
    bool *is_descendant = sys_calloc(count + 1, sizeof *is_descendant);
    bool has_grown = is_descendant != NULL;

    while (has_grown) { /* a child may stand before its parent in the list */
        has_grown = false;
        for (size_t i = 0; i < count; i++) {
            bool is_child = stats[i].parent == pid;
            for (size_t j = 0; j < count && !is_child; j++) {
                is_child = is_descendant[j] && stats[j].pid == stats[i].parent;
            }
            if (is_child && !is_descendant[i]) {
                is_descendant[i] = true;
                has_grown = true;
            }
        }
    }
    for (size_t i = 0; is_descendant && i < count; i++) {
        if (is_descendant[i] && signal_one(&stats[i], signal)) {
            found++;
        }
    }
    free(is_descendant);
    free(stats);
    return found;
}
