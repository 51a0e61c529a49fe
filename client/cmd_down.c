/* down — stops the daemon; running jobs go on and are taken over by the next one. */
#include <stdio.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/session.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"

#define GONE_TIMEOUT_NS (INT64_C(10) * 1000 * 1000 * 1000)
#define GONE_POLL_US    10000

/* The daemon answers before it goes; "down" means that it is gone. */
static enum status wait_until_gone(struct session *session, struct error *err)
{
    int64_t deadline_ns = sys_monotonic_ns() + GONE_TIMEOUT_NS;

    while (sys_monotonic_ns() < deadline_ns) {
        struct error why;
        if (session_reopen(session, &why) == STATUS_NOT_FOUND) {
            return STATUS_OK;
        }
        (void)usleep(GONE_POLL_US);
    }
    return error_set(err, STATUS_TIMEOUT, "the daemon was asked to stop but still answers");
}

static int64_t running_jobs(const json_t *answer)
{
    const json_t *jobs = json_object_get(answer, "jobs");
    return json_get_int(jobs, "running", 0) + json_get_int(jobs, "starting", 0);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    json_t *answer = NULL;
    (void)exit_code;

    enum status status = session_open(&session, line, SESSION_START_NEVER, err);
    if (status == STATUS_NOT_FOUND) {
        (void)printf("no daemon is running\n");
        return STATUS_OK;
    }
    if (!status) {
        status = session_call(&session, RPC_METHOD_DAEMON_STATUS, json_object(), &answer, err);
    }
    int64_t running = running_jobs(answer);
    json_decref(answer);
    answer = NULL;
    if (!status) {
        status = session_call(&session, RPC_METHOD_DAEMON_SHUTDOWN, json_object(), &answer, err);
    }
    if (!status) {
        status = wait_until_gone(&session, err);
    }
    if (!status) {
        (void)printf("stopped\n");
    }
    if (!status && running > 0) {
        (void)fprintf(stderr, "%lld running job%s on; remora up takes over again\n",
                      (long long)running, running == 1 ? " goes" : "s go");
    }
    json_decref(answer);
    session_close(&session);
    return status;
}

const struct command command_down = {
    .name = "down",
    .usage = "",
    .summary = "stops the daemon; running jobs go on",
    .examples = "  remora down\n",
    .run = run,
};
