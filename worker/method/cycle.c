/*
 * cycle — the merge between two cycles: the same for all methods that have cycles, and for the end
 * of the full-rank steps.
 */
#include <assert.h>
#include <string.h>

#include "worker/method/method_internal.h"

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

/* Elements of the moments that are not zero, counted where they lie. */
static int64_t count_moments(const struct method *method)
{
    struct backend *backend = method->backend;
    int64_t total = 0;

    for (int64_t i = 0; i < method->table->count; i++) {
        const struct param *param = &method->table->params[i];
        if (restarts(method, param)) {
            int64_t first = 0;
            int64_t second = 0;
            backend->op->count_nonzero(backend, &first, param->exp_avg, param->elements);
            backend->op->count_nonzero(backend, &second, param->exp_avg_sq, param->elements);
            total += first + second;
        }
    }
    return total;
}

static enum status reset_moments(struct method *method, struct adamw *adamw,
                                 struct merge_report *report, struct error *err)
{
    struct backend *backend = method->backend;

    report->moments_nonzero_before = count_moments(method);
    for (int64_t i = 0; i < method->table->count; i++) {
        const struct param *param = &method->table->params[i];
        if (restarts(method, param)) {
            backend->op->zero(backend, param->exp_avg, param->elements);
            backend->op->zero(backend, param->exp_avg_sq, param->elements);
        }
    }
    adamw->steps[ADAMW_GROUP_ADAPTER] = 0;
    report->moments_nonzero_after = count_moments(method);
    if (report->moments_nonzero_after != 0) {
        return error_set(err, STATUS_CORRUPT,
                         "merge after cycle %lld left %lld optimizer moments that are not zero",
                         (long long)report->cycle, (long long)report->moments_nonzero_after);
    }
    return STATUS_OK;
}

/* ---- Weights ---- */

/* Makes one linear's update permanent and restarts its adapter; not a bit of its effective weight
 * may change. */
static enum status merge_linear(struct method *method, int64_t layer, enum linear linear,
                                struct error *err)
{
    const struct param *w0 = param_table_linear(method->table, layer, linear);
    const size_t size = (size_t)w0->elements * sizeof(float);

    method_write_linear(method, layer, linear, method->before);
    if (!method_is_full_rank(method)) {
        method->type->absorb(method, layer, linear);
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

enum status method_merge(struct method *method, struct adamw *adamw, struct merge_report *report,
                         struct error *err)
{
    assert(method->model != NULL);
    report->cycle = method->cycle;
    report->group_kind = method_kind(method);

    enum status status = reset_moments(method, adamw, report, err);
    for (int64_t layer = 0; layer < method->config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; !status && linear < LINEAR_COUNT; linear++) {
            if (method_is_target(method, linear)) {
                status = merge_linear(method, layer, linear, err);
            }
        }
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
