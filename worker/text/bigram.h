/*
 * bigram — how well pairs of neighbouring tokens alone predict a validation set: the baseline that
 * a trained model has to beat.
 *
 * With counts over the training stream x_0 … x_{N-1},
 *
 *     c(w) = #{i : x_i = w}        c(v,w) = #{i : x_i = v, x_{i+1} = w}        c(v,·) = sum_w
 * c(v,w)
 *
 *     p(w | v) = b * c(v,w) / c(v,·)  +  u * c(w) / N  +  (1 - b - u) / vocab_size
 *
 * where c(v,w) / c(v,·) is replaced by c(w) / N when c(v,·) = 0. The weights are fitted on the very
 * targets that are then scored, by expectation maximisation (Jelinek & Mercer 1980)
 *
 *     b <- mean over targets of  b * p_bigram / p,        and likewise u,
 *
 * until the mean log-likelihood changes by less than 1e-10; it is concave in the weights, so this
 * is its maximum, and no interpolated model with other weights does better: a strong baseline.
 *
 * Targets are those of the trainer's evaluation: the first `sequences` sequences of sequence_length
 * + 1 validation tokens (shard_set.h), sequences * sequence_length targets, each predicted from the
 * token before it. loss is the mean of -ln p over them, perplexity its exponential.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"
#include "proto/shards/shard_set.h"

struct bigram_result {
    int64_t sequences; /* scored: at most what the validation set has */
    int64_t targets;
    int64_t train_tokens;
    double loss;
    double perplexity;
    double weight_bigram;
    double weight_unigram;
    double weight_uniform;
    int iterations;
};

/* INVALID when the sets were made with different tokenizers, or when validation has no whole
 * sequence of this length. Memory grows with the targets, not with the training set. */
MUST_USE enum status bigram_evaluate(struct bigram_result *out, const struct shard_set *train,
                                     const struct shard_set *validation, int64_t sequences,
                                     int64_t sequence_length, struct error *err);
