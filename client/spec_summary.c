#include "client/spec_summary.h"

#include "proto/base/digest.h"
#include "proto/shards/shard_set.h"
#include "proto/spec/spec.h"

/* Trained parameters of a decoder layer's linears, as they are after any full-rank steps. */
static int64_t count_trained_linears(const struct train_spec *spec)
{
    const int64_t C = spec->model.hidden_size;
    const int64_t F = spec->model.intermediate_size;
    const struct {
        int64_t d, k;
    } linears[METHOD_TARGET_COUNT] = {{C, C}, {C, C}, {C, C}, {C, C}, {F, C}, {F, C}, {C, F}};
    int64_t count = 0;

    for (int target = 0; target < METHOD_TARGET_COUNT; target++) {
        const int64_t d = linears[target].d;
        const int64_t k = linears[target].k;
        if (spec->method.name == METHOD_NAME_FULL) {
            count += d * k;
        } else if ((spec->method.targets & 1U << target) != 0) {
            count += method_adapter_parameters(&spec->method, d, k);
        }
    }
    return count;
}

void spec_count_parameters(const struct train_spec *spec, int64_t vocab_size, int64_t *total,
                           int64_t *trainable)
{
    const int64_t C = spec->model.hidden_size;
    const int64_t F = spec->model.intermediate_size;
    const int64_t layers = spec->model.num_hidden_layers;
    const int64_t norms = (2 * layers + 1) * C;

    /* A layer's linears: q, k, v and o are C × C; gate, up and down join C and F. */
    *total = layers * (4 * C * C + 3 * C * F) + 2 * vocab_size * C + norms;
    *trainable = layers * count_trained_linears(spec);
    *trainable += spec->method.train.embeddings ? vocab_size * C : 0;
    *trainable += spec->method.train.norms ? norms : 0;
    *trainable += spec->method.train.head ? vocab_size * C : 0;
}

/* Opens a folder of shards and takes its counts; its tokens must be the tokenizer's. */
static enum status read_shards(struct spec_summary *summary, const char *folder,
                               const struct digest *tokenizer, int64_t *tokens, int64_t *sequences,
                               struct error *err)
{
    struct shard_set *set = NULL;

    enum status status = shard_set_open(&set, folder, err);
    if (status) {
        return status;
    }
    if (tokenizer != NULL && !digest_equal(tokenizer, shard_set_tokenizer_digest(set))) {
        status =
            error_set(err, STATUS_CONFLICT,
                      "model.tokenizer: the shards in %s were made with another tokenizer", folder);
        error_set_field(err, "model.tokenizer");
        error_set_hint(err, "name the tokenizer.model that prepare wrote beside the shards");
    }
    *tokens += shard_set_token_count(set);
    *sequences += shard_set_sequence_count(set, summary->spec.data.sequence_length);
    summary->vocab_size = shard_set_vocab_size(set);
    shard_set_close(set);
    return status;
}

static enum status read_training_data(struct spec_summary *out, const struct digest *tokenizer,
                                      struct error *err)
{
    for (size_t i = 0; i < out->spec.data.train_count; i++) {
        const char *shards = out->spec.data.train[i].shards;
        if (shards == NULL) { /* text: how many tokens it has is known once it is prepared */
            out->train_tokens = 0;
            out->train_sequences = 0;
            return STATUS_OK;
        }
        enum status status =
            read_shards(out, shards, tokenizer, &out->train_tokens, &out->train_sequences, err);
        if (status) {
            if (err->field[0] == '\0') {
                error_set_field(err, "data.train[%zu].shards", i);
            }
            return status;
        }
    }
    if (out->train_sequences == 0) {
        (void)error_set(err, STATUS_INVALID,
                        "data.sequence_length: %lld is more than the %lld tokens there are",
                        (long long)out->spec.data.sequence_length, (long long)out->train_tokens);
        error_set_field(err, "data.sequence_length");
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status read_validation_data(struct spec_summary *out, const struct digest *tokenizer,
                                        struct error *err)
{
    const char *shards = out->spec.data.validation.shards;
    int64_t tokens = 0;
    int64_t sequences = 0;

    if (shards == NULL) {
        return STATUS_OK;
    }
    enum status status = read_shards(out, shards, tokenizer, &tokens, &sequences, err);
    if (!status && sequences == 0) {
        status = error_set(err, STATUS_INVALID,
                           "data.validation.shards: %lld tokens are no sequence of %lld",
                           (long long)tokens, (long long)out->spec.data.sequence_length);
    }
    if (status && err->field[0] == '\0') {
        error_set_field(err, "data.validation.shards");
    }
    int64_t bound = out->spec.data.validation.sequences;
    out->validation_sequences = sequences < bound ? sequences : bound;
    return status;
}

static enum status read_data(struct spec_summary *out, struct error *err)
{
    struct digest tokenizer;
    const char *path = out->spec.model.tokenizer;

    if (path != NULL) {
        enum status status = digest_of_file(&tokenizer, path, err);
        if (status) {
            error_set_field(err, "model.tokenizer");
            return status;
        }
    }
    enum status status = read_training_data(out, path != NULL ? &tokenizer : NULL, err);
    return status ? status : read_validation_data(out, path != NULL ? &tokenizer : NULL, err);
}

enum status spec_summary_read(struct spec_summary *out, const json_t *spec, struct error *err)
{
    *out = (struct spec_summary){.slots = spec_slots(spec)};
    enum status status = train_spec_read(&out->spec, spec, err);
    if (status) {
        return status;
    }
    out->vocab_size = out->spec.model.tokenizer_vocab_size;
    out->tokens_per_step = out->spec.batch.global * out->spec.data.sequence_length;
    status = read_data(out, err);
    if (status) {
        return status;
    }
    if (out->vocab_size > 0) {
        spec_count_parameters(&out->spec, out->vocab_size, &out->parameters,
                              &out->trainable_parameters);
    }
    out->steps = out->spec.steps;
    if (out->steps == 0 && (out->train_sequences > 0 || out->spec.tokens > 0)) {
        status = train_spec_steps(&out->steps, &out->spec, out->train_sequences, err);
    }
    return status;
}

json_t *spec_summary_to_json(const struct spec_summary *summary)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "vocab_size",
                     (json_int_t)summary->vocab_size, "parameters", (json_int_t)summary->parameters,
                     "trainable_parameters", (json_int_t)summary->trainable_parameters,
                     "train_tokens", (json_int_t)summary->train_tokens, "train_sequences",
                     (json_int_t)summary->train_sequences, "validation_sequences",
                     (json_int_t)summary->validation_sequences, "tokens_per_step",
                     (json_int_t)summary->tokens_per_step, "steps", (json_int_t)summary->steps,
                     "slots", (json_int_t)summary->slots);
}
