#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/spec/spec.h"
#include "proto/store/checkpoint.h"
#include "worker/cli/commands.h"
#include "worker/cli/loaded_checkpoint.h"
#include "worker/convert/hf_export.h"
#include "worker/convert/peft_export.h"

static const struct command_option options[] = {
    {.name = "to", .value = "DIR", .help = "the folder to write (needed)"},
    {.name = "raw", .help = "every tensor of the state instead of the merged model"},
    {.name = "adapter", .help = "what was learnt as an adapter for PEFT, instead"},
    {.name = "base",
     .value = "NAME",
     .help = "with --adapter: how PEFT finds the base (default: hf: of model.from)"},
    {.name = "shard-bytes",
     .value = "N",
     .help = "of tensors in a file of the merged model, at most (default: 5000000000)"},
    {.name = "force", .help = "write over an earlier export"},
};

enum form { FORM_MERGED, FORM_RAW, FORM_ADAPTER };

/* What is written last. */
static const char *const written[] = {
    [FORM_MERGED] = "model.safetensors",
    [FORM_RAW] = "raw.safetensors",
    [FORM_ADAPTER] = "adapter_model.safetensors",
};

static enum status check_target(const char *folder, enum form form, bool is_forced,
                                struct error *err)
{
    char path[PATH_BYTES_MAX];
    char index[PATH_BYTES_MAX];

    if (folder == NULL) {
        return error_set(err, STATUS_INVALID, "--to DIR is missing");
    }
    enum status status = path_printf(path, err, "%s/%s", folder, written[form]);
    if (!status) {
        status = path_printf(index, err, "%s/model.safetensors.index.json", folder);
    }
    if (!status && !is_forced &&
        (file_exists(path) || (form == FORM_MERGED && file_exists(index)))) {
        (void)error_set(err, STATUS_CONFLICT, "'%s' is there already", path);
        error_set_hint(err, "name another folder, or add --force");
        return STATUS_CONFLICT;
    }
    return status;
}

/* The folder of Hugging Face's that the run began with, or NULL. */
static const char *hf_base(const json_t *meta)
{
    const char *from = json_get_text(json_object_get(meta, "begun_with"), "path", "");

    return spec_hf_folder(from);
}

static enum status export_adapter(const struct loaded_checkpoint *loaded,
                                  const struct command_line *line, const char *folder,
                                  struct error *err)
{
    const json_t *meta = checkpoint_meta(loaded->found.checkpoint);
    struct peft_size size;

    enum status status =
        peft_export(loaded->learner, folder, command_text(line, "base", hf_base(meta)), &size, err);
    if (!status) {
        (void)printf("%s: adapter of %" PRId64 " numbers, beside %" PRId64
                     " of the weights that it changes (%.1f %%)\n",
                     folder, size.adapter_elements, size.weight_elements,
                     100.0 * (double)size.adapter_elements / (double)size.weight_elements);
    }
    return status;
}

static enum status export_to(const struct loaded_checkpoint *loaded,
                             const struct command_line *line, const char *folder, enum form form,
                             struct error *err)
{
    char tokenizer[PATH_BYTES_MAX];
    long long shard_bytes = 0;
    struct hf_export what = {
        .learner = loaded->learner,
        .folder = folder,
        .tokenizer_path = tokenizer,
        .meta = checkpoint_meta(loaded->found.checkpoint),
    };

    if (form == FORM_RAW) {
        return hf_export_raw(&what, err);
    }
    if (form == FORM_ADAPTER) {
        return export_adapter(loaded, line, folder, err);
    }
    enum status status = command_int(line, "shard-bytes", 1, JSON_INTEGER_MAX,
                                     (long long)HF_SHARD_BYTES_MAX, &shard_bytes, err);
    what.shard_bytes_max = (size_t)shard_bytes;
    if (!status) {
        status = loaded_checkpoint_tokenizer(loaded, tokenizer, err);
    }
    return status ? status : hf_export_merged(&what, err);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    const char *folder = command_text(line, "to", NULL);
    const enum form form = command_flag(line, "raw")       ? FORM_RAW
                           : command_flag(line, "adapter") ? FORM_ADAPTER
                                                           : FORM_MERGED;
    struct loaded_checkpoint loaded = {0};
    (void)exit_code;

    enum status status = check_target(folder, form, command_flag(line, "force"), err);
    if (!status) {
        status = loaded_checkpoint_open(&loaded, command_argument(line, 0), err);
    }
    if (!status) {
        status = export_to(&loaded, line, folder, form, err);
    }
    if (!status) {
        (void)printf("%s: step %" PRId64 " of %s\n", folder,
                     checkpoint_ref_of(loaded.found.checkpoint)->step,
                     json_get_text(checkpoint_meta(loaded.found.checkpoint), "run", "?"));
    }
    loaded_checkpoint_close(&loaded);
    return status;
}

const struct command command_export = {
    .name = "export",
    .usage = "CHECKPOINT --to DIR [options]",
    .summary = "write a checkpoint as a Hugging Face model",
    .examples = "  remora-worker export runs/pubmed-demo --to model/\n"
                "  remora-worker export runs/pubmed-cpt --to adapter/ --adapter\n"
                "  remora-worker export runs/pubmed-demo@300 --to state/ --raw\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
