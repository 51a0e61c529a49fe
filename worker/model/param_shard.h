/*
 * param_shard — which rank has the moments of which elements (ZeRO-1, Rajbhandari et al. 2020).
 *
 * A shard is three ranges of the gradient buffer. Of the model's own tensors, each rank has an
 * equal part, cut at multiples of 64 bytes wherever that falls, and another of those that train in
 * the full-rank phase alone; of those that a method added, each has whole tensors, so that what a
 * method does with their moments (resets, masks) sees all of a tensor or nothing. A pure function
 * of the layout, the rank and the world; one rank has everything.
 */
#pragma once

#include "worker/model/param_table.h"

enum param_shard_part {
    PARAM_SHARD_MODEL,     /* of the first model_count tensors, those that train to the end */
    PARAM_SHARD_METHOD,    /* the method's tensors */
    PARAM_SHARD_FULL_RANK, /* the model's that train in the full-rank phase alone */
    PARAM_SHARD_PARTS
};

/* The range of the gradient buffer whose moments rank has, gaps between tensors included. The
 * ranges of all ranks and parts cover all that ever trains and do not overlap. */
void param_shard_range(const struct param_table *table, int rank, enum param_shard_part part,
                       int64_t *first, int64_t *count);

/* What rank has of the tensor with that index, which trains at some time: elements first … first +
 * count - 1 of it. */
void param_shard_slice(const struct param_table *table, int64_t index, int rank, int64_t *first,
                       int64_t *count);
