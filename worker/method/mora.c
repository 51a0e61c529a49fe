/*
 * MoRA and ReMoRA with the sharing operator (Jiang et al. 2024, §3.2-3.3).
 *
 * MoRA has one square matrix M per linear, over the groups `mod_tile`. ReMoRA alternates two group
 * kinds from cycle to cycle, and keeps per kind a sum S of the M's that were merged. The base W0
 * never changes. With T = fl(S + M) for the active kind and T = S for the others, the effective
 * weight is
 *
 *   W_eff = fl(fl(W0 + expand(T_mod_tile)) + expand(T_blocks_interleave))
 *
 * always in that order, whichever is active: a merge, S := fl(S + M) and M := 0, then leaves every
 * bit of it as it was.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "worker/method/method_internal.h"

#define KINDS 2

/* Their order is part of what a run computes; their names, of checkpoints. */
static const struct {
    const char *name;
    struct sharing_kind kind;
} kinds[KINDS] = {
    {"mod_tile", {SHARING_COLUMNS_MOD, SHARING_ROWS_TILE}},
    {"blocks_interleave", {SHARING_COLUMNS_BLOCKS, SHARING_ROWS_INTERLEAVE}},
};

struct mora {
    struct method base;
    int64_t kind_count;  /* 1, or 2 with merges */
    int64_t merge_every; /* 0: never */
    int64_t cycle;       /* merges so far; the active kind is cycle mod kind_count */
    int64_t r_hat[LINEAR_COUNT];
    int64_t r_hat_max;
    int64_t first;  /* index in the table of the first tensor that was added */
    float *z;       /* [N,r_hat] comp(X) */
    float *u;       /* [N,r_hat] decomp^T(dY) */
    float *rebuilt; /* [d,k] of the largest linear, for the check of a merge */
};

int64_t mora_r_hat(int64_t d, int64_t k, int64_t r)
{
    const int64_t nearest = (int64_t)floor(sqrt((double)(d + k) * (double)r) + 0.5);
    const int64_t smaller = d < k ? d : k;

    return nearest < smaller ? nearest : smaller;
}

static int64_t active_kind(const struct mora *mora)
{
    return mora->cycle % mora->kind_count;
}

/* Tensors per linear: M, and with merges one S per kind. */
static int64_t tensors_per_linear(const struct mora *mora)
{
    return 1 + (mora->merge_every > 0 ? mora->kind_count : 0);
}

static struct param *adapter_of(const struct mora *mora, int64_t layer, enum linear linear)
{
    const int64_t index =
        mora->first + (layer * LINEAR_COUNT + (int64_t)linear) * tensors_per_linear(mora);
    struct param *param = &mora->base.table->params[index];

    assert(param->role == PARAM_ROLE_ADAPTER);
    assert(param->layer == layer && param->linear == (int64_t)linear);
    return param;
}

static struct param *sum_of(const struct mora *mora, int64_t layer, enum linear linear,
                            int64_t kind)
{
    assert(mora->merge_every > 0);
    struct param *param = adapter_of(mora, layer, linear) + 1 + kind;

    assert(param->role == PARAM_ROLE_SUM);
    return param;
}

static enum status add_tensors(struct mora *mora, struct param_table *table, int64_t layer,
                               enum linear linear, struct error *err)
{
    const int64_t r_hat = mora->r_hat[linear];

    enum status status =
        param_table_add(table, layer, linear, PARAM_ROLE_ADAPTER, "M", r_hat, r_hat, err);
    for (int64_t kind = 0; !status && kind < tensors_per_linear(mora) - 1; kind++) {
        char suffix[32];
        (void)snprintf(suffix, sizeof suffix, "S.%s", kinds[kind].name);
        status = param_table_add(table, layer, linear, PARAM_ROLE_SUM, suffix, r_hat, r_hat, err);
    }
    return status;
}

