/*
 * scorer — a model that only predicts: weights and one sequence's activations, nothing to train.
 * Operands are fp32.
 *
 *   scorer_create → fill the values of scorer_params → scorer_start → scorer_logits, any number
 *
 * Ownership: the caller owns the scorer; it borrows the backend.
 * Threads:   one caller; it computes with the backend's threads.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"
#include "worker/model/param_table.h"
#include "worker/ops/backend.h"

struct scorer;

/* For sequences of up to length_max tokens. */
MUST_USE enum status scorer_create(struct scorer **out, const struct model_config *config,
                                   int64_t length_max, struct backend *backend, struct error *err);
void scorer_destroy(struct scorer *scorer); /* NULL is fine */

/* The model's tensors, all zero at first. */
const struct param_table *scorer_params(const struct scorer *scorer);
void scorer_start(struct scorer *scorer);

/* logits[T, V]: of the token that follows each of the T tokens. */
MUST_USE enum status scorer_logits(struct scorer *scorer, float *logits, const uint32_t *tokens,
                                   int64_t T, struct error *err);
