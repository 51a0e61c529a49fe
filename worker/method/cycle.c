/*
 * cycle — the merge between two cycles: the same for all methods that have cycles, and for the end
 * of the full-rank steps.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/base/rng.h"
#include "worker/method/draw.h"
#include "worker/method/method_internal.h"
#include "worker/method/rank.h"

bool method_merge_due(const struct method *method, int64_t u, int64_t N)
{
    const int64_t first = method->spec.full_rank_steps;
    const int64_t every = method->spec.merge_every;

    if (u >= N || u < first) {
        return false;
    }
    if (first > 0 && u == first) {
        return true;
    }
    return every > 0 && (u - first) % every == 0;
}

/* ---- Moments ---- */

/* Whether a merge restarts it: the adapters, or after full-rank steps the linears. */
static bool restarts(const struct method *method, const struct param *param)
{
    if (!param->trainable) {
        return false;
    }
    return method_is_full_rank(method)
               ? param->role == PARAM_ROLE_LINEAR
               : param->role == PARAM_ROLE_ADAPTER || param->role == PARAM_ROLE_MAGNITUDE;
}

static int64_t count_nonzero(struct backend *backend, const float *x, int64_t n)
{
    int64_t count = 0;

    backend->op->count_nonzero(backend, &count, x, n);
    return count;
}

/* What a reset did to the tensors that it went over. */
struct reset {
    int64_t before; /* elements of both moments that were not zero, */
    int64_t after;  /* and that are not */
    int64_t first_before;
    int64_t first_after;
    int64_t first_kept; /* magnitude: how many first moments should be left */
};

static void reset_tensor(struct method *method, struct reset *reset, int64_t index, bool is_whole)
{
    struct backend *backend = method->backend;
    const struct param *param = &method->table->params[index];
    const int64_t n = param->moment_count;
    const int64_t keep = n - (int64_t)(method->spec.reset_ratio * (double)n);
    const int64_t first_before = count_nonzero(backend, param->exp_avg, n);

    reset->before += first_before + count_nonzero(backend, param->exp_avg_sq, n);
    if (is_whole) {
        backend->op->zero(backend, param->exp_avg, n);
        backend->op->zero(backend, param->exp_avg_sq, n);
    } else if (method->spec.reset == METHOD_RESET_RANDOM) {
        backend->op->moments_keep_random(
            backend, param->exp_avg, param->exp_avg_sq, n, method->spec.reset_ratio, method->seed,
            rng_stream(RNG_PURPOSE_RESET, (uint32_t)index, method_cycle_number(method)));
    } else {
        backend->op->moments_keep_largest(backend, param->exp_avg, param->exp_avg_sq, n, keep);
    }
    const int64_t first_after = count_nonzero(backend, param->exp_avg, n);
    reset->after += first_after + count_nonzero(backend, param->exp_avg_sq, n);
    reset->first_before += first_before;
    reset->first_after += first_after;
    reset->first_kept += first_before < keep ? first_before : keep;
}

/* Whether as many are left as the kind of reset leaves: none; just so many; or as many as chance
 * has it, to within six standard deviations. */
static bool is_plausible(const struct method *method, const struct reset *reset, bool is_whole)
{
    const double ratio = method->spec.reset_ratio;
    const double expected = (1.0 - ratio) * (double)reset->first_before;
    const double deviation = sqrt(ratio * expected);

    if (is_whole) {
        return reset->after == 0;
    }
    if (method->spec.reset == METHOD_RESET_MAGNITUDE) {
        return reset->first_after == reset->first_kept;
    }
    return fabs((double)reset->first_after - expected) <= 6.0 * deviation + 1.0;
}

static enum status reset_moments(struct method *method, struct adamw *adamw,
                                 struct merge_report *report, struct error *err)
{
    const bool is_whole = method_is_full_rank(method) || method->spec.reset == METHOD_RESET_ZERO;
    struct reset reset = {0};

    for (int64_t i = 0; i < method->table->count; i++) {
        const struct param *param = &method->table->params[i];
        if (restarts(method, param) && param->moment_count > 0) {
            reset_tensor(method, &reset, i, is_whole);
        }
    }
    if (is_whole) {
        adamw->steps[ADAMW_GROUP_ADAPTER] = 0;
    }
    report->moments_nonzero_before = reset.before;
    report->moments_nonzero_after = reset.after;
    if (!is_plausible(method, &reset, is_whole)) {
        return error_set(err, STATUS_CORRUPT,
                         "merge after cycle %lld: reset '%s' left %lld of %lld optimizer moments",
                         (long long)report->cycle,
                         is_whole ? "zero" : method_reset_text(method->spec.reset),
                         (long long)reset.after, (long long)reset.before);
    }
    return STATUS_OK;
}

