#include "worker/train/sampler.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "worker/train/permutation.h"

/* A stream has 28 bits for the epoch; orders repeat after that many. */
#define EPOCHS_KEYED ((uint64_t)1 << 28)

static_assert(SAMPLER_PERIOD <= UINT16_MAX, "a table entry counts the tickets of a period");
static_assert(SAMPLER_SOURCES_MAX <= UINT8_MAX, "a ticket names its source in a byte");

static enum status check_sources(const struct sampler_source *sources, size_t count, double *sum,
                                 struct error *err)
{
    if (count == 0 || count > SAMPLER_SOURCES_MAX) {
        (void)error_set(err, STATUS_LIMIT, "%zu training sources, there may be 1 to %d", count,
                        SAMPLER_SOURCES_MAX);
        error_set_field(err, "data.train");
        return STATUS_LIMIT;
    }
    *sum = 0.0;
    for (size_t i = 0; i < count; i++) {
        assert(sources[i].sequences > 0);
        if (!(sources[i].weight > 0.0) || !isfinite(sources[i].weight)) {
            (void)error_set(err, STATUS_INVALID, "weight %g, it must be above 0",
                            sources[i].weight);
            error_set_field(err, "data.train[%zu].weight", i);
            return STATUS_INVALID;
        }
        *sum += sources[i].weight;
    }
    return STATUS_OK;
}

/* Whole tickets by largest remainder. The lowest index wins ties. */
static enum status count_tickets(struct sampler *sampler, double weight_sum, struct error *err)
{
    double remainder[SAMPLER_SOURCES_MAX];
    uint32_t given = 0;

    for (uint32_t i = 0; i < sampler->source_count; i++) {
        double share = sampler->sources[i].weight / weight_sum * sampler->period;
        sampler->sources[i].tickets = (uint32_t)share;
        remainder[i] = share - floor(share);
        given += sampler->sources[i].tickets;
    }
    while (given < sampler->period) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < sampler->source_count; i++) {
            best = remainder[i] > remainder[best] ? i : best;
        }
        sampler->sources[best].tickets++;
        remainder[best] = -1.0;
        given++;
    }
    for (uint32_t i = 0; i < sampler->source_count; i++) {
        if (sampler->sources[i].tickets == 0) {
            (void)error_set(err, STATUS_INVALID,
                            "weight %g is less than 1/%u of all: it would never be drawn",
                            sampler->sources[i].weight, sampler->period);
            error_set_field(err, "data.train[%u].weight", i);
            return STATUS_INVALID;
        }
    }
    return STATUS_OK;
}

/*
 * Deals the places of a period. The j-th ticket (from 0) of a source with q of P tickets may be
 * dealt from place floor(jP/q) on and is due before ceil((j+1)P/q); among those that may, the
 * earliest deadline goes first, which meets every deadline (Baruah et al. 1996: one processor, full
 * load), so that after p places each source has floor or ceil of pq/P.
 */
static void deal_tickets(struct sampler *sampler)
{
    uint64_t period = sampler->period;
    uint64_t dealt[SAMPLER_SOURCES_MAX] = {0};

    for (uint64_t place = 0; place < period; place++) {
        uint32_t chosen = sampler->source_count;
        uint64_t chosen_deadline = UINT64_MAX;

        for (uint32_t i = 0; i < sampler->source_count; i++) {
            uint64_t tickets = sampler->sources[i].tickets;
            uint64_t deadline = ((dealt[i] + 1) * period + tickets - 1) / tickets;
            bool may = dealt[i] < tickets && dealt[i] * period < (place + 1) * tickets;

            sampler->table[i * period + place] = (uint16_t)dealt[i];
            if (may && deadline < chosen_deadline) {
                chosen = i;
                chosen_deadline = deadline;
            }
        }
        assert(chosen < sampler->source_count);
        assert(place < chosen_deadline);
        sampler->deal[place] = (uint8_t)chosen;
        dealt[chosen]++;
    }
}

enum status sampler_init(struct sampler *sampler, uint64_t seed,
                         const struct sampler_source *sources, size_t source_count,
                         struct error *err)
{
    double weight_sum = 0.0;

    *sampler = (struct sampler){.seed = seed};
    enum status status = check_sources(sources, source_count, &weight_sum, err);
    if (status) {
        return status;
    }
    sampler->source_count = (uint32_t)source_count;
    sampler->period = source_count == 1 ? 1 : SAMPLER_PERIOD;
    memcpy(sampler->sources, sources, source_count * sizeof *sources);
    status = count_tickets(sampler, weight_sum, err);
    if (status) {
        return status;
    }
    sampler->deal = sys_calloc(sampler->period, sizeof *sampler->deal);
    sampler->table = sys_calloc(source_count * sampler->period, sizeof *sampler->table);
    if (sampler->deal == NULL || sampler->table == NULL) {
        sampler_deinit(sampler);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the sampler's tables");
    }
    for (uint32_t i = 0; i < sampler->source_count; i++) {
        sampler->sources[i].dealt = sampler->table + (size_t)i * sampler->period;
    }
    deal_tickets(sampler);
    return STATUS_OK;
}

void sampler_deinit(struct sampler *sampler)
{
    free(sampler->deal);
    free(sampler->table);
    *sampler = (struct sampler){0};
}

void sampler_at(const struct sampler *sampler, uint64_t n, struct sample *out)
{
    uint64_t place = n % sampler->period;
    uint32_t index = sampler->deal[place];
    const struct sampler_source *source = &sampler->sources[index];
    uint64_t turn = n / sampler->period * source->tickets + source->dealt[place];
    uint64_t epoch = turn / source->sequences;
    uint64_t stream = rng_stream(RNG_PURPOSE_SAMPLER, index, (uint32_t)(epoch % EPOCHS_KEYED));

    out->source = index;
    out->epoch = epoch;
    out->sequence =
        permutation_at(sampler->seed, stream, source->sequences, turn % source->sequences);
}
