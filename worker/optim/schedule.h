/*
 * schedule — the learning rate of each step.
 *
 * t is the 0-based index of the update (step - 1), N the number of steps, W the first warm-up,
 * R the cycle (merge_every), w the restart warm-up, m the smallest ratio. The ratio to the peak
 * rises as t/W for t < W; then, with q = (t - W)/(N - W):
 *
 *   c(q) = m + (1 - m) (1 + cos(pi q)) / 2
 *
 *   constant       1
 *   linear         m + (1 - m) (1 - q)
 *   cosine         c(q)
 *   jagged_cosine  (s/w) c at the end of the ramp, where t >= R and s = t mod R < w; else c(q)
 *
 * Lialin et al. 2023, "ReLoRA": the envelope never returns to the peak.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct schedule {
    enum schedule_name name;
    double peak;
    int64_t steps;          /* N */
    int64_t warmup;         /* W */
    int64_t cycle;          /* R; jagged_cosine only */
    int64_t restart_warmup; /* w; jagged_cosine only */
    double min_lr_ratio;    /* m */
};

/* The schedule of a spec that takes that many steps; validated. */
MUST_USE enum status schedule_from_spec(struct schedule *out, const struct train_spec *spec,
                                        int64_t steps, struct error *err);

/* Refuses, with the spec's field named, warm-ups that do not fit their cycle or the run, and a
 * jagged_cosine whose steps are no multiple of its cycle. */
MUST_USE enum status schedule_validate(const struct schedule *schedule, struct error *err);

/* The rate of the update with 0-based index t, 0 <= t < steps. */
double schedule_lr(const struct schedule *schedule, int64_t t);
