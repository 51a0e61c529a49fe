#include "worker/text/bigram.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/base/checked.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

#define SCAN_TOKENS    4096
#define ITERATIONS_MAX 10000
#define LOSS_CHANGE    1e-10

/* A pair of the validation targets, its count in training, and how many targets are this pair. */
struct pair {
    uint32_t before;
    uint32_t token;
    int64_t train_count;
    int64_t target_count; /* 0: a free slot */
};

struct bigram {
    uint32_t vocab_size;
    struct pair *pairs; /* open addressing, [slot_count], a power of two */
    size_t slot_count;
    int64_t *counts;        /* [vocab_size] c(w) */
    int64_t *before_counts; /* [vocab_size] c(v,·) */
    int64_t train_tokens;
    int64_t targets;
};

static struct pair *find_slot(const struct bigram *bigram, uint32_t before, uint32_t token)
{
    uint64_t hash = ((uint64_t)before << 32 | token) * 0x9e3779b97f4a7c15U;
    size_t at = (hash >> 20) & (bigram->slot_count - 1);
    while (bigram->pairs[at].target_count != 0 &&
           (bigram->pairs[at].before != before || bigram->pairs[at].token != token)) {
        at = (at + 1) & (bigram->slot_count - 1);
    }
    return &bigram->pairs[at];
}

static enum status allocate(struct bigram *bigram, struct error *err)
{
    bigram->slot_count = 1024;
    while (bigram->slot_count < 2 * (size_t)bigram->targets) {
        bigram->slot_count *= 2;
    }
    bigram->pairs = sys_calloc(bigram->slot_count, sizeof *bigram->pairs);
    bigram->counts = sys_calloc(bigram->vocab_size, sizeof *bigram->counts);
    bigram->before_counts = sys_calloc(bigram->vocab_size, sizeof *bigram->before_counts);
    if (!bigram->pairs || !bigram->counts || !bigram->before_counts) {
        return error_set(err, STATUS_NO_MEMORY, "bigram: out of memory");
    }
    return STATUS_OK;
}

static enum status collect_targets(struct bigram *bigram, const struct shard_set *validation,
                                   int64_t sequences, int64_t sequence_length, struct error *err)
{
    enum status status = STATUS_OK;
    uint32_t *tokens = sys_calloc((size_t)sequence_length + 1, sizeof *tokens);
    if (!tokens) {
        return error_set(err, STATUS_NO_MEMORY, "bigram: out of memory");
    }
    for (int64_t j = 0; !status && j < sequences; j++) {
        status = shard_set_read_sequence(validation, j, sequence_length, tokens, err);
        for (int64_t t = 0; !status && t < sequence_length; t++) {
            struct pair *pair = find_slot(bigram, tokens[t], tokens[t + 1]);
            pair->before = tokens[t];
            pair->token = tokens[t + 1];
            pair->target_count++;
        }
    }
    free(tokens);
    return status;
}

static void count_pair(struct bigram *bigram, uint32_t before, uint32_t token)
{
    bigram->before_counts[before]++;
    struct pair *pair = find_slot(bigram, before, token);
    if (pair->target_count != 0) {
        pair->train_count++;
    }
}

static enum status count_training(struct bigram *bigram, const struct shard_set *train,
                                  struct error *err)
{
    uint32_t tokens[SCAN_TOKENS];
    uint32_t before = 0;
    for (int64_t first = 0; first < bigram->train_tokens; first += SCAN_TOKENS) {
        int64_t left = bigram->train_tokens - first;
        int64_t count = left < SCAN_TOKENS ? left : SCAN_TOKENS;
        enum status status = shard_set_read(train, first, count, tokens, err);
        if (status) {
            return status;
        }
        for (int64_t i = 0; i < count; i++) {
            bigram->counts[tokens[i]]++;
            if (first + i > 0) {
                count_pair(bigram, before, tokens[i]);
            }
            before = tokens[i];
        }
    }
    return STATUS_OK;
}

struct probabilities {
    double bigram;
    double unigram;
    double uniform;
};

