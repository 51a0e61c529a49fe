/*
 * overlap — the gradients of a layer are summed over ranks while the backward pass goes on with the
 * layers before it.
 *
 * In the last micro-batch of a step, a layer's gradients are final once the pass has left it. Their
 * ranges are then handed to a reduction (worker/dist), those of the head and the last norm with the
 * last layer, that of the embedding at the end. The sums have the bits of one sum after the pass.
 *
 * Ownership: the caller owns the overlap, and destroys it before learner and world.
 * Threads:   one, the one that opened the world.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct dist;
struct learner;
struct overlap;

/* Hooks itself into the learner's model. *out stays NULL where there is nothing to overlap: a world
 * of one, or launch.overlap: off. */
MUST_USE enum status overlap_create(struct overlap **out, struct dist *dist,
                                    struct learner *learner, const struct train_spec *spec,
                                    struct error *err);
void overlap_destroy(struct overlap *overlap); /* NULL is fine */

/* "off", "poll" or "thread": what became of auto. NULL is off. */
const char *overlap_name(const struct overlap *overlap);

/* The next pass is the step's last; it is that of this rank's lane (learner_join_lane). */
void overlap_start(struct overlap *overlap, int64_t lane);
/* Sums what is left and waits for all of it. */
MUST_USE enum status overlap_finish(struct overlap *overlap, struct error *err);
