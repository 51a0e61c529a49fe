#include "worker/train/guard.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/sys.h"

enum status guard_init(struct guard *guard, const struct train_spec *spec, struct error *err)
{
    *guard = (struct guard){
        .max_skipped = spec->guard.max_skipped,
        .spike_z = spec->guard.spike_z,
        .window = spec->guard.spike_window,
    };
    guard->losses = sys_calloc((size_t)guard->window, sizeof *guard->losses);
    if (guard->losses == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a window of losses");
    }
    return STATUS_OK;
}

void guard_deinit(struct guard *guard)
{
    free(guard->losses);
    *guard = (struct guard){0};
}

/* In the order of the losses, so that the bits do not depend on where a run was resumed. */
static void measure(const struct guard *guard, double loss, struct loss_spike *spike)
{
    double sum = 0.0;
    double squares = 0.0;

    for (int64_t i = 0; i < guard->count; i++) {
        sum += guard->losses[i];
    }
    spike->mean = sum / (double)guard->count;
    for (int64_t i = 0; i < guard->count; i++) {
        const double difference = guard->losses[i] - spike->mean;
        squares += difference * difference;
    }
    spike->deviation = sqrt(squares / (double)(guard->count - 1));
    spike->z = (loss - spike->mean) / spike->deviation;
}

static void append(struct guard *guard, double loss)
{
    if (guard->count == guard->window) {
        memmove(guard->losses, guard->losses + 1,
                (size_t)(guard->count - 1) * sizeof *guard->losses);
        guard->count--;
    }
    guard->losses[guard->count++] = loss;
}

bool guard_take_loss(struct guard *guard, double loss, struct loss_spike *spike)
{
    bool is_spike = false;

    assert(isfinite(loss));
    guard->skipped_in_row = 0;
    if (guard->spike_z > 0.0 && guard->count == guard->window) {
        measure(guard, loss, spike);
        /* Losses that are all equal have no deviation to measure by. */
        is_spike = spike->deviation > 0.0 && spike->z > guard->spike_z;
    }
    append(guard, loss);
    return is_spike;
}

void guard_take_skip(struct guard *guard)
{
    guard->skipped++;
    guard->skipped_in_row++;
}

bool guard_is_exhausted(const struct guard *guard)
{
    return guard->skipped_in_row > guard->max_skipped;
}

json_t *guard_state(const struct guard *guard)
{
    json_t *losses = json_array();

    for (int64_t i = 0; i < guard->count; i++) {
        if (json_array_append_new(losses, json_real(guard->losses[i])) != 0) {
            json_decref(losses);
            return NULL;
        }
    }
    return json_pack("{s:I, s:I, s:o}", "skipped", (json_int_t)guard->skipped, "skipped_in_row",
                     (json_int_t)guard->skipped_in_row, "losses", losses);
}

enum status guard_set_state(struct guard *guard, const json_t *state, struct error *err)
{
    const json_t *losses = json_object_get(state, "losses");
    const size_t count = json_array_size(losses);

    guard->skipped = json_get_int(state, "skipped", -1);
    guard->skipped_in_row = json_get_int(state, "skipped_in_row", -1);
    if (!json_is_array(losses) || count > (size_t)guard->window || guard->skipped < 0 ||
        guard->skipped_in_row < 0) {
        return error_set(err, STATUS_CORRUPT, "the state of the guard is not whole");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *loss = json_array_get(losses, i);
        if (!json_is_number(loss)) {
            return error_set(err, STATUS_CORRUPT, "losses[%zu] of the guard is no number", i);
        }
        guard->losses[i] = json_number_value(loss);
    }
    guard->count = (int64_t)count;
    return STATUS_OK;
}
