/*
 * learner — what the step loop trains: parameter table, model, method and optimizer state, planned
 * together and allocated at once.
 *
 * A step of the loop:
 *   learner_zero_grads → learner_forward_backward per micro-batch → (sum learner_grads over ranks)
 *   → learner_update → learner_merge where due, else learner_write_weights
 *
 * State: the tensors of learner_tensor() and the scalars of learner_state() are all that a
 * checkpoint needs; after loading both, call learner_write_weights.
 *
 * Ownership: the caller owns the learner; it borrows the backend. Tensors live as long as it does.
 * Threads:   one caller; computes with the backend's threads, same bits for any number of them.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/method/method.h"
#include "worker/model/model.h"
#include "worker/optim/adamw.h"

/* Tokens of the probe sequence of a merge: enough for several positions to attend to each other,
 * few enough that the double-precision reference stays affordable (its cost is that of one GEMV per
 * token and weight). */
#define LEARNER_PROBE_TOKENS_MAX 32
/* The bound that the probe must meet: that of its rounding. */
#define LEARNER_PROBE_ERROR_MAX      1e-5
#define LEARNER_PROBE_ERROR_MAX_BF16 3e-2

enum learner_purpose {
    LEARNER_PURPOSE_TRAIN,
    LEARNER_PURPOSE_STATE, /* tensors only: to read a checkpoint and export it */
    LEARNER_PURPOSE_PLAN   /* as to train, but no tensor is filled: to ask learner_memory() */
};

struct learner_options {
    struct model_config config;
    struct method_spec method;
    struct adamw_options optimizer;
    uint64_t seed;
    int64_t micro;           /* sequences per forward */
    int64_t sequence_length; /* T */
    int shard_rank;          /* ZeRO-1: this rank has the moments of one of */
    int shard_world;         /* so many shards; 0 and 1: of everything */
    int64_t lanes;           /* whose gradients this rank adds up by pairs: 1 (or 0), 2 or 4 */
    enum dtype dtype;        /* of operands */
    enum compute_recompute recompute;
    enum compute_rounding rounding; /* of effective weights in bf16 */
    enum learner_purpose purpose;
    size_t memory_limit_bytes; /* 0: no limit; see memory_available_bytes() */
};

/* One tensor of a checkpoint or raw export. */
struct learner_tensor {
    char name[PARAM_NAME_BYTES_MAX]; /* "model.layers.0.mlp.up_proj.weight.M.exp_avg" */
    int dimensions;
    int64_t shape[2];
    int64_t elements;
    /* data[count] are elements first … first + count - 1; all, but for moments that ranks share. */
    float *data;
    int64_t first;
    int64_t count;
};

struct learner;

/* The options that a spec asks for; method, optimizer and config are validated. dtype auto becomes
 * bf16 where has_bf16. */
MUST_USE enum status learner_options_from_spec(struct learner_options *out,
                                               const struct train_spec *spec, int64_t vocab_size,
                                               bool has_bf16, struct error *err);

/* Plans, allocates, initialises from the seed and writes the effective weights. */
MUST_USE enum status learner_create(struct learner **out, const struct learner_options *options,
                                    struct backend *backend, struct error *err);
void learner_destroy(struct learner *learner); /* NULL is fine */

const struct learner_options *learner_options(const struct learner *learner);
const struct param_table *learner_params(const struct learner *learner);
const struct memory_plan *learner_memory(const struct learner *learner);
struct model *learner_model(const struct learner *learner);
struct method *learner_method(const struct learner *learner);

/* The gradients of all trainables, one buffer; gaps between tensors are zero. After full-rank steps
 * there are fewer: ask anew in every step. */
float *learner_grads(const struct learner *learner, int64_t *count);
void learner_zero_grads(struct learner *learner);

/*
 * With several lanes, the gradients of each are accumulated from zero. Between two of them,
 * learner_end_lane keeps their sum so far and zeroes; after the last, learner_join_lane adds what
 * was kept, for any range of the buffer that is final. The sums are (0 + 1) + (2 + 3).
 */
void learner_end_lane(struct learner *learner, int64_t lane);
void learner_join_lane(struct learner *learner, int64_t lane, int64_t first, int64_t count);

/* As model_forward_backward and model_loss: the sum of the cross-entropies. */
double learner_forward_backward(struct learner *learner, const uint32_t *tokens, int64_t B,
                                double grad_scale);
double learner_loss(struct learner *learner, const uint32_t *tokens, int64_t B);

/* The global norm of the gradients, which are then clipped to clip_norm and applied with rate lr.
 * With shards only this rank's part of the parameters is updated, see learner_stage_update.
 * Does not write the effective weights: a merge may come between. Where the norm is not finite
 * nothing is changed, which *grad_norm tells. */
MUST_USE enum status learner_update(struct learner *learner, double lr, double clip_norm,
                                    double *grad_norm, struct error *err);
/*
 * With shards, after learner_update: learner_stage_update puts what this rank updated into its
 * place in the buffer of gradients, which are done with; the ranges of param_shard_range are then
 * exchanged; and learner_take_update takes the parameters from the buffer.
 */
void learner_stage_update(struct learner *learner);
void learner_take_update(struct learner *learner);
void learner_write_weights(struct learner *learner);

/* rounding auto: stochastic where operands are bf16 and every frozen linear is a bf16 number, for
 * then updates below half a last place would vanish (they do not where the base has lower bits, by
 * which they are carried over now and then); else nearest. Chosen when the learner is made, to be
 * chosen again when a run starts on another base; then part of the state. */
void learner_choose_rounding(struct learner *learner);

/* The adapters start on the base as it is now: after a run has taken it from elsewhere. */
MUST_USE enum status learner_start_adapters(struct learner *learner, struct error *err);

/* True when a merge is due after step (1-based) of steps. */
bool learner_merge_due(const struct learner *learner, int64_t step, int64_t steps);

/*
 * Merges and writes the effective weights, checking as method_merge does. Then the probe: the first
 * min(count, sequence_length, LEARNER_PROBE_TOKENS_MAX) of tokens go through the side-path
 * reference in double as the state was before the merge, and through the model as it is after it,
 * and their logits must agree to LEARNER_PROBE_ERROR_MAX (in bf16, to …_BF16). count 0 leaves the
 * probe out, for ranks whose rank 0 probes the same bits. STATUS_CORRUPT says what failed; the
 * state is then not to be stored.
 */
MUST_USE enum status learner_merge(struct learner *learner, const uint32_t *tokens, int64_t count,
                                   struct merge_report *report, struct error *err);

/* State tensors: values of the whole table in its order, then the moments of what is trainable in
 * the present cycle: after loading, learner_set_state comes first. */
int64_t learner_tensor_count(const struct learner *learner);
struct learner_tensor learner_tensor(const struct learner *learner, int64_t index);

/* Which elements of the tensor rank has, of those that share the moments. */
void learner_tensor_slice(const struct learner *learner, int64_t index, int rank, int64_t *first,
                          int64_t *count);

/* {"adam_steps": {"model": n, "adapter": n}, "method": {"cycle": n, "group_kind": "mod_tile"},
 *  "rounding": "nearest"} */
json_t *learner_state(const struct learner *learner);
MUST_USE enum status learner_set_state(struct learner *learner, const json_t *state,
                                       struct error *err);

/* The model's tensor with that index (0 … model_count − 1 of the table) as an export has it: its
 * linears merged. out[elements]. */
void learner_merged_tensor(const struct learner *learner, int64_t index, float *out);
