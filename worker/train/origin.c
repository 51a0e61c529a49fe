#include "worker/train/origin.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/spec/spec.h"
#include "proto/store/checkpoint.h"
#include "worker/convert/hf_config.h"
#include "worker/convert/hf_model.h"
#include "worker/text/tokenizer.h"
#include "worker/train/snapshot.h"

static enum status at_field(enum status status, struct error *err)
{
    if (status) {
        (void)error_wrap(err, "model.from");
        error_set_field(err, "model.from");
    }
    return status;
}

static const json_t *meta_of(const struct origin *origin)
{
    return checkpoint_meta(origin->found.checkpoint);
}

static bool is_none(const struct origin *origin)
{
    return origin->hf == NULL && origin->found.checkpoint == NULL;
}

static enum status open_hf(struct origin *origin, const char *folder, struct error *err)
{
    enum status status = hf_model_open(&origin->hf, folder, err);
    if (status) {
        return status;
    }
    origin->hf_shape = hf_config_shape(hf_model_config(origin->hf));
    return origin->hf_shape == NULL
               ? error_set(err, STATUS_NO_MEMORY, "no memory for the shape of '%s'", folder)
               : STATUS_OK;
}

/* The object with preset or config that is the origin's shape. */
static const json_t *own_shape(const struct origin *origin)
{
    return origin->hf != NULL ? origin->hf_shape : json_object_get(meta_of(origin), "model");
}

enum status origin_open(struct origin *origin, struct train_spec *spec, const char *run_folder,
                        struct error *err)
{
    struct error ignored;

    if (spec->model.from == NULL) {
        return STATUS_OK;
    }
    const char *hf_folder = spec_hf_folder(spec->model.from);
    enum status status = hf_folder != NULL
                             ? open_hf(origin, hf_folder, err)
                             : checkpoint_path_open(&origin->found, spec->model.from, err);
    if (status == STATUS_NOT_FOUND &&
        checkpoint_path_open(&origin->found, run_folder, &ignored) == STATUS_OK) {
        origin->is_own = true;
        status = STATUS_OK;
    }
    if (!status && spec->model.hidden_size == 0 &&
        !train_spec_read_shape(spec, own_shape(origin))) {
        status = error_set(err, STATUS_CORRUPT, "the checkpoint does not say what its model is");
    }
    return at_field(status, err);
}

void origin_close(struct origin *origin)
{
    found_checkpoint_close(&origin->found);
    hf_model_close(origin->hf);
    json_decref(origin->hf_shape);
    origin->hf = NULL;
    origin->hf_shape = NULL;
}

const json_t *origin_shape(const struct origin *origin, const json_t *spec)
{
    const json_t *model = json_object_get(spec, "model");
    const bool has_own = json_object_get(model, "preset") || json_object_get(model, "config");

    return has_own || is_none(origin) ? model : own_shape(origin);
}

enum status origin_describe(const struct origin *origin, json_t **out, struct error *err)
{
    char digest[DIGEST_HEX_BYTES];

    *out = NULL;
    if (is_none(origin)) {
        return STATUS_OK;
    }
    if (origin->hf != NULL) {
        digest_to_hex(digest, hf_model_digest(origin->hf));
        *out =
            json_pack("{s:s+, s:s}", "path", "hf:", hf_model_folder(origin->hf), "digest", digest);
        return *out == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for the run's identity")
                            : STATUS_OK;
    }
    const struct checkpoint_ref *ref = checkpoint_ref_of(origin->found.checkpoint);
    digest_to_hex(digest, &ref->digest);
    if (origin->is_own) {
        *out = json_deep_copy(json_object_get(meta_of(origin), "begun_with"));
        return STATUS_OK;
    }
    *out = json_pack("{s:s, s:s, s:I, s:s}", "path", checkpoint_path(origin->found.checkpoint),
                     "run", json_get_text(meta_of(origin), "run", ""), "step",
                     (json_int_t)ref->step, "digest", digest);
    return *out == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for the run's identity")
                        : STATUS_OK;
}