static void choose_r_hat(struct mora *mora, const struct method_options *options,
                         const struct model_config *config)
{
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        mora->r_hat[linear] =
            mora_r_hat(linear_rows(config, linear), linear_columns(config, linear), options->r);
        if (mora->r_hat[linear] > mora->r_hat_max) {
            mora->r_hat_max = mora->r_hat[linear];
        }
    }
    (void)snprintf(mora->base.description, sizeof mora->base.description,
                   "%s: r %lld gives r_hat %lld (q, o), %lld (k, v), %lld (gate, up), %lld (down)",
                   method_name_text(options->name), (long long)options->r,
                   (long long)mora->r_hat[LINEAR_Q], (long long)mora->r_hat[LINEAR_K],
                   (long long)mora->r_hat[LINEAR_UP], (long long)mora->r_hat[LINEAR_DOWN]);
}

static enum status mora_create(struct method **out, const struct method_options *options,
                               struct param_table *table, const struct model_config *config,
                               struct error *err)
{
    if (options->r < 1) {
        (void)error_set(err, STATUS_INVALID, "method.r: %lld is below 1", (long long)options->r);
        error_set_field(err, "method.r");
        return STATUS_INVALID;
    }
    struct mora *mora = sys_calloc(1, sizeof *mora);
    if (mora == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the method");
    }
    const bool merges = options->name == METHOD_NAME_REMORA;
    mora->merge_every = merges ? options->merge_every : 0;
    mora->kind_count = merges ? KINDS : 1;
    mora->first = table->count;
    choose_r_hat(mora, options, config);

    enum status status = STATUS_OK;
    for (int64_t layer = 0; layer < config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; !status && linear < LINEAR_COUNT; linear++) {
            status = add_tensors(mora, table, layer, linear, err);
        }
    }
    if (status) {
        free(mora);
        return status;
    }
    *out = &mora->base;
    return STATUS_OK;
}

static enum status remora_create(struct method **out, const struct method_options *options,
                                 struct param_table *table, const struct model_config *config,
                                 struct error *err)
{
    if (options->merge_every < 1) {
        (void)error_set(err, STATUS_INVALID, "method.merge_every: %lld is below 1",
                        (long long)options->merge_every);
        error_set_field(err, "method.merge_every");
        return STATUS_INVALID;
    }
    return mora_create(out, options, table, config, err);
}

static void mora_destroy(struct method *method)
{
    free(method);
}

static void mora_layout(struct method *method, struct memory_plan *plan, int64_t N)
{
    struct mora *mora = (struct mora *)method;
    int64_t largest = 0;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        const int64_t elements =
            linear_rows(method->config, linear) * linear_columns(method->config, linear);
        largest = elements > largest ? elements : largest;
    }
    mora->z = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, N * mora->r_hat_max);
    mora->u = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, N * mora->r_hat_max);
    mora->rebuilt = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE,
                                       N > 0 && mora->merge_every > 0 ? largest : 0);
}

/* dM[r_hat,r_hat] += decomp^T(dY)^T comp(X). Linears with one input and one r_hat share comp(X). */
static void mora_group_grad(void *context, int64_t layer, enum linear_group group, const float *dy,
                            const float *x, int64_t N)
{
    const struct mora *mora = context;
    struct backend *backend = mora->base.backend;
    const struct sharing_kind kind = kinds[active_kind(mora)].kind;
    const int64_t stride = linear_group_rows(mora->base.config, group);
    const int64_t k = linear_group_columns(mora->base.config, group);
    int64_t z_r_hat = 0; /* what z holds */

    for (enum linear linear = linear_group_first(group); linear <= linear_group_last(group);
         linear++) {
        const int64_t d = linear_rows(mora->base.config, linear);
        const int64_t r_hat = mora->r_hat[linear];
        const struct gemm_shape shape = {
            .m = r_hat, .n = r_hat, .k = N, .transpose_a = true, .accumulate = true};

        if (r_hat != z_r_hat) {
            backend->op->sharing_comp(backend, mora->z, x, kind.columns, N, k, r_hat, k);
            z_r_hat = r_hat;
        }
        backend->op->sharing_decomp_t(backend, mora->u, dy, kind.rows, N, d, r_hat, stride);
        backend->op->gemm(backend, adapter_of(mora, layer, linear)->grad, mora->u, mora->z, &shape);
        dy += d;
    }
}

