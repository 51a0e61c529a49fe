/*
 * remorad — the daemon of remora; also the shim of its attempts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/scheduler.h"
#include "daemon/service.h"
#include "daemon/shim.h"
#include "proto/base/command.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "proto/rpc/paths.h"

static const struct command_option options[] = {
    {.name = "state-dir",
     .value = "DIR",
     .help =
         "queue, run folders and logs (default: $XDG_STATE_HOME/remora, ~/.local/state/remora)"},
    {.name = "socket",
     .value = "PATH",
     .help = "where to listen (default: $XDG_RUNTIME_DIR/remora/remora.sock, …)"},
    {.name = "slots", .value = "N", .help = "ranks x threads at once (default: one per core)"},
    {.name = "worker",
     .value = "PATH",
     .help = "the worker (default: remora-worker beside this program)"},
    {.name = "daemonize", .help = "go to the background; returns when the socket answers"},
    {.name = "foreground", .help = "stay in the foreground (the default)"},
    {.name = "check", .help = "replay the event log, compare with the tables, and end"},
};

static enum status read_config(struct service_config *out, const struct command_line *line,
                               struct error *err)
{
    struct supervisor_config *config = &out->supervisor;
    const char *worker = command_text(line, "worker", NULL);
    char folder[PATH_BYTES_MAX];
    struct cpu_list cores;
    long long slots = 0;

    enum status status =
        rpc_state_folder(config->state_folder, command_text(line, "state-dir", NULL), err);
    if (status == STATUS_OK) {
        status = rpc_socket_path(config->socket_path, command_text(line, "socket", NULL), err);
    }
    if (status == STATUS_OK) {
        status = command_int(line, "slots", 1, SLOTS_MAX, 0, &slots, err);
    }
    if (status == STATUS_OK) {
        status = slot_set_own_cores(&cores, err);
    }
    if (status == STATUS_OK) {
        slot_set_init(&config->slots, &cores, (int)slots);
        status = command_own_folder(folder, err);
    }
    if (status == STATUS_OK && worker) {
        char here[PATH_BYTES_MAX];
        status = getcwd(here, sizeof here) ? path_resolve(config->worker_path, here, worker, err)
                                           : error_from_errno(err, errno, "current folder");
    } else if (status == STATUS_OK) {
        status = path_printf(config->worker_path, err, "%s/remora-worker", folder);
    }
    if (status == STATUS_OK) {
        ssize_t size = readlink("/proc/self/exe", config->program_path, PATH_BYTES_MAX - 1);
        if (size < 0) {
            return error_from_errno(err, errno, "own path");
        }
        config->program_path[size] = '\0';
    }
    return status;
}

static enum status serve(const struct service_config *config, int report_fd, struct error *err)
{
    struct service *service = NULL;

    enum status status = service_create(&service, config, err);
    if (status) {
        return status;
    }
    if (access(config->supervisor.worker_path, X_OK) < 0) {
        log_warn("there is no worker at '%s'; jobs will fail until there is (--worker PATH)",
                 config->supervisor.worker_path);
    }
    if (report_fd >= 0) {
        (void)!write(report_fd, err, sizeof *err); /* status OK: ready */
        (void)close(report_fd);
    } else {
        (void)printf("remorad %s ready: %s, %d slots, state in %s\n", REMORA_VERSION,
                     config->supervisor.socket_path, config->supervisor.slots.count,
                     config->supervisor.state_folder);
        (void)fflush(stdout);
    }
    status = service_run(service, err);
    service_destroy(service);
    return status;
}

/* ---- Into the background ---- */

/* In the child: our own session, output in the state folder. */
static enum status leave_terminal(const char *state_folder, struct error *err)
{
    char path[PATH_BYTES_MAX];

    (void)setsid();
    enum status status = folder_create(state_folder, 0700, err);
    if (status == STATUS_OK) {
        status = path_printf(path, err, "%s/daemon.log", state_folder);
    }
    if (status) {
        return status;
    }
    int log = sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int null = sys_open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
    if (log < 0 || null < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    (void)close(log);
    (void)close(null);
    return chdir("/") == 0 ? STATUS_OK : error_from_errno(err, errno, "chdir /");
}

/* Parent and child are one program, so the child's struct error can cross the pipe as it is. */
static enum status daemonize(const struct service_config *config, struct error *err)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return error_from_errno(err, errno, "pipe");
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        return error_from_errno(err, errno, "fork");
    }
    if (pid > 0) {
        (void)close(ends[1]);
        ssize_t size = sys_read(ends[0], err, sizeof *err);
        if (size != (ssize_t)sizeof *err) {
            return error_set(err, STATUS_IO,
                             "remorad ended before it was ready; see '%s/daemon.log'",
                             config->supervisor.state_folder);
        }
        if (err->status == STATUS_OK) {
            (void)printf("remorad %s ready: %s, process %d\n", REMORA_VERSION,
                         config->supervisor.socket_path, (int)pid);
        }
        return err->status;
    }
    (void)close(ends[0]);
    *err = (struct error){0};
    enum status status = leave_terminal(config->supervisor.state_folder, err);
    if (status == STATUS_OK) {
        status = serve(config, ends[1], err);
    }
    if (status) {
        log_error(err);
        (void)!write(ends[1], err, sizeof *err);
    }
    _exit(status_exit_code(status));
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    static struct service_config config; /* large: lists of slots */

    (void)exit_code;
    log_init("remorad");
    *err = (struct error){0};
    enum status status = read_config(&config, line, err);
    if (status) {
        return status;
    }
    if (command_flag(line, "check")) {
        status = service_check(config.supervisor.state_folder, err);
        if (status == STATUS_OK) {
            (void)printf("%s/queue.db: the tables are what the events say\n",
                         config.supervisor.state_folder);
        }
        return status;
    }
    return command_flag(line, "daemonize") ? daemonize(&config, err) : serve(&config, -1, err);
}

static const struct command only = {
    .name = "remorad",
    .usage = "[options]",
    .summary = "queues jobs, runs them on this machine, keeps their history",
    .examples = "  remorad                         serve this user, in the foreground\n"
                "  remorad --daemonize             the same in the background\n"
                "  remorad --slots 2               at most two ranks at once\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 0,
    .argument_max = 0,
    .run = run,
};

static const struct command_program program = {
    .name = "remorad",
    .summary = "the daemon of remora",
    .only = &only,
};

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], SHIM_OPTION) == 0) {
        return shim_main(argv[2]);
    }
    return command_main(&program, argc, argv);
}
