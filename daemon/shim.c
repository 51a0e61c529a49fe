#include "daemon/shim.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/attempt_files.h"
#include "daemon/cgroup.h"
#include "daemon/fault.h"
#include "daemon/process.h"
#include "daemon/text.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"

extern char **environ;

/* How often what is left of the tree is signalled again while it is being taken down. */
#define SWEEP_MS 20

struct shim {
    const char *folder;
    json_t *launch; /* launch.json */
    int lock_fd;
    pid_t child;         /* mpirun or the worker; 0: not started or already waited for */
    bool is_told;        /* SIGTERM has come */
    bool was_told_first; /* … before the child had ended by itself */
    struct exit_record record;
};

static sigset_t handled_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGCHLD);
    return set;
}

/* Waits for SIGTERM or SIGCHLD; timeout_ms < 0 waits for ever. */
static void wait_for_signal(struct shim *shim, int timeout_ms)
{
    sigset_t set = handled_signals();
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    int number = timeout_ms < 0 ? sigwaitinfo(&set, NULL) : sigtimedwait(&set, NULL, &timeout);
    if (number == SIGTERM) {
        shim->is_told = true;
        shim->was_told_first = shim->was_told_first || shim->child > 0;
    }
}

/* Waits for all children that have ended. False when none is left at all, which, since we are the
 * subreaper, means that nothing below us lives. */
static bool reap(struct shim *shim)
{
    for (;;) {
        int wait_status = 0;
        pid_t pid = waitpid(-1, &wait_status, WNOHANG);
        if (pid == 0) {
            return true;
        }
        if (pid < 0) {
            return errno == EINTR;
        }
        if (pid == shim->child) {
            shim->child = 0;
            if (WIFEXITED(wait_status)) {
                shim->record.exit_code = WEXITSTATUS(wait_status);
            } else if (WIFSIGNALED(wait_status)) {
                shim->record.signal = WTERMSIG(wait_status);
            }
        }
    }
}

/* SIGTERM to all, then, when the grace period is over, SIGKILL again and again until none is left:
 * a process may fork faster than one sweep sees. */
static void take_down(struct shim *shim)
{
    int64_t grace_ns = json_get_int(shim->launch, "grace_ms", 0) * 1000000;
    int64_t deadline_ns = sys_monotonic_ns() + grace_ns;
    bool is_first = true;

    while (reap(shim)) {
        bool is_over = sys_monotonic_ns() >= deadline_ns;
        if (is_first || is_over) {
            (void)process_signal_descendants(getpid(), is_over ? SIGKILL : SIGTERM);
        }
        is_first = false;
        wait_for_signal(shim, SWEEP_MS);
    }
}

/* From here on our output and that of the whole tree is output.log. */
static enum status open_output(const struct shim *shim, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/%s", shim->folder, ATTEMPT_OUTPUT_FILE);
    if (status) {
        return status;
    }
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    bool is_done = dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0;
    int errno_value = errno;
    (void)close(fd);
    return is_done ? STATUS_OK : error_from_errno(err, errno_value, "output to '%s'", path);
}

static enum status read_launch(struct shim *shim, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    enum status status = path_printf(path, err, "%s/%s", shim->folder, ATTEMPT_LAUNCH_FILE);
    if (status == STATUS_OK) {
        status = file_read(&text, path, MIB, err);
    }
    if (status == STATUS_OK) {
        status = json_parse(&shim->launch, text.data, text.size, path, err);
    }
    bytes_deinit(&text);
    return status;
}

/* Takes the lock and makes sure that this attempt has not ended already; says who we are. */
static enum status claim(struct shim *shim, struct error *err)
{
    struct process_identity self;
    struct exit_record fence;

