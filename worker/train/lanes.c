#include "worker/train/lanes.h"

#include <assert.h>
#include <inttypes.h>

static enum status check_world(int world, struct error *err)
{
    if (SPEC_LANES % world == 0) {
        return STATUS_OK;
    }
    (void)error_set(err, STATUS_INVALID,
                    "launch.ranks: %d ranks cannot share the %d lanes of compute.deterministic: "
                    "world",
                    world, SPEC_LANES);
    error_set_field(err, "launch.ranks");
    error_set_hint(err, "start 1, 2 or 4 ranks, or take compute.deterministic: run");
    return STATUS_INVALID;
}

static enum status check_batch(const struct train_spec *spec, int64_t parts, const char *what,
                               struct error *err)
{
    const int64_t unit = parts * spec->batch.micro;

    if (spec->batch.global % unit == 0) {
        return STATUS_OK;
    }
    (void)error_set(err, STATUS_INVALID,
                    "batch.global: %" PRId64
                    " sequences do not split into micro-batches of %" PRId64 " on %" PRId64 " %s",
                    spec->batch.global, spec->batch.micro, parts, what);
    error_set_field(err, "batch.global");
    error_set_hint(err, "make it a multiple of %" PRId64, unit);
    return STATUS_INVALID;
}

enum status lanes_init(struct lanes *out, const struct train_spec *spec, int rank, int world,
                       struct error *err)
{
    *out = (struct lanes){.count = world, .first = rank, .own = 1};
    if (spec->compute.deterministic == COMPUTE_DETERMINISTIC_RUN) {
        return check_batch(spec, world, "ranks", err);
    }
    enum status status = check_world(world, err);
    if (!status) {
        out->count = SPEC_LANES;
        out->own = SPEC_LANES / world;
        out->first = rank * out->own;
        status = check_batch(spec, SPEC_LANES, "lanes", err);
    }
    return status;
}

int64_t lanes_start(const struct lanes *lanes, int64_t lane, int64_t total)
{
    assert(0 <= lane && lane <= lanes->count);
    return total * lane / lanes->count;
}