static struct probabilities probabilities_of(const struct bigram *bigram, const struct pair *pair)
{
    struct probabilities p;
    int64_t before_count = bigram->before_counts[pair->before];
    p.uniform = 1.0 / bigram->vocab_size;
    p.unigram = (double)bigram->counts[pair->token] / (double)bigram->train_tokens;
    p.bigram = before_count ? (double)pair->train_count / (double)before_count : p.unigram;
    return p;
}

/* One round: the loss with the weights as they are, and the weights of the next round. */
static double improve(const struct bigram *bigram, struct bigram_result *result)
{
    double loss = 0.0;
    double share_bigram = 0.0;
    double share_unigram = 0.0;
    for (size_t i = 0; i < bigram->slot_count; i++) {
        const struct pair *pair = &bigram->pairs[i];
        if (pair->target_count == 0) {
            continue;
        }
        struct probabilities p = probabilities_of(bigram, pair);
        double from_bigram = result->weight_bigram * p.bigram;
        double from_unigram = result->weight_unigram * p.unigram;
        double sum = from_bigram + from_unigram + result->weight_uniform * p.uniform;
        double count = (double)pair->target_count;
        loss -= count * log(sum);
        share_bigram += count * from_bigram / sum;
        share_unigram += count * from_unigram / sum;
    }
    double targets = (double)bigram->targets;
    result->weight_bigram = share_bigram / targets;
    result->weight_unigram = share_unigram / targets;
    result->weight_uniform = 1.0 - result->weight_bigram - result->weight_unigram;
    return loss / targets;
}

static void fit(const struct bigram *bigram, struct bigram_result *result)
{
    double previous = INFINITY;
    result->weight_bigram = 0.5;
    result->weight_unigram = 0.4;
    result->weight_uniform = 0.1;
    do {
        struct bigram_result next = *result;
        double loss = improve(bigram, &next);
        result->loss = loss;
        result->iterations++;
        if (previous - loss < LOSS_CHANGE || result->iterations == ITERATIONS_MAX) {
            return; /* the loss belongs to the weights that are kept */
        }
        previous = loss;
        next.loss = loss;
        next.iterations = result->iterations;
        *result = next;
    } while (true);
}

static enum status check_sets(const struct shard_set *train, const struct shard_set *validation,
                              int64_t sequence_length, struct error *err)
{
    if (!digest_equal(shard_set_tokenizer_digest(train), shard_set_tokenizer_digest(validation))) {
        return error_set(err, STATUS_INVALID,
                         "the training and validation shards have different tokenizers");
    }
    if (shard_set_sequence_count(validation, sequence_length) == 0) {
        return error_set(err, STATUS_INVALID,
                         "the validation shards have %lld tokens, less than a sequence of %lld + 1",
                         (long long)shard_set_token_count(validation), (long long)sequence_length);
    }
    return STATUS_OK;
}

enum status bigram_evaluate(struct bigram_result *out, const struct shard_set *train,
                            const struct shard_set *validation, int64_t sequences,
                            int64_t sequence_length, struct error *err)
{
    assert(sequences > 0);
    assert(0 < sequence_length && sequence_length <= SEQUENCE_LENGTH_MAX);
    enum status status = check_sets(train, validation, sequence_length, err);
    if (status) {
        return status;
    }
    int64_t available = shard_set_sequence_count(validation, sequence_length);
    struct bigram_result result = {.sequences = sequences < available ? sequences : available};
    struct bigram bigram = {
        .vocab_size = shard_set_vocab_size(train),
        .train_tokens = shard_set_token_count(train),
        .targets = result.sequences * sequence_length,
    };
    result.targets = bigram.targets;
    result.train_tokens = bigram.train_tokens;
    status = allocate(&bigram, err);
    if (!status) {
        status = collect_targets(&bigram, validation, result.sequences, sequence_length, err);
    }
    if (!status) {
        status = count_training(&bigram, train, err);
    }
    if (!status) {
        fit(&bigram, &result);
        result.perplexity = exp(result.loss);
        *out = result;
    }
    free(bigram.pairs);
    free(bigram.counts);
    free(bigram.before_counts);
    return status;
}