/* ---- Ranks ---- */

/* [d,p] = an update [d,k] times omega [k,p] */
static struct gemm_shape sketch_product(const struct method *method, enum linear linear)
{
    const int64_t d = linear_rows(method->config, linear);
    const int64_t k = linear_columns(method->config, linear);

    return (struct gemm_shape){.m = d,
                               .n = rank_sketch_columns(d, k),
                               .k = k,
                               .accumulate = method->type->rewrites_base(method)};
}

/* Adds the present cycle's update to the sketch of all of them, or where W0 stays and nothing is
 * forgotten, sketches all of them; then estimates the rank. */
static enum status estimate_rank(struct method *method, enum linear linear,
                                 struct merge_report *report, struct error *err)
{
    struct backend *backend = method->backend;
    const int64_t layer = method_probed_layer(method);
    const struct gemm_shape shape = sketch_product(method, linear);
    float *sketch = shape.accumulate
                        ? method_tensor(method, layer, linear, METHOD_SLOT_SKETCH)->value
                        : method->sketch;

    backend->op->zero(backend, method->after, shape.m * shape.k);
    method->type->write_weight(method, layer, linear, method->after, method->after);
    draw_normal(method->omega, shape.k * shape.n, method->seed,
                rng_stream(RNG_PURPOSE_SKETCH, (uint32_t)linear, 0));
    backend->op->gemm(backend, sketch, method->after, method->omega, &shape);
    report->ranks_max[linear] = shape.n;
    return rank_of_sketch(&report->ranks[linear], sketch, shape.m, shape.n, err);
}

/* ---- Weights ---- */

static void make_permanent(struct method *method, int64_t layer, enum linear linear)
{
    if (method->type->rewrites_base(method)) {
        float *w0 = param_table_linear(method->table, layer, linear)->value;
        method->type->write_weight(method, layer, linear, w0, w0);
    } else {
        method->type->absorb(method, layer, linear);
    }
}

/* Makes one linear's update permanent and restarts its adapter; not a bit of its effective weight
 * may change. */
static enum status merge_linear(struct method *method, int64_t layer, enum linear linear,
                                struct error *err)
{
    const struct param *w0 = param_table_linear(method->table, layer, linear);
    const size_t size = (size_t)w0->elements * sizeof(float);

    method_write_linear(method, layer, linear, method->before);
    if (!method_is_full_rank(method)) {
        make_permanent(method, layer, linear);
    }
    method->cycle++;
    if (method->type->prepare != NULL) {
        method->type->prepare(method, layer, linear);
    }
    enum status status = method->type->restart(method, layer, linear, err);
    if (!status) {
        method_write_linear(method, layer, linear, method->after);
    }
    method->cycle--;
    if (!status && memcmp(method->before, method->after, size) != 0) {
        status = error_set(err, STATUS_CORRUPT,
                           "merge after cycle %lld changed the effective weight of '%s'",
                           (long long)method->cycle, w0->name);
    }
    return status;
}

/* Ranks first: an update is there to be looked at as long as it is not merged. */
static enum status merge_linears(struct method *method, struct merge_report *report,
                                 struct error *err)
{
    enum status status = STATUS_OK;

    report->rank_layer = method_probed_layer(method);
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        report->ranks[linear] = -1;
        if (!status && method_is_target(method, linear) && !method_is_full_rank(method)) {
            status = estimate_rank(method, linear, report, err);
        }
    }
    for (int64_t layer = 0; layer < method->config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; !status && linear < LINEAR_COUNT; linear++) {
            if (method_is_target(method, linear)) {
                status = merge_linear(method, layer, linear, err);
            }
        }
    }
    return status;
}

void method_plan_merge(struct method *method)
{
    struct backend *backend = method->backend;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        if (method_has_cycles(method->spec.name) && method_is_target(method, linear)) {
            const struct gemm_shape shape = sketch_product(method, linear);
            backend->op->gemm(backend, method->sketch, method->after, method->omega, &shape);
        }
    }
}

enum status method_merge(struct method *method, struct adamw *adamw, struct merge_report *report,
                         struct error *err)
{
    assert(method->model != NULL);
    report->cycle = method->cycle;
    report->group_kind = method_kind(method);

    enum status status = reset_moments(method, adamw, report, err);
    if (!status) {
        status = merge_linears(method, report, err);
    }
    if (status) {
        return status;
    }
    report->w_eff_equal = true;
    method->cycle++;
    report->next_kind = method_kind(method);
    param_table_set_phase(method->table, PARAM_PHASE_MAIN);
    return STATUS_OK;
}
