/*
 * reduction — dist_sum of many ranges of a buffer, while the caller still computes others.
 *
 * Ranges are added as they become final. Their concatenation is cut into buckets of 4 MiB, each of
 * which is packed, scattered, added by pairs (the order of dist_sum, so the bits are the same) and
 * gathered, two at a time. All ranks add the same ranges in the same order; how far each one is,
 * and how it makes progress, is its own affair:
 *
 *   poll     messages move when the caller looks: dist_reduction_poll between its computations
 *   thread   a thread of the reduction's own moves them; it needs a core to be of use
 *
 * Ownership: the caller owns the reduction; a range is the reduction's from add to finish.
 * Threads:   one caller, the one that opened the world. Between start and finish it makes no other
 *            call of worker/dist: with a thread, that one is now the rank's caller of MPI, which
 *            takes MPI_THREAD_SERIALIZED.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "worker/dist/dist.h"

struct dist_reduction;

/* True where the MPI library lets another thread than the main one call it. */
bool dist_may_have_thread(const struct dist *dist);

/* range_max is how many ranges a reduction may be of. with_thread needs dist_may_have_thread. */
MUST_USE enum status dist_reduction_create(struct dist_reduction **out, struct dist *dist,
                                           bool with_thread, size_t range_max, struct error *err);
/* NULL is fine. What is under way is given up: only on the way to dist_abort. */
void dist_reduction_destroy(struct dist_reduction *reduction);

/* values is the buffer that ranges are of. */
void dist_reduction_start(struct dist_reduction *reduction, float *values);
/* values[first] … of count floats are final, and will be their sums over ranks after finish. */
void dist_reduction_add(struct dist_reduction *reduction, size_t first, size_t count);
void dist_reduction_poll(struct dist_reduction *reduction);
/* Returns when all that was added is summed. */
MUST_USE enum status dist_reduction_finish(struct dist_reduction *reduction, struct error *err);
