#include "worker/cli/loaded_checkpoint.h"

#include <string.h>

#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/store/checkpoint.h"
#include "worker/train/snapshot.h"

static enum status load_learner(struct loaded_checkpoint *loaded, struct error *err)
{
    const json_t *meta = checkpoint_meta(loaded->found.checkpoint);
    struct learner_options learner_options;

    enum status status = snapshot_options(&learner_options, meta, err);
    if (!status) {
        learner_options.purpose = LEARNER_PURPOSE_STATE;
        learner_options.memory_limit_bytes = memory_available_bytes();
        status = backend_cpu_create(&loaded->backend, 1, err);
    }
    if (!status) {
        status = learner_create(&loaded->learner, &learner_options, loaded->backend, err);
    }
    if (!status) { /* says which tensors there are */
        status = learner_set_state(loaded->learner, json_object_get(meta, "learner"), err);
    }
    return status ? status : snapshot_read_tensors(loaded->learner, loaded->found.checkpoint, err);
}

enum status loaded_checkpoint_tokenizer(const struct loaded_checkpoint *loaded, char *out,
                                        struct error *err)
{
    const json_t *meta = checkpoint_meta(loaded->found.checkpoint);
    const char *wanted = json_get_text(json_object_get(meta, "digests"), "tokenizer", "");
    const json_t *spec = json_object_get(meta, "spec");
    const char *named = json_get_text(json_object_get(spec, "model"), "tokenizer", "");
    char hex[DIGEST_HEX_BYTES];
    struct digest digest;

    enum status status = path_printf(out, err, "%s/tokenizer.model", loaded->found.run_folder);
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

enum status loaded_checkpoint_open(struct loaded_checkpoint *out, const char *text,
                                   struct error *err)
{
    *out = (struct loaded_checkpoint){0};
    enum status status = checkpoint_path_open(&out->found, text, err);

    return status ? status : load_learner(out, err);
}

void loaded_checkpoint_close(struct loaded_checkpoint *loaded)
{
    learner_destroy(loaded->learner);
    backend_destroy(loaded->backend);
    found_checkpoint_close(&loaded->found);
    *loaded = (struct loaded_checkpoint){0};
}
