/* version — of this program and of the daemon, where one runs. */
#include <stdio.h>

#include "client/commands.h"
#include "client/session.h"

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct error none;
    (void)exit_code;
    (void)err;

    (void)printf("remora %s\n", REMORA_VERSION);
    if (session_open(&session, line, SESSION_START_NEVER, &none) == STATUS_OK) {
        (void)printf("remorad %s\n", rpc_client_daemon_version(session.client));
    }
    session_close(&session);
    return STATUS_OK;
}

const struct command command_version = {
    .name = "version",
    .usage = "",
    .summary = "prints the versions of remora and of the running daemon",
    .examples = "  remora version\n",
    .run = run,
};