/* What is added to W0, in the order of the kinds; returns how many terms there are. */
static int64_t collect_terms(const struct mora *mora, int64_t layer, enum linear linear,
                             struct sharing_term terms[KINDS])
{
    for (int64_t kind = 0; kind < mora->kind_count; kind++) {
        terms[kind] = (struct sharing_term){
            .kind = kinds[kind].kind,
            .sum = mora->merge_every > 0 ? sum_of(mora, layer, linear, kind)->value : NULL,
            .adapter = kind == active_kind(mora) ? adapter_of(mora, layer, linear)->value : NULL,
        };
    }
    return mora->kind_count;
}

static void mora_write_weight(const struct method *method, int64_t layer, enum linear linear,
                              float *out)
{
    const struct mora *mora = (const struct mora *)method;
    const struct param *w0 = param_table_linear(method->table, layer, linear);
    struct sharing_term terms[KINDS];

    const int64_t count = collect_terms(mora, layer, linear, terms);
    method->backend->op->sharing_weight(method->backend, out, w0->value, terms, count, w0->shape[0],
                                        w0->shape[1], mora->r_hat[linear]);
}

/* y += decomp(matrix comp(x)), the paper's side path. */
static enum status add_side(double *y, const double *x, const float *matrix,
                            struct sharing_kind kind, int64_t T, const struct param *w0,
                            int64_t r_hat, struct error *err)
{
    double *memory = sys_calloc((size_t)(r_hat * r_hat + 2 * T * r_hat), sizeof *memory);
    if (memory == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the reference model");
    }
    double *scratch = memory + r_hat * r_hat;
    for (int64_t i = 0; i < r_hat * r_hat; i++) {
        memory[i] = (double)matrix[i];
    }
    sharing_side_forward_ref(y, scratch, x, memory, kind, T, w0->shape[0], w0->shape[1], r_hat);
    free(memory);
    return STATUS_OK;
}

static enum status mora_side_ref(void *context, double *y, const double *x, int64_t layer,
                                 enum linear linear, int64_t T, struct error *err)
{
    const struct mora *mora = context;
    const struct param *w0 = param_table_linear(mora->base.table, layer, linear);
    const int64_t r_hat = mora->r_hat[linear];
    struct sharing_term terms[KINDS];
    enum status status = STATUS_OK;

    const int64_t count = collect_terms(mora, layer, linear, terms);
    for (int64_t i = 0; !status && i < count; i++) {
        if (terms[i].sum != NULL) {
            status = add_side(y, x, terms[i].sum, terms[i].kind, T, w0, r_hat, err);
        }
        if (!status && terms[i].adapter != NULL) {
            status = add_side(y, x, terms[i].adapter, terms[i].kind, T, w0, r_hat, err);
        }
    }
    return status;
}

static bool remora_merge_due(const struct method *method, int64_t u, int64_t N)
{
    const struct mora *mora = (const struct mora *)method;

    return u % mora->merge_every == 0 && u < N;
}

/* Elements of the adapters' moments that are not zero, counted where they lie. */
static int64_t count_moments(const struct mora *mora)
{
    struct backend *backend = mora->base.backend;
    int64_t total = 0;

    for (int64_t i = mora->first; i < mora->base.table->count; i++) {
        const struct param *param = &mora->base.table->params[i];
        if (param->role == PARAM_ROLE_ADAPTER) {
            int64_t first = 0;
            int64_t second = 0;
            backend->op->count_nonzero(backend, &first, param->exp_avg, param->moment_count);
            backend->op->count_nonzero(backend, &second, param->exp_avg_sq, param->moment_count);
            total += first + second;
        }
    }
    return total;
}

