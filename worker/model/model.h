/*
 * model — a LLaMA (Touvron et al. 2023) on one rank: forward, and backward written by hand.
 *
 *   x = embedding[tokens]
 *   L times:  x += o(attention(rope(q|k|v(rmsnorm(x)))))
 *             x += down(swiglu(gate|up(rmsnorm(x))))
 *   loss = cross_entropy(head(rmsnorm(x)), targets)
 *
 * The model multiplies by *effective* weights and does not know how they came about: a method
 * (worker/method) writes them once per optimizer step and is handed (X, dY) of every group of
 * linears in the backward pass. Where a linear is_effective in the table and operands are fp32, its
 * weight is the parameter itself; else it is memory of its own, filled through model_take_weight().
 *
 * In bf16 the operands of products are: effective weights, normed inputs, q, k, v, attention's
 * output, the MLP's activations, and the gradients of all these. Parameters, their gradients, the
 * residual stream and its gradient, softmax, norms, logits and losses are fp32.
 *
 * Holds the activations of one micro-batch of up to `micro` sequences of up to `sequence_length`
 * tokens; the logits of a whole micro-batch never exist at once.
 *
 * Ownership: borrows config, table and backend, which outlive it. Memory comes from the plan.
 * Threads:   one caller; it computes with the backend's threads. Same bits for any number of them.
 */
#pragma once

#include <stdint.h>

#include "proto/spec/train_spec.h"
#include "worker/model/param_table.h"
#include "worker/ops/backend.h"

struct model;

/*
 * Adds the gradients of what a group of linears is made of: dy[N, d] and x[N, k] are the gradient
 * of its output and its input, operands of the run's type, d the rows of all its linears. Both are
 * the model's, valid in the call.
 */
typedef void model_group_grad_fn(void *context, int64_t layer, enum linear_group group,
                                 const void *dy, const void *x, int64_t N);

struct model_options {
    const struct model_config *config;
    struct param_table *table;
    struct backend *backend;
    int64_t micro;
    int64_t sequence_length;
    enum dtype dtype;                 /* of operands */
    enum compute_recompute recompute; /* what the backward pass makes again, not a bit different */
};

MUST_USE enum status model_create(struct model **out, const struct model_options *options,
                                  struct error *err);
void model_destroy(struct model *model); /* NULL is fine */

/* Both passes of the memory plan; the table is laid out before. */
void model_layout(struct model *model, struct memory_plan *plan);
/* Fills what never changes. After the second pass. */
void model_start(struct model *model);

/* Memory for an effective weight [d, k] in fp32, to be handed to model_take_weight: in fp32 runs
 * the weight's own (the method need not write anything into it that stays the same), else a buffer
 * for all of them. */
float *model_weight_buffer(const struct model *model, int64_t layer, enum linear linear);
/* The effective weight [d, k] as the model multiplies by it, an operand. */
const void *model_weight(const struct model *model, int64_t layer, enum linear linear);
/* weight[d, k] becomes the effective weight of a linear, rounded where operands are bf16. */
void model_take_weight(const struct model *model, int64_t layer, enum linear linear,
                       const float *weight, const struct bf16_rounding *rounding);
/* The same for the output projection, which is a parameter in every run. */
void model_take_head(const struct model *model, const struct bf16_rounding *rounding);

/* Who gets (X, dY); set before the first backward. */
void model_set_group_grad(struct model *model, model_group_grad_fn *group_grad, void *context);

/* Called in the backward pass: after each matrix product of a layer (is_final false: time to look
 * after something else), and when the gradients of a layer are final. What lies before the first
 * layer or behind the last one is final with model_forward_backward, or the last layer. */
typedef void model_backward_fn(void *context, int64_t layer, bool is_final);
void model_set_backward_hook(struct model *model, model_backward_fn *hook, void *context);

/*
 * One micro-batch: tokens[B, T + 1] in rows, of which T are inputs and the last T targets. Adds
 * grad_scale × the gradient of the sum over all B T cross-entropies to the gradients of all
 * trainables, and returns that sum (in nats). grad_scale = 1 / (targets of the global batch) makes
 * the gradients of a step add up to those of the mean. Tokens must be below vocab_size (asserted).
 */
double model_forward_backward(struct model *model, const uint32_t *tokens, int64_t B, int64_t T,
                              double grad_scale);

/* The same sum without gradients. */
double model_loss(struct model *model, const uint32_t *tokens, int64_t B, int64_t T);

/* logits[T, V] of one sequence of T input tokens. */
void model_logits(struct model *model, float *logits, const uint32_t *tokens, int64_t T);
