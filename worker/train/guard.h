/*
 * guard — watches the loss: steps that must not update the parameters, and spikes.
 *
 * A step whose loss or gradient norm is not finite is skipped: its batch is passed over and nothing
 * is updated. More than guard.max_skipped of them in a row end the run. A spike is a finite loss
 * more than guard.spike_z standard deviations above the mean of the last guard.spike_window losses;
 * it is only told. All of this is state of the run and part of every checkpoint.
 *
 * Ownership: the caller owns the struct. Threads: one; every rank has its own, all the same.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct guard {
    int64_t max_skipped;
    double spike_z; /* 0: spikes are not looked for */
    int64_t window; /* losses that a spike is measured by */
    double *losses; /* [window]: the last ones, the oldest first */
    int64_t count;  /* of losses */
    int64_t skipped;
    int64_t skipped_in_row; /* up to the last step */
};

struct loss_spike {
    double mean; /* of the window */
    double deviation;
    double z;
};

MUST_USE enum status guard_init(struct guard *guard, const struct train_spec *spec,
                                struct error *err);
void guard_deinit(struct guard *guard);

/* Takes the finite loss of a step into the window; true when it is a spike, told in *spike. */
bool guard_take_loss(struct guard *guard, double loss, struct loss_spike *spike);

/* Counts a step that was skipped. */
void guard_take_skip(struct guard *guard);
/* True when one too many was. */
bool guard_is_exhausted(const struct guard *guard);

/* {"skipped": n, "skipped_in_row": n, "losses": [...]}; a new reference, NULL without memory. */
json_t *guard_state(const struct guard *guard);
MUST_USE enum status guard_set_state(struct guard *guard, const json_t *state, struct error *err);
