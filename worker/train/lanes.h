/*
 * lanes — the parts of a step whose sums have an order that is fixed.
 *
 * The sequences of a step (and of an evaluation) form contiguous, equal parts, the lanes. Losses
 * and gradients are added in order within a lane, and by pairs of neighbours over the lanes. A rank
 * has `own` lanes from `first` on, and what it adds up of them goes on into the sums over ranks,
 * which are by pairs too (worker/dist).
 *
 *   deterministic: run     a lane is a rank: the bits depend on the world size
 *   deterministic: world   four lanes, of which 1, 2 or 4 ranks have 4, 2 or 1 each:
 *                          (lane 0 + lane 1) + (lane 2 + lane 3) whatever the world size
 *
 * Plain data. Threads: any.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct lanes {
    int64_t count; /* of all ranks */
    int64_t first; /* this rank's */
    int64_t own;   /* how many those are: 1, 2 or 4 */
};

/* Refuses a world, or a batch, that does not go into lanes, naming the field. */
MUST_USE enum status lanes_init(struct lanes *out, const struct train_spec *spec, int rank,
                                int world, struct error *err);

/* Where lane begins among total sequences; lane may be count. */
int64_t lanes_start(const struct lanes *lanes, int64_t lane, int64_t total);
