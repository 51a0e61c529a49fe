#include "worker/train/spectra.h"

#include <stdlib.h>

#include "proto/base/sys.h"
#include "proto/store/checkpoint.h"
#include "worker/eval/spectrum.h"
#include "worker/method/learner.h"
#include "worker/ops/backend.h"

/* Room for a linear, now and at step 0. */
struct room {
    float *now;
    float *before;
};

/* Before the first step adapters add nothing: the linears are the checkpoint's own tensors. */
static enum status count_linear(const struct trainer *trainer, struct checkpoint *first,
                                const struct param *param, const struct room *room, double *count,
                                struct error *err)
{
    const struct param_table *table = learner_params(trainer->learner);
    int64_t above = 0;

    enum status status = checkpoint_read_tensor(first, param->name, room->before,
                                                (size_t)param->elements * sizeof(float), err);
    if (status) {
        return status;
    }
    learner_merged_tensor(trainer->learner, param - table->params, room->now);
    for (int64_t i = 0; i < param->elements; i++) {
        room->now[i] -= room->before[i];
    }
    status = spectrum_count_sketched(&above, trainer->backend, room->now, param->shape[0],
                                     param->shape[1], SPECTRUM_THRESHOLD, trainer->spec->seed, err);
    *count += (double)above;
    return status ? error_wrap(err, "spectrum of '%s'", param->name) : STATUS_OK;
}

static int64_t largest_linear(const struct param_table *table)
{
    int64_t largest = 0;

    for (int64_t i = 0; i < table->model_count; i++) {
        const struct param *param = &table->params[i];
        if (param->role == PARAM_ROLE_LINEAR && param->elements > largest) {
            largest = param->elements;
        }
    }
    return largest;
}

static enum status count_all(const struct trainer *trainer, struct checkpoint *first,
                             double *counts, struct error *err)
{
    const struct param_table *table = learner_params(trainer->learner);
    const int64_t layers = learner_options(trainer->learner)->config.num_hidden_layers;
    const size_t size = (size_t)largest_linear(table) * sizeof(float);
    struct room room = {.now = sys_malloc(size), .before = sys_malloc(size)};
    enum status status = STATUS_OK;

    if (room.now == NULL || room.before == NULL) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a linear layer");
    }
    for (int64_t layer = 0; layer < layers; layer++) {
        for (enum linear linear = 0; linear < LINEAR_COUNT && !status; linear++) {
            status = count_linear(trainer, first, param_table_linear(table, layer, linear), &room,
                                  &counts[linear], err);
        }
    }
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        counts[linear] /= (double)layers;
    }
    free(room.now);
    free(room.before);
    return status;
}

enum status spectra_count(const struct trainer *trainer, double *counts, struct error *err)
{
    struct checkpoint *first = NULL;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        counts[linear] = 0.0;
    }
    if (trainer->progress.step == 0) {
        return STATUS_OK;
    }
    enum status status = checkpoint_open_step(&first, trainer->store, 0, err);
    if (!status) {
        status = count_all(trainer, first, counts, err);
    }
    checkpoint_close(first);
    return status;
}
