/*
 * corpus — the data of a run: its shards, opened and checked, and the batch of every step.
 *
 * Which tokens step s sees is a pure function of (seed, s, the shards): see sampler.h. The
 * validation data are the first sequences of the validation shards, the same at every evaluation.
 *
 * Ownership: the caller owns the corpus. Threads: any may read an open one.
 */
#pragma once

#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "proto/spec/train_spec.h"
#include "worker/train/sampler.h"
#include "worker/train/sources.h"

struct shard_set;

struct corpus {
    int64_t sequence_length;      /* T */
    int64_t batch_global;         /* sequences of a step */
    int64_t sequences;            /* of all training sources: one epoch */
    int64_t validation_sequences; /* that are evaluated, at least 1 */
    int64_t vocab_size;
    struct digest digest; /* over the digests of the shards, in the spec's order */
    struct digest tokenizer_digest;
    struct sampler sampler;
    struct shard_set *train[SPEC_SOURCES_MAX];
    size_t train_count;
    struct shard_set *validation;
};

/* Opens what spec names and paths locate. Errors name the field: a missing or damaged shard, shards
 * made with another tokenizer than the spec's, too little data for one sequence. */
MUST_USE enum status corpus_open(struct corpus *corpus, const struct train_spec *spec,
                                 const struct source_paths *paths, struct error *err);
void corpus_close(struct corpus *corpus);

/* tokens[count][T + 1] <- the sequences at places first … first + count - 1 of the global batch of
 * step, which is counted from 1. */
MUST_USE enum status corpus_batch(const struct corpus *corpus, int64_t step, int64_t first,
                                  int64_t count, uint32_t *tokens, struct error *err);

/* tokens[count][T + 1] <- validation sequences first … first + count - 1. */
MUST_USE enum status corpus_validation(const struct corpus *corpus, int64_t first, int64_t count,
                                       uint32_t *tokens, struct error *err);
