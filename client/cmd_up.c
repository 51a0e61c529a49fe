/* up — starts the daemon. */
#include <stdio.h>

#include "client/commands.h"
#include "client/session.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"

static const struct command_option options[] = {
    {.name = "slots", .value = "N", .help = "cores that jobs may use (default: all)"},
    {.name = "state-dir", .value = "DIR", .help = "where jobs, runs and history are kept"},
};

static void tell(const struct session *session, const char *what)
{
    const json_t *hello = rpc_client_hello(session->client);

    (void)printf("%s: remorad %s, pid %lld, socket %s\n", what,
                 rpc_client_daemon_version(session->client),
                 (long long)json_get_int(hello, "pid", 0), session->socket_path);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    long long slots = 0;
    (void)exit_code;

    enum status status = command_int(line, "slots", 1, SLOTS_MAX, 0, &slots, err);
    if (status) {
        return status;
    }
    struct error none;
    status = session_open(&session, line, SESSION_START_NEVER, &none);
    if (!status) {
        tell(&session, "already running");
        goto done;
    }
    if (status != STATUS_NOT_FOUND) {
        *err = none;
        goto done;
    }
    struct daemon_options daemon = {.socket_path = command_text(line, "socket", NULL),
                                    .state_folder = command_text(line, "state-dir", NULL),
                                    .slot_count = slots};
    status = daemon_start(&daemon, err);
    if (!status) {
        status = session_open(&session, line, SESSION_START_NEVER, err);
    }
    if (!status) {
        tell(&session, "started");
    }
done:
    session_close(&session);
    return status;
}

const struct command command_up = {
    .name = "up",
    .usage = "[--slots N] [--state-dir DIR]",
    .summary = "starts the daemon",
    .examples = "  remora up\n  remora up --slots 4\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
