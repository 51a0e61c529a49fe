/*
 * adamw — Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), and clipping by
 * the global norm.
 *
 *   m ← β1 m + (1 − β1) g        v ← β2 v + (1 − β2) g²
 *   θ ← θ − lr·λ·θ − lr·m̂/(√v̂ + ε),   m̂ = m/(1 − β1^n), v̂ = v/(1 − β2^n)
 *
 * n counts the updates of a *group* since its moments were last zero: a merge restarts the
 * adapters' without touching that of embeddings, norms and head. Gains of norms and DoRA's
 * magnitudes are never decayed. lr is the schedule's rate times the tensor's lr_ratio.
 */
#pragma once

#include <stdint.h>

#include "worker/model/param_table.h"
#include "worker/ops/backend.h"

enum adamw_group {
    ADAMW_GROUP_MODEL,   /* everything but adapters */
    ADAMW_GROUP_ADAPTER, /* PARAM_ROLE_ADAPTER and PARAM_ROLE_MAGNITUDE */
    ADAMW_GROUP_COUNT
};

struct adamw_options {
    double beta1;
    double beta2;
    double eps;
    double weight_decay; /* λ */
};

struct adamw {
    struct adamw_options options;
    int64_t steps[ADAMW_GROUP_COUNT]; /* n of each group; part of a checkpoint */
};

const char *adamw_group_name(enum adamw_group group);

/* The norm of all gradients: sums of squares in double over fixed blocks of each tensor, added in
 * the table's order. */
double grad_norm(const struct param_table *table, struct backend *backend);

/* min(1, clip_norm / (norm + 1e-6)); 1 where clip_norm is 0. NaN stays NaN. */
double clip_factor(double norm, double clip_norm);

/* One update of every trainable tensor, as far as its moments are here, with its gradient times
 * factor. */
void adamw_step(struct adamw *adamw, const struct param_table *table, struct backend *backend,
                double lr, double factor);
