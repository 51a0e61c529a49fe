#include "worker/train/overlap.h"

#include <assert.h>
#include <sched.h>
#include <stdlib.h>

#include "proto/base/sys.h"
#include "worker/dist/dist.h"
#include "worker/dist/reduction.h"
#include "worker/method/learner.h"

/* Tensors that follow each other in the buffer are one range; between them is alignment at most. */
#define GAP_FLOATS_MAX 16

struct overlap {
    struct dist_reduction *reduction;
    struct learner *learner;
    const char *name;
    bool is_started;
    int64_t lane;
    int64_t layers;
};

/* When a tensor's gradient is final: with the pass's leaving that layer; -1: at the end. */
static int64_t layer_of(const struct overlap *overlap, const struct param *param)
{
    if (param->layer >= 0) {
        return param->layer;
    }
    return param->role == PARAM_ROLE_EMBEDDING ? -1 : overlap->layers - 1;
}

static void add_range(struct overlap *overlap, int64_t first, int64_t end)
{
    if (end > first) {
        learner_join_lane(overlap->learner, overlap->lane, first, end - first);
        dist_reduction_add(overlap->reduction, (size_t)first, (size_t)(end - first));
    }
}

/* Hands over all that is final with a layer. */
static void add_layer(struct overlap *overlap, int64_t layer)
{
    const struct param_table *table = learner_params(overlap->learner);
    int64_t first = 0;
    int64_t end = 0;

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (!param->trainable || layer_of(overlap, param) != layer) {
            continue;
        }
        const int64_t gap = param->grad_offset - end;
        if (gap < 0 || gap >= GAP_FLOATS_MAX || end == first) {
            add_range(overlap, first, end);
            first = param->grad_offset;
        }
        end = param->grad_offset + param->elements;
    }
    add_range(overlap, first, end);
}

/* Of the model: between the products of the backward pass. */
static void on_backward(void *context, int64_t layer, bool is_final)
{
    struct overlap *overlap = context;

    if (!overlap->is_started) {
        return;
    }
    if (is_final) {
        add_layer(overlap, layer);
    }
    dist_reduction_poll(overlap->reduction);
}

/* A thread is of use where every rank of this host has a core beyond those that compute. */
static bool has_spare_core(const struct dist *dist, const struct train_spec *spec)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return false;
    }
    /* A rank that was bound sees its own cores only. */
    const int64_t cores = CPU_COUNT(&set);
    const int64_t own = spec->launch.threads_per_rank;
    return cores > own && cores >= (own + 1) * dist_local_world(dist);
}

static bool wants_thread(const struct dist *dist, const struct train_spec *spec)
{
    if (spec->launch.overlap == LAUNCH_OVERLAP_THREAD) {
        return true;
    }
    return spec->launch.overlap == LAUNCH_OVERLAP_AUTO && dist_may_have_thread(dist) &&
           has_spare_core(dist, spec);
}

enum status overlap_create(struct overlap **out, struct dist *dist, struct learner *learner,
                           const struct train_spec *spec, struct error *err)
{
    const bool with_thread = wants_thread(dist, spec);

    if (spec->launch.overlap == LAUNCH_OVERLAP_OFF || dist_world(dist) == 1) {
        return STATUS_OK;
    }
    if (with_thread && !dist_may_have_thread(dist)) {
        (void)error_set(err, STATUS_UNSUPPORTED,
                        "launch.overlap: this MPI lets no second thread send messages");
        error_set_field(err, "launch.overlap");
        error_set_hint(err, "take auto or poll");
        return STATUS_UNSUPPORTED;
    }
    struct overlap *overlap = sys_calloc(1, sizeof *overlap);
    if (overlap == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory to overlap sums and steps");
    }
    overlap->learner = learner;
    overlap->name = with_thread ? "thread" : "poll";
    overlap->layers = learner_options(learner)->config.num_hidden_layers;
    enum status status = dist_reduction_create(&overlap->reduction, dist, with_thread,
                                               (size_t)learner_params(learner)->count, err);
    if (status) {
        overlap_destroy(overlap);
        return status;
    }
    model_set_backward_hook(learner_model(learner), on_backward, overlap);
    *out = overlap;
    return STATUS_OK;
}

void overlap_destroy(struct overlap *overlap)
{
    if (overlap != NULL) {
        dist_reduction_destroy(overlap->reduction);
        free(overlap);
    }
}

const char *overlap_name(const struct overlap *overlap)
{
    return overlap == NULL ? "off" : overlap->name;
}

void overlap_start(struct overlap *overlap, int64_t lane)
{
    int64_t count = 0;

    assert(!overlap->is_started);
    overlap->lane = lane;
    overlap->is_started = true;
    dist_reduction_start(overlap->reduction, learner_grads(overlap->learner, &count));
}

enum status overlap_finish(struct overlap *overlap, struct error *err)
{
    assert(overlap->is_started);
    add_layer(overlap, -1);
    overlap->is_started = false;
    return dist_reduction_finish(overlap->reduction, err);
}