    fault_point(FAULT_POINT_SHIM_BEGUN);
    enum status status = attempt_lock_take(&shim->lock_fd, shim->folder, err);
    if (status) {
        return status;
    }
    if (exit_record_read(shim->folder, &fence, NULL) != STATUS_NOT_FOUND) {
        return error_set(err, STATUS_CONFLICT, "this attempt has already ended");
    }
    status = open_output(shim, err);
    if (status == STATUS_OK) {
        status = read_launch(shim, err);
    }
    if (status == STATUS_OK) {
        status = process_identify(&self, getpid(), err);
    }
    fault_point(FAULT_POINT_SHIM_LOCKED);
    if (status == STATUS_OK) {
        status = shim_record_write(shim->folder, json_get_text(shim->launch, "attempt_id", ""),
                                   &self, err);
    }
    fault_point(FAULT_POINT_SHIM_RECORDED);
    return status;
}

static void tell_daemon(void)
{
    /* The daemon may be gone; it then reads shim.json. */
    (void)!write(SHIM_READY_FD, "1", 1);
    (void)close(SHIM_READY_FD);
}

/* The words of launch.json as an argv that lives as long as launch; free() it. NULL: no memory. */
static char **make_argv(const json_t *launch)
{
    json_t *words = json_object_get(launch, "argv");
    char **argv = sys_calloc(json_array_size(words) + 1, sizeof *argv);

    for (size_t i = 0; argv && i < json_array_size(words); i++) {
        argv[i] = strdup(json_string_value(json_array_get(words, i)));
        if (!argv[i]) {
            return NULL; /* we end without starting anything */
        }
    }
    return argv;
}

static void start_child(struct shim *shim)
{
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;

    char **argv = make_argv(shim->launch);
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes,
                                   (short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK));
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    int code = argv && argv[0]
                   ? posix_spawn(&shim->child, argv[0], NULL, &attributes, argv, environ)
                   : ENOMEM;
    (void)posix_spawnattr_destroy(&attributes);
    if (code != 0) {
        shim->child = 0;
        shim->record.exit_code = -1;
        char message[PATH_BYTES_MAX];
        (void)snprintf(message, sizeof message, "%s: cannot be started: '%s'", strerror(code),
                       argv && argv[0] ? argv[0] : "");
        text_copy_printable(shim->record.message, sizeof shim->record.message, message);
    }
    for (size_t i = 0; argv && argv[i]; i++) {
        free(argv[i]);
    }
    free(argv);
}

/* Runs the child until it has ended or we are told to stop; then nothing of the tree is left. */
static void run_tree(struct shim *shim)
{
    if (!shim->is_told) {
        start_child(shim);
        fault_point(FAULT_POINT_SHIM_LAUNCHED);
    }
    while (reap(shim) && shim->child > 0 && !shim->is_told) {
        wait_for_signal(shim, -1);
    }
    take_down(shim);
}

static void remove_scratch(const struct shim *shim)
{
    struct error err;

    if (attempt_scratch_remove(shim->folder, json_get_text(shim->launch, "shared_folder", ""),
                               &err) != STATUS_OK) {
        log_error(&err);
    }
}

static enum status run(struct shim *shim, struct error *err)
{
    enum status status = claim(shim, err);
    if (status) {
        return status;
    }
    (void)cgroup_enter(json_get_text(shim->launch, "cgroup", ""));
    tell_daemon();
    wait_for_signal(shim, 0); /* told before anything was started */
    shim->was_told_first = shim->is_told;
    run_tree(shim);
    remove_scratch(shim);
    shim->record.is_cancelled = shim->was_told_first;
    shim->record.ended_ms = sys_realtime_ms();
    fault_point(FAULT_POINT_SHIM_ENDED);
    return exit_record_write(shim->folder, &shim->record, err);
}

int shim_main(const char *attempt_folder)
{
    struct shim shim = {.folder = attempt_folder, .lock_fd = -1, .record = {.exit_code = -1}};
    sigset_t set = handled_signals();
    struct error err;

    log_init("shim");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)prctl(PR_SET_NAME, "remora-shim");
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)fcntl(SHIM_READY_FD, F_SETFD, FD_CLOEXEC);
    enum status status = run(&shim, &err);
    if (status) {
        log_error(&err);
    }
    json_decref(shim.launch);
    return status_exit_code(status);
}
