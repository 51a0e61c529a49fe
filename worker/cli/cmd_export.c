#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/store/checkpoint.h"
#include "proto/store/checkpoint_path.h"
#include "worker/cli/commands.h"
#include "worker/convert/hf_export.h"
#include "worker/method/learner.h"
#include "worker/ops/backend.h"
#include "worker/train/snapshot.h"

static const struct command_option options[] = {
    {.name = "to", .value = "DIR", .help = "the folder to write (needed)"},
    {.name = "raw", .help = "every tensor of the state instead of the merged model"},
    {.name = "force", .help = "write over an earlier export"},
};

/* What an export holds while it runs. */
struct export
{
    struct found_checkpoint found;
    struct backend *backend;
    struct learner *learner;
};

/* Rebuilds the learner from the spec that the checkpoint carries, and fills it. */
static enum status load_learner(struct export *export, struct error *err)
{
    const json_t *meta = checkpoint_meta(export->found.checkpoint);
    struct learner_options learner_options;

    enum status status = snapshot_options(&learner_options, meta, err);
    if (!status) {
        learner_options.purpose = LEARNER_PURPOSE_STATE;
        learner_options.memory_limit_bytes = memory_available_bytes();
        status = backend_cpu_create(&export->backend, 1, err);
    }
    if (!status) {
        status = learner_create(&export->learner, &learner_options, export->backend, err);
    }
    if (!status) { /* says which tensors there are */
        status = learner_set_state(export->learner, json_object_get(meta, "learner"), err);
    }
    return status ? status : snapshot_read_tensors(export->learner, export->found.checkpoint, err);
}

/* The run's own copy of the tokenizer, else the one that the spec named; it must be the same. */
static enum status find_tokenizer(const struct export *export, char *out, struct error *err)
{
    const json_t *meta = checkpoint_meta(export->found.checkpoint);
    const char *wanted = json_get_text(json_object_get(meta, "digests"), "tokenizer", "");
    const json_t *spec = json_object_get(meta, "spec");
    const char *named = json_get_text(json_object_get(spec, "model"), "tokenizer", "");
    char hex[DIGEST_HEX_BYTES];
    struct digest digest;

    enum status status = path_printf(out, err, "%s/tokenizer.model", export->found.run_folder);
    if (!status && !file_exists(out)) {
        status = path_printf(out, err, "%s", named);
    }
    if (!status) {
        status = digest_of_file(&digest, out, err);
    }
    if (status) {
        return error_wrap(err, "the run's tokenizer");
    }
    digest_to_hex(hex, &digest);
    if (strcmp(hex, wanted) != 0) {
        return error_set(err, STATUS_CONFLICT, "'%s' is not the tokenizer of this run", out);
    }
    return STATUS_OK;
}

static enum status check_target(const char *folder, bool is_raw, bool is_forced, struct error *err)
{
    char path[PATH_BYTES_MAX];

    if (folder == NULL) {
        return error_set(err, STATUS_INVALID, "--to DIR is missing");
    }
    enum status status =
        path_printf(path, err, "%s/%s", folder, is_raw ? "raw.safetensors" : "model.safetensors");
    if (!status && file_exists(path) && !is_forced) {
        (void)error_set(err, STATUS_CONFLICT, "'%s' is there already", path);
        error_set_hint(err, "name another folder, or add --force");
        return STATUS_CONFLICT;
    }
    return status;
}

static enum status export_to(const struct export *export, const char *folder, bool is_raw,
                             struct error *err)
{
    char tokenizer[PATH_BYTES_MAX];
    struct hf_export what = {
        .learner = export->learner,
        .folder = folder,
        .tokenizer_path = tokenizer,
        .meta = checkpoint_meta(export->found.checkpoint),
    };

    if (is_raw) {
        return hf_export_raw(&what, err);
    }
    enum status status = find_tokenizer(export, tokenizer, err);
    return status ? status : hf_export_merged(&what, err);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    const char *folder = command_text(line, "to", NULL);
    bool is_raw = command_flag(line, "raw");
    struct export export = {0};
    (void)exit_code;

    enum status status = check_target(folder, is_raw, command_flag(line, "force"), err);
    if (!status) {
        status = checkpoint_path_open(&export.found, command_argument(line, 0), err);
    }
    if (!status) {
        status = load_learner(&export, err);
    }
    if (!status) {
        status = export_to(&export, folder, is_raw, err);
    }
    if (!status) {
        (void)printf("%s: step %" PRId64 " of %s\n", folder,
                     checkpoint_ref_of(export.found.checkpoint)->step,
                     json_get_text(checkpoint_meta(export.found.checkpoint), "run", "?"));
    }
    learner_destroy(export.learner);
    backend_destroy(export.backend);
    found_checkpoint_close(&export.found);
    return status;
}

const struct command command_export = {
    .name = "export",
    .usage = "CHECKPOINT --to DIR [options]",
    .summary = "write a checkpoint as a Hugging Face model",
    .examples = "  remora-worker export runs/pubmed-demo --to model/\n"
                "  remora-worker export runs/pubmed-demo@300 --to state/ --raw\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
