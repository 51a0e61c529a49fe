/*
 * schedule — the learning rate of each step.
 *
 * t is the 0-based index of the update (step - 1), N the number of steps, W the first warm-up, m
 * the smallest ratio. The ratio to the peak rises as t/W for t < W; then, with q = (t - W)/(N - W):
 *
 *   c(q) = m + (1 - m) (1 + cos(pi q)) / 2
 *
 *   constant       1
 *   linear         m + (1 - m) (1 - q)
 *   cosine         c(q)
 *   jagged_cosine  (s/w) c at the end of the ramp, in the w steps from a restart on; else c(q)
 *   mora_hf        from restart j on, at t_j, with L_j the rate that the cosine before it had
 * there: L_j s/w, then L_j (1 + cos(pi (s - w)/(N - t_j - w))) / 2; before the first, (1 + cos(pi
 * q)) / 2
 *
 * s = t - t_j counts from the last restart; restarts are at F + R, F + 2R … and, where F > 0, at F:
 * F are the full-rank steps, R the cycle, w the restart warm-up. jagged_cosine is Lialin et al.
 * 2023, "ReLoRA": the envelope never returns to the peak. mora_hf is what MoRA's own code does
 * without ReLoRA's scheduler: it builds a new cosine at every merge. unwarmed_first also repeats
 * that the first step behind a merge has the full rate L_j there.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct schedule {
    enum schedule_name name;
    double peak;
    int64_t steps;          /* N */
    int64_t warmup;         /* W */
    int64_t first;          /* F; of the schedules that restart, as the next ones */
    int64_t cycle;          /* R */
    int64_t restart_warmup; /* w */
    bool unwarmed_first;    /* mora_hf only */
    double min_lr_ratio;    /* m */
};

/* The schedule of a spec that takes that many steps; validated. */
MUST_USE enum status schedule_from_spec(struct schedule *out, const struct train_spec *spec,
                                        int64_t steps, struct error *err);

/* Refuses, with the spec's field named, warm-ups that do not fit their cycle or the run, and a
 * schedule with restarts whose steps behind the full-rank ones are no multiple of its cycle. */
MUST_USE enum status schedule_validate(const struct schedule *schedule, struct error *err);

/* The rate of the update with 0-based index t, 0 <= t < steps. */
double schedule_lr(const struct schedule *schedule, int64_t t);
