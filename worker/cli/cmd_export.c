#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/store/checkpoint.h"
#include "worker/cli/commands.h"
#include "worker/cli/loaded_checkpoint.h"
#include "worker/convert/hf_export.h"

static const struct command_option options[] = {
    {.name = "to", .value = "DIR", .help = "the folder to write (needed)"},
    {.name = "raw", .help = "every tensor of the state instead of the merged model"},
    {.name = "force", .help = "write over an earlier export"},
};

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

static enum status export_to(const struct loaded_checkpoint *loaded, const char *folder,
                             bool is_raw, struct error *err)
{
    char tokenizer[PATH_BYTES_MAX];
    struct hf_export what = {
        .learner = loaded->learner,
        .folder = folder,
        .tokenizer_path = tokenizer,
        .meta = checkpoint_meta(loaded->found.checkpoint),
    };

    if (is_raw) {
        return hf_export_raw(&what, err);
    }
    enum status status = loaded_checkpoint_tokenizer(loaded, tokenizer, err);
    return status ? status : hf_export_merged(&what, err);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    const char *folder = command_text(line, "to", NULL);
    bool is_raw = command_flag(line, "raw");
    struct loaded_checkpoint loaded = {0};
    (void)exit_code;

    enum status status = check_target(folder, is_raw, command_flag(line, "force"), err);
    if (!status) {
        status = loaded_checkpoint_open(&loaded, command_argument(line, 0), err);
    }
    if (!status) {
        status = export_to(&loaded, folder, is_raw, err);
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
                "  remora-worker export runs/pubmed-demo@300 --to state/ --raw\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