/* S := fl(S + M), M := 0, moments := 0 */
static void absorb(const struct mora *mora, int64_t layer, enum linear linear)
{
    struct backend *backend = mora->base.backend;
    const struct param *sum = sum_of(mora, layer, linear, active_kind(mora));
    const struct param *adapter = adapter_of(mora, layer, linear);

    backend->op->add(backend, sum->value, sum->value, adapter->value, sum->elements);
    backend->op->zero(backend, adapter->value, adapter->elements);
    backend->op->zero(backend, adapter->exp_avg, adapter->moment_count);
    backend->op->zero(backend, adapter->exp_avg_sq, adapter->moment_count);
}

/* Compares the model's effective weights, bit by bit, with those that the state gives now. */
static enum status verify_weights(const struct mora *mora, struct error *err)
{
    for (int64_t layer = 0; layer < mora->base.config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
            const struct param *w0 = param_table_linear(mora->base.table, layer, linear);
            const float *before = model_weight(mora->base.model, layer, linear);

            mora_write_weight(&mora->base, layer, linear, mora->rebuilt);
            if (memcmp(before, mora->rebuilt, (size_t)w0->elements * sizeof(float)) != 0) {
                return error_set(err, STATUS_CORRUPT,
                                 "merge after cycle %lld changed the effective weight of '%s'",
                                 (long long)mora->cycle - 1, w0->name);
            }
        }
    }
    return STATUS_OK;
}

static enum status remora_merge(struct method *method, struct adamw *adamw,
                                struct merge_report *report, struct error *err)
{
    struct mora *mora = (struct mora *)method;

    report->cycle = mora->cycle;
    report->group_kind = kinds[active_kind(mora)].name;
    report->moments_nonzero_before = count_moments(mora);
    method_write_weights(method); /* of the state before */

    for (int64_t layer = 0; layer < method->config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
            absorb(mora, layer, linear);
        }
    }
    adamw->steps[ADAMW_GROUP_ADAPTER] = 0;
    mora->cycle++;

    report->next_kind = kinds[active_kind(mora)].name;
    report->moments_nonzero_after = count_moments(mora);
    if (report->moments_nonzero_after != 0) {
        return error_set(err, STATUS_CORRUPT,
                         "merge after cycle %lld left %lld optimizer moments that are not zero",
                         (long long)report->cycle, (long long)report->moments_nonzero_after);
    }
    enum status status = verify_weights(mora, err);
    report->w_eff_equal = status == STATUS_OK;
    return status;
}

static json_t *remora_state(const struct method *method)
{
    const struct mora *mora = (const struct mora *)method;

    return json_pack("{s:I, s:s}", "cycle", (json_int_t)mora->cycle, "group_kind",
                     kinds[active_kind(mora)].name);
}

static enum status remora_set_state(struct method *method, const json_t *state, struct error *err)
{
    struct mora *mora = (struct mora *)method;
    const int64_t cycle = json_get_int(state, "cycle", -1);
    const char *kind = json_get_text(state, "group_kind", "");

    if (cycle < 0) {
        return error_set(err, STATUS_CORRUPT, "the method's state has no cycle");
    }
    const char *expected = kinds[cycle % mora->kind_count].name;
    if (strcmp(kind, expected) != 0) {
        return error_set(err, STATUS_CORRUPT, "group kind '%s' is not that of cycle %lld, '%s'",
                         kind, (long long)cycle, expected);
    }
    mora->cycle = cycle;
    return STATUS_OK;
}

const struct method_type method_mora = {
    .name = METHOD_NAME_MORA,
    .create = mora_create,
    .destroy = mora_destroy,
    .layout = mora_layout,
    .group_grad = mora_group_grad,
    .write_weight = mora_write_weight,
    .side_ref = mora_side_ref,
};

const struct method_type method_remora = {
    .name = METHOD_NAME_REMORA,
    .create = remora_create,
    .destroy = mora_destroy,
    .layout = mora_layout,
    .group_grad = mora_group_grad,
    .write_weight = mora_write_weight,
    .side_ref = mora_side_ref,
    .merge_due = remora_merge_due,
    .merge = remora_merge,
    .state = remora_state,
    .set_state = remora_set_state,
};
