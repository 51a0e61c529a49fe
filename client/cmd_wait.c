/* wait — waits for a job's end; the exit code tells the outcome. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/commands.h"
#include "client/output.h"
#include "client/session.h"
#include "client/watch.h"
#include "proto/base/json.h"

#define TIMEOUT_MAX_S 1e9

static const struct command_option options[] = {
    {.name = "timeout", .value = "SECONDS", .help = "gives up then, with exit code 13"},
    {.name = "json", .help = "prints the job as JSON at the end"},
};

static enum status timeout_of(const struct command_line *line, int64_t *timeout_ms,
                              struct error *err)
{
    const char *text = command_text(line, "timeout", NULL);
    char *end = NULL;

    *timeout_ms = WATCH_FOR_EVER;
    if (text == NULL) {
        return STATUS_OK;
    }
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0) || seconds > TIMEOUT_MAX_S) {
        return error_set(err, STATUS_INVALID,
                         "option '--timeout': '%s' is no number of seconds up to %g", text,
                         TIMEOUT_MAX_S);
    }
    *timeout_ms = (int64_t)ceil(seconds * 1000);
    return STATUS_OK;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;
    struct watch_options watch = {0};
    struct watch_result result = {0};

    enum status status = job_reference_parse(&job, command_argument(line, 0), false, err);
    if (!status) {
        status = timeout_of(line, &watch.timeout_ms, err);
    }
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = watch_job(&session, &job, &watch, &result, err);
    }
    if (!status) {
        *exit_code = watch_exit_code(&result);
        if (command_flag(line, "json")) {
            status = output_json(json_object_get(result.detail, "job"), err);
        } else {
            (void)printf("%s\n", job_state_name(result.job.state));
        }
    }
    watch_result_deinit(&result);
    session_close(&session);
    return status;
}

const struct command command_wait = {
    .name = "wait",
    .usage = "JOB [--timeout SECONDS] [--json]",
    .summary = "waits until a job has ended: exit code 0 succeeded, 1 failed, 11 cancelled",
    .examples = "  remora wait pubmed-demo && remora export pubmed-demo --to model/\n"
                "  remora wait 12 --timeout 3600\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
