/* export — a checkpoint as a Hugging Face folder; remora-worker does it. */
#include <stdio.h>

#include "client/commands.h"
#include "client/session.h"
#include "client/spawn.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"

static const struct command_option options[] = {
    {.name = "to", .value = "DIR", .help = "the folder to make"},
    {.name = "raw", .help = "every tensor of the checkpoint instead of the merged model"},
    {.name = "force", .help = "writes over an earlier export"},
};

/* out[PATH_BYTES_MAX] <- RUN or RUN@STEP, the checkpoint as remora-worker takes it. */
static enum status checkpoint_name(char *out, struct session *session,
                                   const struct job_reference *reference, struct error *err)
{
    json_t *detail = NULL;
    const char *state_folder = json_get_text(rpc_client_hello(session->client), "state_dir", NULL);

    enum status status = session_get_job(session, reference, &detail, err);
    if (status) {
        return status;
    }
    long long id = json_get_int(json_object_get(detail, "job"), "id", 0);
    /* A rank killed right after a commit has not told of it: remora-worker looks for itself. */
    bool has_started = json_array_size(json_object_get(detail, "attempts")) > 0;
    json_decref(detail);
    if (!has_started) {
        (void)error_set(err, STATUS_NOT_FOUND, "job %lld has no checkpoint yet", id);
        error_set_hint(err, "remora watch %lld shows when it has", id);
        return STATUS_NOT_FOUND;
    }
    if (state_folder == NULL) {
        return error_set(err, STATUS_UNSUPPORTED, "the daemon does not say where its jobs are");
    }
    return reference->step < 0 ? path_printf(out, err, "%s/jobs/%lld/run", state_folder, id)
                               : path_printf(out, err, "%s/jobs/%lld/run@%lld", state_folder, id,
                                             (long long)reference->step);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;
    char checkpoint[PATH_BYTES_MAX];
    const char *to = command_text(line, "to", NULL);
    (void)exit_code;

    enum status status = job_reference_parse(&job, command_argument(line, 0), true, err);
    if (!status && to == NULL) {
        status = error_set(err, STATUS_INVALID, "option '--to' is missing: where should it go?");
    }
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = checkpoint_name(checkpoint, &session, &job, err);
    }
    session_close(&session);
    if (status) {
        return status;
    }
    const char *arguments[8] = {"remora-worker", "export", checkpoint, "--to", to};
    size_t count = 5;
    if (command_flag(line, "raw")) {
        arguments[count++] = "--raw";
    }
    if (command_flag(line, "force")) {
        arguments[count++] = "--force";
    }
    return spawn_become(arguments, err);
}

const struct command command_export = {
    .name = "export",
    .usage = "JOB[@STEP] --to DIR [--raw] [--force]",
    .summary = "writes a checkpoint as a Hugging Face folder",
    .examples = "  remora export pubmed-demo --to model/\n"
                "  remora export pubmed-demo@200 --to model-200/\n"
                "  remora export 12 --to tensors/ --raw\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
