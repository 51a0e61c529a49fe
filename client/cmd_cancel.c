/* cancel — stops a job; returns when none of its processes is left. */
#include <stdio.h>

#include "client/commands.h"
#include "client/session.h"
#include "client/watch.h"
#include "proto/base/json.h"

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;
    struct watch_options watch = {.timeout_ms = WATCH_FOR_EVER};
    struct watch_result result = {0};
    json_t *answer = NULL;

    enum status status = job_reference_parse(&job, command_argument(line, 0), false, err);
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status =
            session_call(&session, RPC_METHOD_JOB_CANCEL, job_reference_params(&job), &answer, err);
    }
    if (!status) {
        status = watch_job(&session, &job, &watch, &result, err);
    }
    if (!status && result.ending == WATCH_ENDING_FINAL) {
        (void)printf("%s\n", job_state_name(result.job.state));
        /* It may have come to its own end before the daemon could stop it. */
        *exit_code = result.job.state == JOB_STATE_CANCELLED ? 0 : 1;
    } else if (!status) {
        (void)fprintf(stderr, "job %lld is still %s; the daemon goes on cancelling it\n",
                      (long long)result.job.id, job_state_name(result.job.state));
        *exit_code = watch_exit_code(&result);
    }
    json_decref(answer);
    watch_result_deinit(&result);
    session_close(&session);
    return status;
}

const struct command command_cancel = {
    .name = "cancel",
    .usage = "JOB",
    .summary = "stops a job; returns when none of its processes is left",
    .examples = "  remora cancel pubmed-demo\n",
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
