/*
 * schedule — the learning rate of each step.
 *
 * t is the 0-based index of the update (step − 1), N the number of steps, W the first warm-up, R
 * the cycle (merge_every), w the restart warm-up, m the smallest ratio. All rise as t/W for t < W;
 * then, with q = (t − W)/(N − W) and c(q) = m + (1 − m)·½(1 + cos πq): constant       1 linear m +
 * (1 − m)(1 − q) cosine         c(q) jagged_cosine  c(q), but for t >= R and s = t mod R < w:
 * (s/w)·c at the end of the ramp (Lialin et al. 2023, "ReLoRA", the `cosine_restarts` of their
 * code.)
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"

#define SCHEDULE_LIST(X) \
 X(CONSTANT, "constant") \
 X(LINEAR, "linear")     \
 X(COSINE, "cosine")     \
 X(JAGGED_COSINE, "jagged_cosine")

enum schedule_name {
#define X(constant, name) SCHEDULE_##constant,
    SCHEDULE_LIST(X)
#undef X
        SCHEDULE_COUNT
};

struct schedule {
    enum schedule_name name;
    double peak;
    int64_t steps;          /* N */
    int64_t warmup;         /* W */
    int64_t cycle;          /* R; jagged_cosine only */
    int64_t restart_warmup; /* w; jagged_cosine only */
    double min_lr_ratio;    /* m */
};

/* STATUS_NOT_FOUND for a name that is none. */
MUST_USE enum status schedule_name_parse(enum schedule_name *out, const char *text,
                                         struct error *err);

/* Refuses, with the spec's field named, warm-ups that do not fit their cycle or the run, and a
 * jagged_cosine whose steps are no multiple of its cycle. */
MUST_USE enum status schedule_validate(const struct schedule *schedule, struct error *err);

/* The rate of the update with 0-based index t, 0 <= t < steps. */
double schedule_lr(const struct schedule *schedule, int64_t t);
