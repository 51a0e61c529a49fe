/* resume — puts a failed or cancelled job back into the queue, to go on from its last checkpoint.
 */
#include <stdio.h>

#include "client/commands.h"
#include "client/session.h"
#include "client/watch.h"
#include "proto/base/json.h"

static const struct command_option options[] = {
    {.name = "watch", .letter = 'w', .help = "follows the job; the exit code tells its outcome"},
};

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;
    json_t *answer = NULL;

    enum status status = job_reference_parse(&job, command_argument(line, 0), false, err);
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status =
            session_call(&session, RPC_METHOD_JOB_RESUME, job_reference_params(&job), &answer, err);
    }
    if (!status) {
        (void)printf("%s\n", json_get_text(answer, "state", "queued"));
    }
    if (!status && command_flag(line, "watch")) {
        status = watch_command(&session, &job, stderr, exit_code, err);
    }
    json_decref(answer);
    session_close(&session);
    return status;
}

const struct command command_resume = {
    .name = "resume",
    .usage = "JOB [--watch]",
    .summary = "goes on with a failed or cancelled job from its last checkpoint",
    .examples = "  remora resume pubmed-demo --watch\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
