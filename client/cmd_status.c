/* status — whether the daemon runs, and what it does. Never starts one. */
#include <stdio.h>

#include "client/commands.h"
#include "client/format.h"
#include "client/output.h"
#include "client/session.h"
#include "proto/base/json.h"

static const struct command_option options[] = {
    {.name = "json", .help = "the daemon's answer as JSON"},
};

static void print_status(const struct session *session, const json_t *answer)
{
    const json_t *slots = json_object_get(answer, "slots");
    const json_t *jobs = json_object_get(answer, "jobs");
    char uptime[FORMAT_BYTES];

    (void)printf("remorad %s  pid %lld  up %s\n", json_get_text(answer, "version", "?"),
                 (long long)json_get_int(answer, "pid", 0),
                 format_duration(uptime, json_get_real(answer, "uptime_s", -1)));
    (void)printf("socket   %s\n", session->socket_path);
    (void)printf("state    %s\n", json_get_text(answer, "state_dir", "?"));
    (void)printf("slots    %lld of %lld free\n", (long long)json_get_int(slots, "free", 0),
                 (long long)json_get_int(slots, "total", 0));
    (void)printf("jobs    ");
    bool is_any = false;
    for (size_t i = 0; i < JOB_STATE_UNKNOWN; i++) {
        const char *state = job_state_name((enum job_state)i);
        long long count = json_get_int(jobs, state, 0);
        if (count > 0) {
            (void)printf(" %lld %s", count, state);
            is_any = true;
        }
    }
    (void)printf("%s\n", is_any ? "" : " none");
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    json_t *answer = NULL;
    (void)exit_code;

    enum status status = session_open(&session, line, SESSION_START_NEVER, err);
    if (!status) {
        status = session_call(&session, RPC_METHOD_DAEMON_STATUS, json_object(), &answer, err);
    }
    if (!status && command_flag(line, "json")) {
        status = output_json(answer, err);
    } else if (!status) {
        print_status(&session, answer);
    }
    json_decref(answer);
    session_close(&session);
    return status;
}

const struct command command_status = {
    .name = "status",
    .usage = "[--json]",
    .summary = "says whether the daemon runs and what it does",
    .examples = "  remora status\n  remora status --json\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
