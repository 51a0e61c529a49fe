#include "worker/train/corpus.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/shards/shard_set.h"

/* Opens one set and checks that it was made with the tokenizer and the vocabulary of the others. */
static enum status open_set(struct corpus *corpus, struct shard_set **set, const char *folder,
                            const char *tokenizer, struct error *err)
{
    enum status status = shard_set_open(set, folder, err);
    if (status) {
        return status;
    }
    if (!digest_equal(shard_set_tokenizer_digest(*set), &corpus->tokenizer_digest)) {
        char made_with[DIGEST_HEX_BYTES];
        char given[DIGEST_HEX_BYTES];
        digest_to_hex(made_with, shard_set_tokenizer_digest(*set));
        digest_to_hex(given, &corpus->tokenizer_digest);
        (void)error_set(err, STATUS_CONFLICT,
                        "shards '%s' were made with tokenizer %.12s…, not with '%s' (%.12s…)",
                        folder, made_with, tokenizer, given);
        error_set_hint(err, "name the tokenizer.model beside the shards, or prepare them anew");
        return STATUS_CONFLICT;
    }
    int64_t vocab_size = shard_set_vocab_size(*set);
    if (corpus->vocab_size != 0 && vocab_size != corpus->vocab_size) {
        return error_set(err, STATUS_CORRUPT,
                         "shards '%s' have a vocabulary of %" PRId64 ", others one of %" PRId64,
                         folder, vocab_size, corpus->vocab_size);
    }
    corpus->vocab_size = vocab_size;
    if (shard_set_sequence_count(*set, corpus->sequence_length) == 0) {
        return error_set(err, STATUS_INVALID,
                         "shards '%s' have %" PRId64 " tokens, a sequence needs %" PRId64, folder,
                         shard_set_token_count(*set), corpus->sequence_length + 1);
    }
    return STATUS_OK;
}

static enum status open_train(struct corpus *corpus, const struct train_spec *spec,
                              const struct source_paths *paths, struct error *err)
{
    struct sampler_source sources[SPEC_SOURCES_MAX] = {{0}};

    for (size_t i = 0; i < spec->data.train_count; i++) {
        enum status status =
            open_set(corpus, &corpus->train[i], paths->train[i], paths->tokenizer, err);
        if (status) {
            error_set_field(err, "data.train[%zu].%s", i,
                            spec->data.train[i].shards == NULL ? "files" : "shards");
            return status;
        }
        corpus->train_count++;
        int64_t sequences = shard_set_sequence_count(corpus->train[i], corpus->sequence_length);
        sources[i].weight = spec->data.train[i].weight;
        sources[i].sequences = (uint64_t)sequences;
        corpus->sequences += sequences;
    }
    return sampler_init(&corpus->sampler, spec->seed, sources, corpus->train_count, err);
}

static enum status open_validation(struct corpus *corpus, const struct train_spec *spec,
                                   const struct source_paths *paths, struct error *err)
{
    enum status status =
        open_set(corpus, &corpus->validation, paths->validation, paths->tokenizer, err);
    if (status) {
        error_set_field(err, "data.validation%s",
                        spec->data.validation.shards == NULL ? "" : ".shards");
        return status;
    }
    int64_t present = shard_set_sequence_count(corpus->validation, corpus->sequence_length);
    int64_t wanted = spec->data.validation.sequences;
    corpus->validation_sequences = wanted < present ? wanted : present;
    return STATUS_OK;
}

static enum status digest_data(struct corpus *corpus, struct error *err)
{
    struct digest_stream *stream = NULL;

    enum status status = digest_stream_create(&stream, err);
    if (status) {
        return status;
    }
    for (size_t i = 0; i < corpus->train_count; i++) {
        digest_stream_update(stream, shard_set_digest(corpus->train[i])->bytes, DIGEST_BYTES);
    }
    digest_stream_update(stream, shard_set_digest(corpus->validation)->bytes, DIGEST_BYTES);
    digest_stream_finish(stream, &corpus->digest);
    digest_stream_destroy(stream);
    return STATUS_OK;
}

enum status corpus_open(struct corpus *corpus, const struct train_spec *spec,
                        const struct source_paths *paths, struct error *err)
{
    *corpus = (struct corpus){
        .sequence_length = spec->data.sequence_length,
        .batch_global = spec->batch.global,
    };
    enum status status = digest_of_file(&corpus->tokenizer_digest, paths->tokenizer, err);
    if (status) {
        error_set_field(err, "model.tokenizer");
        return status;
    }
    status = open_train(corpus, spec, paths, err);
    if (!status) {
        status = open_validation(corpus, spec, paths, err);
    }
    if (!status) {
        status = digest_data(corpus, err);
    }
    if (status) {
        corpus_close(corpus);
    }
    return status;
}

void corpus_close(struct corpus *corpus)
{
    for (size_t i = 0; i < SPEC_SOURCES_MAX; i++) {
        shard_set_close(corpus->train[i]);
    }
    shard_set_close(corpus->validation);
    sampler_deinit(&corpus->sampler);
    *corpus = (struct corpus){0};
}

enum status corpus_batch(const struct corpus *corpus, int64_t step, int64_t first, int64_t count,
                         uint32_t *tokens, struct error *err)
{
    int64_t row = corpus->sequence_length + 1;

    assert(step >= 1);
    assert(0 <= first && first + count <= corpus->batch_global);
    for (int64_t i = 0; i < count; i++) {
        struct sample sample;
        sampler_at(&corpus->sampler, (uint64_t)((step - 1) * corpus->batch_global + first + i),
                   &sample);
        enum status status =
            shard_set_read_sequence(corpus->train[sample.source], (int64_t)sample.sequence,
                                    corpus->sequence_length, tokens + i * row, err);
        if (status) {
            error_set_field(err, "data.train[%u]", sample.source);
            return status;
        }
    }
    return STATUS_OK;
}

enum status corpus_validation(const struct corpus *corpus, int64_t first, int64_t count,
                              uint32_t *tokens, struct error *err)
{
    int64_t row = corpus->sequence_length + 1;

    assert(0 <= first && first + count <= corpus->validation_sequences);
    for (int64_t i = 0; i < count; i++) {
        enum status status = shard_set_read_sequence(
            corpus->validation, first + i, corpus->sequence_length, tokens + i * row, err);
        if (status) {
            error_set_field(err, "data.validation");
            return status;
        }
    }
    return STATUS_OK;
}
