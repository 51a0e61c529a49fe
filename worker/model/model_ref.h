/*
 * model_ref — the same LLaMA as the papers write it, in double: one sequence, one linear after the
 * other, y = W0 x plus what a method's side path adds. Slow, and never optimised: it is what the
 * fast model is held against, by tests and at every merge.
 *
 * It reads the fp32 tensors of a parameter table (widened as it goes, so it needs no copy of the
 * model) and computes all else in double.
 */
#pragma once

#include <stdint.h>

#include "worker/model/param_table.h"

/* y[T,d] += what a method adds to W0 x for this linear; x[T,k]. */
typedef enum status model_ref_side_fn(void *context, double *y, const double *x, int64_t layer,
                                      enum linear linear, int64_t T, struct error *err);

struct model_ref {
    const struct model_config *config;
    const struct param_table *table;
    model_ref_side_fn *side; /* NULL: nothing is added */
    void *side_context;
};

/* logits[T,V] of one sequence of T tokens. */
MUST_USE enum status model_ref_logits(double *logits, const struct model_ref *ref,
                                      const uint32_t *tokens, int64_t T, struct error *err);

/* The sum of the cross-entropies of tokens[B, T + 1], as model_loss. */
MUST_USE enum status model_ref_loss(double *loss, const struct model_ref *ref,
                                    const uint32_t *tokens, int64_t B, int64_t T,
                                    struct error *err);
