#include "worker/train/process.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/limits.h"

/* More than any command of ours is given. */
#define ARGUMENTS_MAX 1024

/* A handler can only reach static storage. */
static volatile sig_atomic_t stop_requested;

/* True when it was set here, false when the caller's value stays. */
static bool set_default(const char *name, const char *value)
{
    return getenv(name) == NULL && setenv(name, value, 0) == 0;
}

/* Runs this program again with the arguments it has; returns only where that cannot be done. */
static void execute_again(void)
{
    struct bytes line = {0};
    char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    size_t count = 0;

    if (file_read(&line, "/proc/self/cmdline", MIB, NULL) == STATUS_OK) {
        for (size_t at = 0; at < line.size && count < ARGUMENTS_MAX;
             at += strlen(line.data + at) + 1) {
            arguments[count++] = line.data + at;
        }
        if (0 < count && count < ARGUMENTS_MAX) {
            (void)execv("/proc/self/exe", arguments);
        }
    }
    bytes_deinit(&line);
}

/* OpenBLAS, where it is the system's LAPACK, reads its settings when it is loaded: those of whoever
 * starts us would choose its kernels and threads. True when something was changed. */
static bool forget_openblas_settings(void)
{
    static const char prefix[] = "OPENBLAS_";
    bool changed = false;

    for (size_t i = 0; environ[i] != NULL;) {
        char name[128];
        const char *end = strchr(environ[i], '=');
        const size_t size = end == NULL ? 0 : (size_t)(end - environ[i]);
        if (strncmp(environ[i], prefix, sizeof prefix - 1) != 0 || size >= sizeof name) {
            i++;
            continue;
        }
        memcpy(name, environ[i], size);
        name[size] = '\0';
        if (unsetenv(name) != 0) {
            return changed;
        }
        changed = true;
    }
    return changed;
}

void process_tune(void)
{
    /* Guards against a loop where exec drops part of the environment. */
    if (getenv("REMORA_TUNED") != NULL || setenv("REMORA_TUNED", "1", 1) != 0) {
        return;
    }
    bool changed = forget_openblas_settings();

    /* One thread of it beside ours is enough, and more would be started in every rank. */
    changed |= set_default("OPENBLAS_NUM_THREADS", "1");
    /* Spinning threads beside a busy process cost three quarters of the speed. */
    if (getenv("OMP_WAIT_POLICY") == NULL) {
        changed |= set_default("GOMP_SPINCOUNT", "1000");
    }
    /* Large buffers stay in the heap instead of being mapped and faulted in anew each time. */
    changed |= set_default("MALLOC_MMAP_THRESHOLD_", "4294967296");
    changed |= set_default("MALLOC_TRIM_THRESHOLD_", "17179869184");
    if (changed) {
        execute_again();
    }
}

/* Reads "a" or "a-b" at *text and moves behind it; false when there is none. */
static bool parse_range(const char **text, long *first, long *last)
{
    char *end = NULL;

    errno = 0;
    *first = strtol(*text, &end, 10);
    if (end == *text || errno != 0 || *first < 0 || *first >= CPU_SETSIZE) {
        return false;
    }
    *last = *first;
    if (*end == '-') {
        const char *second = end + 1;
        *last = strtol(second, &end, 10);
        if (end == second || errno != 0 || *last < *first || *last >= CPU_SETSIZE) {
            return false;
        }
    }
    *text = end;
    return true;
}

/* Puts entries [skip, skip + count) of the list into set. */
static enum status parse_cpus(const char *cpus, long skip, long count, cpu_set_t *set,
                              struct error *err)
{
    long index = 0;

    CPU_ZERO(set);
    for (const char *at = cpus;;) {
        long first = 0;
        long last = 0;
        if (!parse_range(&at, &first, &last) || (*at != ',' && *at != '\0')) {
            return error_set(err, STATUS_INVALID, "--cpus '%s' is no list of cores like 0,1,4-7",
                             cpus);
        }
        for (long cpu = first; cpu <= last; cpu++, index++) {
            if (skip <= index && index < skip + count) {
                CPU_SET((size_t)cpu, set);
            }
        }
        if (*at == '\0') {
            break;
        }
        at++;
    }
    if (index < skip + count) {
        return error_set(err, STATUS_INVALID,
                         "--cpus '%s' lists %ld cores, the ranks of this host need at least %ld",
                         cpus, index, skip + count);
    }
    return STATUS_OK;
}

enum status process_bind(const char *cpus, int local_rank, int threads, struct error *err)
{
    cpu_set_t set;

    enum status status = parse_cpus(cpus, (long)local_rank * threads, threads, &set, err);
    if (status) {
        return status;
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        (void)error_from_errno(err, errno, "bind local rank %d to cores of --cpus '%s'", local_rank,
                               cpus);
        return err->status;
    }
    return STATUS_OK;
}

static void on_stop(int signal_number)
{
    (void)signal_number;
    stop_requested = 1;
}

void process_watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGUSR1, &action, NULL);
}

bool process_stop_requested(void)
{
    return stop_requested != 0;
}