/* "model.config.hidden_size: 64 here, 32 in the checkpoint '…'" */
static enum status differs(const struct origin *origin, const char *field, double here,
                           double there, struct error *err)
{
    if (origin->hf != NULL) {
        (void)error_set(err, STATUS_CONFLICT, "%s: %.10g here, %.10g in '%s/config.json'", field,
                        here, there, hf_model_folder(origin->hf));
        error_set_field(err, "%s", field);
        error_set_hint(err, "leave model.preset and model.config out to take the model's shape");
        return STATUS_CONFLICT;
    }
    (void)error_set(err, STATUS_CONFLICT,
                    "%s: %.10g here, %.10g in the checkpoint '%s' of run '%s'", field, here, there,
                    checkpoint_path(origin->found.checkpoint),
                    json_get_text(meta_of(origin), "run", "?"));
    error_set_field(err, "%s", field);
    error_set_hint(err, "leave model.preset and model.config out to take the checkpoint's shape");
    return STATUS_CONFLICT;
}

static enum status check_shape(const struct origin *origin, const struct model_config *here,
                               const struct model_config *there, struct error *err)
{
    const struct {
        const char *field;
        double here;
        double there;
    } parts[] = {
#define PART(name) {"model.config." #name, (double)here->name, (double)there->name}
        PART(hidden_size),
        PART(intermediate_size),
        PART(num_hidden_layers),
        PART(num_attention_heads),
        PART(head_dim),
        PART(num_key_value_heads),
        PART(rms_norm_eps),
        PART(rope_theta),
        PART(tie_word_embeddings),
        PART(rope_scaling.factor),
        PART(rope_scaling.low_freq_factor),
        PART(rope_scaling.high_freq_factor),
        PART(rope_scaling.original_max_position_embeddings),
#undef PART
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].here < parts[i].there || parts[i].here > parts[i].there) {
            return differs(origin, parts[i].field, parts[i].here, parts[i].there, err);
        }
    }
    return STATUS_OK;
}

static enum status check_tokenizer(const struct origin *origin, const struct corpus *corpus,
                                   struct error *err)
{
    const char *there =
        json_get_text(json_object_get(meta_of(origin), "digests"), "tokenizer", "nothing");
    char here[DIGEST_HEX_BYTES];

    digest_to_hex(here, &corpus->tokenizer_digest);
    if (strcmp(here, there) == 0) {
        return STATUS_OK;
    }
    (void)error_set(err, STATUS_CONFLICT,
                    "model.tokenizer: %.12s… here, %.12s… in the checkpoint '%s' of run '%s'", here,
                    there, checkpoint_path(origin->found.checkpoint),
                    json_get_text(meta_of(origin), "run", "?"));
    error_set_field(err, "model.tokenizer");
    error_set_hint(err, "prepare the data with that run's tokenizer, '%s/tokenizer.model'",
                   origin->found.run_folder);
    return STATUS_CONFLICT;
}

/* A folder without a tokenizer of its own says nothing about what its numbers mean. */
static enum status check_hf_tokenizer(const struct origin *origin, const struct corpus *corpus,
                                      struct error *err)
{
    const char *folder = hf_model_folder(origin->hf);
    char path[PATH_BYTES_MAX];
    struct error ignored;
    struct digest digest;

    enum status status = hf_file_path(path, folder, "tokenizer.model", err);
    if (status == STATUS_NOT_FOUND) {
        if (hf_file_path(path, folder, "tokenizer.json", &ignored) == STATUS_NOT_FOUND) {
            log_warn("'%s' has no tokenizer.model to compare model.tokenizer with", folder);
            return STATUS_OK;
        }
        (void)error_set(err, STATUS_UNSUPPORTED,
                        "model.tokenizer: '%s' has a tokenizer.json and no tokenizer.model, and "
                        "tokenizers here are SentencePiece models",
                        folder);
        error_set_field(err, "model.tokenizer");
        error_set_hint(err, "where that tokenizer exists as a SentencePiece model, put it there");
        return STATUS_UNSUPPORTED;
    }
    if (!status) {
        status = digest_of_file(&digest, path, err);
    }
    if (status || digest_equal(&digest, &corpus->tokenizer_digest)) {
        return status;
    }
    struct tokenizer *tokenizer = NULL;
    status = tokenizer_load(&tokenizer, path, err);
    tokenizer_destroy(tokenizer);
    if (!status) {
        status = error_set(err, STATUS_CONFLICT, "is not the model's own, '%s'", path);
        error_set_hint(err, "prepare the data with that tokenizer");
    }
    (void)error_wrap(err, "model.tokenizer");
    error_set_field(err, "model.tokenizer");
    return status;
}

