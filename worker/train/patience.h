/*
 * patience — when a run ends before its last step: no more progress, or no more time.
 *
 * Evaluations are counted since the validation loss last fell by more than stop.min_delta below the
 * best one; stop.patience of them end the run. Plain data, part of every checkpoint.
 */
#pragma once

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct patience {
    double best;       /* validation loss; infinite before the first evaluation */
    int64_t best_step; /* -1 before it */
    int64_t since;     /* evaluations since the best */
};
#define PATIENCE_FRESH ((struct patience){.best = (double)INFINITY, .best_step = -1})

/* Takes an evaluation; true when it is the one that exhausts stop.patience. */
bool patience_take(struct patience *patience, const struct train_spec *spec, int64_t step,
                   double loss);

/* {"best": 3.5, "best_step": 40, "since": 2}; a new reference, NULL without memory. */
json_t *patience_state(const struct patience *patience);
MUST_USE enum status patience_set_state(struct patience *patience, const json_t *state,
                                        struct error *err);
