/* watch — follows a job to its end. */
#include "client/commands.h"
#include "client/session.h"
#include "client/watch.h"

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;

    enum status status = job_reference_parse(&job, command_argument(line, 0), false, err);
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = watch_command(&session, &job, stdout, exit_code, err);
    }
    session_close(&session);
    return status;
}

const struct command command_watch = {
    .name = "watch",
    .usage = "JOB",
    .summary = "follows a job to its end; Ctrl-C detaches",
    .examples = "  remora watch pubmed-demo\n  remora watch 12 | tee 12.log\n",
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
