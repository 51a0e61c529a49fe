/*
 * sampler — which sequence of which source is the n-th of a run.
 *
 * A pure function of (seed, n, weights, sizes of the sources): the same for every number of ranks
 * and threads, and O(1) to seek. SAMPLER_VERSION names this format in checkpoints.
 *
 *   tickets:   the weights are scaled to whole tickets out of a period (1 for one source, else
 *              SAMPLER_PERIOD) by largest remainder, at least one each
 *   source:    n mod period is a ticket; tickets are dealt by earliest deadline, so that among the
 *              first p of a period each source has its share rounded down or up
 *   turn:      how often this source came before = whole periods × its tickets + a table's entry
 *   epoch:     turn div sequences; within an epoch the sequences come in the order of a keyed
 *              permutation (permutation.h, stream = sampler, source, epoch): no repeats
 *
 * Ownership: the caller owns the struct. Threads: any, after sampler_init.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

#define SAMPLER_VERSION     1
#define SAMPLER_PERIOD      4096
#define SAMPLER_SOURCES_MAX 64

struct sampler_source {
    double weight;         /* > 0; relative to the others */
    uint64_t sequences;    /* >= 1 */
    uint32_t tickets;      /* of a period; out */
    const uint16_t *dealt; /* [period]: tickets of this source before that place; out */
};

struct sampler {
    uint64_t seed;
    uint32_t period;
    uint32_t source_count;
    struct sampler_source sources[SAMPLER_SOURCES_MAX];
    uint8_t *deal;   /* [period]: whose ticket */
    uint16_t *table; /* [source_count][period] */
};

struct sample {
    uint32_t source;
    uint64_t epoch;
    uint64_t sequence; /* within the source */
};

/* weight and sequences of each source come in through sources[source_count]. An impossible weight
 * is STATUS_INVALID, naming data.train[i].weight. */
MUST_USE enum status sampler_init(struct sampler *sampler, uint64_t seed,
                                  const struct sampler_source *sources, size_t source_count,
                                  struct error *err);
void sampler_deinit(struct sampler *sampler);

/* The n-th sequence of the run, counted from 0: that of place b in the global batch of step s is
 * n = (s - 1) * batch.global + b. */
void sampler_at(const struct sampler *sampler, uint64_t n, struct sample *out);
