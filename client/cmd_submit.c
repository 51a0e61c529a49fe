/* submit — gives a job to the daemon. */
#include <stdio.h>

#include "client/commands.h"
#include "client/output.h"
#include "client/session.h"
#include "client/spec_file.h"
#include "client/watch.h"
#include "proto/base/json.h"

static const struct command_option options[] = {
    {.name = "set",
     .letter = 's',
     .value = "KEY.PATH=VALUE",
     .help = "replaces a field of the spec; may be given again",
     .repeats = true},
    {.name = "watch", .letter = 'w', .help = "follows the job; the exit code tells its outcome"},
    {.name = "json", .help = "prints {\"job\", \"name\", \"digest\", \"state\"}"},
};

static enum status tell(const json_t *answer, bool is_json, struct error *err)
{
    long long id = json_get_int(answer, "job", 0);

    if (is_json) {
        return output_json(answer, err);
    }
    (void)printf("%lld\n", id);
    (void)fflush(stdout);
    (void)fprintf(stderr, "submitted %s as job %lld; follow it with: remora watch %lld\n",
                  json_get_text(answer, "name", ""), id, id);
    return STATUS_OK;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    json_t *spec = NULL;
    json_t *answer = NULL;

    enum status status = spec_from_command_line(&spec, line, err);
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = session_call(&session, RPC_METHOD_JOB_SUBMIT, json_pack("{s:O}", "spec", spec),
                              &answer, err);
    }
    if (!status) {
        status = tell(answer, command_flag(line, "json"), err);
    }
    if (!status && command_flag(line, "watch")) {
        struct job_reference job = job_reference_of_id(json_get_int(answer, "job", 0));
        /* Our result is the id, so what is watched goes with the rest. */
        status = watch_command(&session, &job, stderr, exit_code, err);
    }
    json_decref(answer);
    json_decref(spec);
    session_close(&session);
    return status;
}

const struct command command_submit = {
    .name = "submit",
    .usage = "SPEC [-s KEY.PATH=VALUE]... [--watch] [--json]",
    .summary = "gives a job to the daemon and prints its id",
    .examples = "  remora submit pubmed-demo.yaml\n"
                "  remora submit pubmed-demo.yaml -s steps=1200 -s optimizer.lr=5e-4 --watch\n"
                "  job=$(remora submit pubmed-demo.yaml)\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