enum status origin_widen_vocabulary(const struct origin *origin, struct corpus *corpus,
                                    struct error *err)
{
    int64_t there = 0;

    if (origin->hf != NULL) {
        there = hf_model_config(origin->hf)->vocab_size;
    } else if (origin->found.checkpoint != NULL) {
        there = json_get_int(meta_of(origin), "vocab_size", 0);
    }
    if (is_none(origin) || there == corpus->vocab_size) {
        return STATUS_OK;
    }
    if (there < corpus->vocab_size) {
        (void)error_set(err, STATUS_CONFLICT,
                        "model.tokenizer: has %" PRId64
                        " tokens, and the model of model.from %" PRId64,
                        corpus->vocab_size, there);
        error_set_field(err, "model.tokenizer");
        return STATUS_CONFLICT;
    }
    corpus->vocab_size = there;
    return STATUS_OK;
}

enum status origin_check(const struct origin *origin, const struct model_config *config,
                         const struct corpus *corpus, struct error *err)
{
    struct learner_options there;

    if (origin->hf != NULL) {
        enum status status = check_shape(origin, config, hf_model_config(origin->hf), err);
        return status ? status : check_hf_tokenizer(origin, corpus, err);
    }
    if (origin->found.checkpoint == NULL) {
        return STATUS_OK;
    }
    enum status status = snapshot_options(&there, meta_of(origin), err);
    if (status) {
        return at_field(status, err);
    }
    status = check_shape(origin, config, &there.config, err);
    return status ? status : check_tokenizer(origin, corpus, err);
}

/* Copies tensor by tensor; both tables begin with the model's own, in one order. */
static void take_merged(const struct learner *source, struct learner *learner)
{
    const struct param_table *from = learner_params(source);
    const struct param_table *to = learner_params(learner);

    assert(from->model_count == to->model_count);
    for (int64_t i = 0; i < to->model_count; i++) {
        assert(strcmp(from->params[i].name, to->params[i].name) == 0);
        assert(from->params[i].elements == to->params[i].elements);
        learner_merged_tensor(source, i, to->params[i].value);
    }
}

/* Straight into the learner's tensors: there is never a second copy. */
static enum status load_hf(const struct hf_model *model, struct learner *learner, struct error *err)
{
    const struct param_table *table = learner_params(learner);
    enum status status = STATUS_OK;

    for (int64_t i = 0; i < table->model_count && !status; i++) {
        status = hf_model_read(model, i, table->params[i].value, err);
    }
    if (!status) {
        status = learner_start_adapters(learner, err);
    }
    if (!status) {
        log_info("begins with '%s'", hf_model_folder(model));
    }
    return status;
}

static enum status load_checkpoint(const struct origin *origin, struct learner *learner,
                                   struct backend *backend, struct error *err)
{
    const struct checkpoint_ref *ref = checkpoint_ref_of(origin->found.checkpoint);
    struct learner_options options;
    struct learner *source = NULL;

    enum status status = snapshot_options(&options, meta_of(origin), err);
    /* The moments are planned, too, but never touched: they take no memory. */
    options.memory_limit_bytes = 0;
    if (!status) {
        status = learner_create(&source, &options, backend, err);
    }
    if (!status) {
        status = snapshot_read_values(source, origin->found.checkpoint, err);
    }
    if (!status) {
        status = learner_set_state(source, json_object_get(meta_of(origin), "learner"), err);
    }
    if (!status) {
        take_merged(source, learner);
        status = learner_start_adapters(learner, err);
    }
    if (!status) {
        log_info("begins with step %" PRId64 " of run '%s'", ref->step,
                 json_get_text(meta_of(origin), "run", "?"));
    }
    learner_destroy(source);
    return status;
}

enum status origin_load(const struct origin *origin, struct learner *learner,
                        struct backend *backend, struct error *err)
{
    enum status status = STATUS_OK;

    if (origin->is_own) {
        status = error_set(err, STATUS_NOT_FOUND,
                           "the checkpoint is gone, and none of the run's own is whole");
    } else if (origin->hf != NULL) {
        status = load_hf(origin->hf, learner, err);
    } else {
        status = load_checkpoint(origin, learner, backend, err);
    }
    return at_field(status, err);
}
