#include "client/session.h"

#include <stdio.h>
#include <unistd.h>

#include "client/spawn.h"
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

/* The daemon listens before `remorad --daemonize` returns; but when two clients start it at once,
 * the one that lost the race must wait for the other's daemon. */
static enum status start_and_connect(struct session *session, struct error *err)
{
    struct daemon_options options = {0};

    (void)fprintf(stderr,
                  "remora: no daemon is running; starting remorad (remora down stops it)\n");
    enum status status = daemon_start(&options, err);
    return status && status != STATUS_BUSY ? status
                                           : connect_within(session, START_TIMEOUT_MS, err);
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
    int timeout_ms =
        session->call_timeout_ms > 0 ? session->call_timeout_ms : SESSION_CALL_TIMEOUT_MS;
    enum status status = rpc_client_call(session->client, method, params, timeout_ms, result, err);
    json_decref(params);
    return status;
}

enum status session_get_job(struct session *session, const struct job_reference *reference,
                            json_t **result, struct error *err)
{
    return session_call(session, RPC_METHOD_JOB_GET, job_reference_params(reference), result, err);
}

/* ------------------------------------------------------------------------ starting a daemon --- */

enum status daemon_start(const struct daemon_options *options, struct error *err)
{
    char slots[32];
    const char *arguments[DAEMON_ARGUMENTS + 1] = {"remorad", "--daemonize"};
    size_t count = 2;
    int exit_code = 0;

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
    enum status status = spawn_and_wait(arguments, &exit_code, err);
    if (!status && exit_code != 0) {
        bool is_busy = exit_code == status_exit_code(STATUS_BUSY);
        status = error_set(err, is_busy ? STATUS_BUSY : STATUS_IO,
                           "remorad did not start (exit code %d)", exit_code);
    }
    return status;
}
