#include "client/session.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/rpc/paths.h"

#define PROGRAM          "remora"
#define HELLO_TIMEOUT_MS 10000
#define START_TIMEOUT_MS 5000
#define START_POLL_MS    10
#define DAEMON_ARGUMENTS 8
#define NANOSECONDS_A_MS 1000000

static enum status connect_now(struct session *session, struct error *err)
{
    return rpc_client_open(&session->client, session->socket_path, PROGRAM, HELLO_TIMEOUT_MS, err);
}

/* The daemon listens before `remorad --daemonize` returns; but when two clients start it at once,
 * the one that lost the race must wait for the other's daemon. */
static enum status connect_within(struct session *session, int64_t timeout_ms, struct error *err)
{
    int64_t deadline_ns = sys_monotonic_ns() + timeout_ms * NANOSECONDS_A_MS;

    for (;;) {
        enum status status = connect_now(session, err);
        if (status != STATUS_NOT_FOUND || sys_monotonic_ns() > deadline_ns) {
            return status;
        }
        (void)usleep(START_POLL_MS * 1000);
    }
}

static enum status start_and_connect(struct session *session, struct error *err)
{
    struct daemon_options options = {0};

    (void)fprintf(stderr,
                  "remora: no daemon is running; starting remorad (remora down stops it)\n");
    enum status status = daemon_start(&options, err);
    if (!status) {
        return connect_within(session, START_TIMEOUT_MS, err);
    }
    struct error why;
    return connect_within(session, START_POLL_MS, &why) == STATUS_OK ? STATUS_OK : status;
}

enum status session_open(struct session *out, const struct command_line *line,
                         enum session_start start, struct error *err)
{
    const char *socket_path = command_text(line, "socket", NULL);

    *out = (struct session){.has_default_socket = socket_path == NULL};
    enum status status = rpc_socket_path(out->socket_path, socket_path, err);
    if (status) {
        return status;
    }
    status = connect_now(out, err);
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    if (out->has_default_socket && start == SESSION_START_IF_MISSING) {
        return start_and_connect(out, err);
    }
    (void)error_set(err, STATUS_NOT_FOUND, "no daemon listens on %s", out->socket_path);
    error_set_hint(err,
                   out->has_default_socket ? "start it with: remora up"
                                           : "start it with: remora --socket %s up",
                   out->socket_path);
    return STATUS_NOT_FOUND;
}

enum status session_reopen(struct session *session, struct error *err)
{
    session_close(session);
    return connect_now(session, err);
}

void session_close(struct session *session)
{
    rpc_client_close(session->client);
    session->client = NULL;
}

enum status session_call(struct session *session, enum rpc_method method, json_t *params,
                         json_t **result, struct error *err)
{
    if (params == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", rpc_method_name(method));
    }
    enum status status =
        rpc_client_call(session->client, method, params, SESSION_CALL_TIMEOUT_MS, result, err);
    json_decref(params);
    return status;
}

enum status session_get_job(struct session *session, const struct job_reference *reference,
                            json_t **result, struct error *err)
{
    return session_call(session, RPC_METHOD_JOB_GET, job_reference_params(reference), result, err);
}

/* ------------------------------------------------------------------------ starting a daemon --- */

extern char **environ;

/* Runs it with its standard output on our standard error: ours is for results. */
static enum status spawn_and_wait(const char *path, char *const *arguments, struct error *err)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    int wait_status = 0;

    if (posix_spawn_file_actions_init(&actions) != 0) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", path);
    }
    int failure = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (failure == 0) {
        failure = posix_spawn(&pid, path, &actions, NULL, arguments, environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) {
        (void)error_from_errno(err, failure, "start %s", path);
        error_set_hint(err, "remora looks for remorad beside its own executable");
        return err->status;
    }
    while (waitpid(pid, &wait_status, 0) < 0) {
        if (errno != EINTR) {
            return error_from_errno(err, errno, "wait for %s", path);
        }
    }
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) {
        return STATUS_OK;
    }
    return error_set(err, STATUS_IO, "%s did not start (%s %d)", path,
                     WIFEXITED(wait_status) ? "exit code" : "signal",
                     WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : WTERMSIG(wait_status));
}

enum status daemon_start(const struct daemon_options *options, struct error *err)
{
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    char slots[32];
    const char *arguments[DAEMON_ARGUMENTS + 1] = {"remorad", "--daemonize"};
    size_t count = 2;

    enum status status = command_own_folder(folder, err);
    if (!status) {
        status = path_printf(path, err, "%s/remorad", folder);
    }
    if (status) {
        return status;
    }
    if (options->socket_path != NULL) {
        arguments[count++] = "--socket";
        arguments[count++] = options->socket_path;
    }
    if (options->state_folder != NULL) {
        arguments[count++] = "--state-dir";
        arguments[count++] = options->state_folder;
    }
    if (options->slot_count > 0) {
        (void)snprintf(slots, sizeof slots, "%lld", (long long)options->slot_count);
        arguments[count++] = "--slots";
        arguments[count++] = slots;
    }
    /* exec takes char *const[] for history's sake and leaves the texts alone. */
    union {
        const char *const *ours;
        char *const *theirs;
    } vector = {.ours = arguments};
    return spawn_and_wait(path, vector.theirs, err);
}
