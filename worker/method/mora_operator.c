/*
 * mora_operator — what the operators do to gradients and weights.
 *
 *   dM [r_hat,r_hat] += decomp^T(dY)^T comp(X)
 *
 * Targets of a group that share comp(X), as they do where their r_hat is the same, are a run:
 * comp(X) is formed once, their decomp^T(dY) stand side by side, and one product gives all their
 * dM.
 */
#include <stdlib.h>

#include "proto/base/sys.h"
#include "worker/method/mora.h"

/* How many targets from the first one on are a run. */
static int64_t run_length(const struct mora *mora, const enum linear *targets, int64_t count)
{
    int64_t length = 1;

    while (!mora_is_permuted(mora) && length < count &&
           mora->r_hat[targets[length]] == mora->r_hat[targets[0]] &&
           mora_rows_per_token(mora, targets[length]) == mora_rows_per_token(mora, targets[0])) {
        length++;
    }
    return length;
}

/* The group of (X, dY) that a run belongs to. */
struct run {
    int64_t layer;
    const enum linear *targets;
    int64_t length;
    const void *dy;
    const void *x;
    int64_t dy_stride;
    int64_t k;
    int64_t N;
};

/* Where a target's columns of dY begin. */
static const void *dy_of(const struct mora *mora, const struct run *run, enum linear linear)
{
    return dtype_at(run->dy, method_row_offset(&mora->base, linear), mora->base.dtype);
}

/* Where the u of a run's i-th target begins. */
static void *u_of(const struct mora *mora, const struct run *run, int64_t i)
{
    return dtype_at_mut(mora->u, i * mora->r_hat[run->targets[0]], mora->base.dtype);
}

/* The product wants no copies: parts of dY and X as they lie. */
static void add_truncation_grad(const struct mora *mora, const struct run *run)
{
    struct backend *backend = mora->base.backend;

    for (int64_t i = 0; i < run->length; i++) {
        const enum linear linear = run->targets[i];
        const int64_t r_hat = mora->r_hat[linear];
        const struct gemm_shape shape = {.m = r_hat,
                                         .n = r_hat,
                                         .k = run->N,
                                         .lda = run->dy_stride,
                                         .ldb = run->k,
                                         .transpose_a = true,
                                         .accumulate = true,
                                         .operands = mora->base.dtype};
        backend->op->gemm(backend,
                          method_tensor(&mora->base, run->layer, linear, MORA_SLOT_M)->grad,
                          dy_of(mora, run, linear), run->x, &shape);
    }
}

/* z and u of a run. */
static void fill_sharing(const struct mora *mora, const struct run *run)
{
    struct backend *backend = mora->base.backend;
    const enum dtype type = mora->base.dtype;
    const int64_t active = method_adapter_cycle(&mora->base) % mora->kind_count;
    const int64_t r_hat = mora->r_hat[run->targets[0]];

    for (int64_t i = 0; i < run->length; i++) {
        const enum linear linear = run->targets[i];
        const struct sharing_kind kind = mora_sharing(mora, active, run->layer, linear);
        if (i == 0) {
            backend->op->sharing_comp(backend, mora->z, run->x, &kind, run->N, run->k, r_hat,
                                      run->k, type);
        }
        backend->op->sharing_decomp_t(backend, u_of(mora, run, i), dy_of(mora, run, linear), &kind,
                                      run->N, linear_rows(mora->base.config, linear), r_hat,
                                      run->dy_stride, run->length * r_hat, type);
    }
}

static void fill_chunks(const struct mora *mora, const struct run *run)
{
    struct backend *backend = mora->base.backend;
    const enum dtype type = mora->base.dtype;
    const int64_t r_hat = mora->r_hat[run->targets[0]];

    for (int64_t i = 0; i < run->length; i++) {
        const enum linear linear = run->targets[i];
        const struct chunks chunks = mora_chunks(mora, linear);
        if (i == 0) {
            backend->op->chunks_comp(backend, mora->z, run->x, &chunks, run->N, run->k, type);
        }
        backend->op->chunks_decomp_t(backend, u_of(mora, run, i), dy_of(mora, run, linear), &chunks,
                                     run->N, run->dy_stride, run->length * r_hat, type);
    }
}

/* The product that gives the dM of so many targets of one r_hat. */
static struct gemm_shape run_product(const struct mora *mora, enum linear first, int64_t length,
                                     int64_t N)
{
    return (struct gemm_shape){.m = length * mora->r_hat[first],
                               .n = mora->r_hat[first],
                               .k = N * mora_rows_per_token(mora, first),
                               .transpose_a = true,
                               .accumulate = true,
                               .operands = mora->base.dtype};
}

static void add_run_grad(const struct mora *mora, const struct run *run)
{
    struct backend *backend = mora->base.backend;
    const enum linear first = run->targets[0];
    const struct gemm_shape shape = run_product(mora, first, run->length, run->N);

    switch (mora->base.spec.op) {
    case MORA_OPERATOR_TRUNCATION:
        add_truncation_grad(mora, run);
        return;
    case MORA_OPERATOR_SHARING:
        fill_sharing(mora, run);
        break;
    case MORA_OPERATOR_DECOUPLING:
    case MORA_OPERATOR_ROTATION:
        fill_chunks(mora, run);
        break;
    }
    backend->op->gemm(backend, method_tensor(&mora->base, run->layer, first, MORA_SLOT_M)->grad,
                      mora->u, mora->z, &shape);
}

void mora_group_grad(struct method *method, int64_t layer, enum linear_group group, const void *dy,
                     const void *x, int64_t N)
{
    const struct mora *mora = (const struct mora *)method;
    enum linear targets[LINEAR_COUNT];
    const int64_t count = method_group_targets(method, group, targets);

    for (int64_t i = 0; i < count;) {
        const struct run run = {.layer = layer,
                                .targets = targets + i,
                                .length = run_length(mora, targets + i, count - i),
                                .dy = dy,
                                .x = x,
                                .dy_stride = linear_group_rows(method->config, group),
                                .k = linear_group_columns(method->config, group),
                                .N = N};
        add_run_grad(mora, &run);
        i += run.length;
    }
}

void mora_products(const struct method *method, int64_t N, struct cost *cost)
{
    const struct mora *mora = (const struct mora *)method;

    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        enum linear targets[LINEAR_COUNT];
        const int64_t count = method_group_targets(method, group, targets);
        for (int64_t i = 0, length = 0; i < count; i += length) {
            length = method->spec.op == MORA_OPERATOR_TRUNCATION
                         ? 1
                         : run_length(mora, targets + i, count - i);
            const struct cost_product product = {
                .name = "adapters dM",
                .shape = run_product(mora, targets[i], length, N),
                .batch = 1,
                .count = (double)method->config->num_hidden_layers,
                .needed = 1.0,
            };
            cost_add(cost, &product);
        }
    }
}

/* What is added to W0: S of every kind, M of the active one. */
static struct sharing_term term_of(const struct mora *mora, int64_t kind, int64_t layer,
                                   enum linear linear)
{
    const struct method *method = &mora->base;

    return (struct sharing_term){
        .kind = mora_sharing(mora, kind, layer, linear),
        .sum = mora_has_sums(mora)
                   ? method_tensor(method, layer, linear, MORA_SLOT_SUM + (int)kind)->value
                   : NULL,
        .adapter = mora_is_active(mora, kind)
                       ? method_tensor(method, layer, linear, MORA_SLOT_M)->value
                       : NULL,
    };
}

void mora_write_weight(struct method *method, int64_t layer, enum linear linear, float *out,
                       const float *base)
{
    const struct mora *mora = (const struct mora *)method;
    struct backend *backend = method->backend;
    const int64_t d = linear_rows(method->config, linear);
    const int64_t k = linear_columns(method->config, linear);
    const struct chunks chunks = mora_chunks(mora, linear);
    struct sharing_term terms[MORA_KINDS_MAX];

    for (int64_t kind = 0; kind < mora->kind_count; kind++) {
        terms[kind] = term_of(mora, kind, layer, linear);
    }
    switch (method->spec.op) {
    case MORA_OPERATOR_SHARING:
        backend->op->sharing_weight(backend, out, base, terms, mora->kind_count, d, k,
                                    mora->r_hat[linear]);
        break;
    case MORA_OPERATOR_TRUNCATION:
        backend->op->truncation_weight(backend, out, base, terms[0].sum, terms[0].adapter, d, k,
                                       mora->r_hat[linear]);
        break;
    case MORA_OPERATOR_DECOUPLING:
    case MORA_OPERATOR_ROTATION:
        backend->op->chunks_weight(backend, out, base, terms[0].sum, terms[0].adapter, &chunks);
        break;
    }
}

/* y += what the operator makes of x with that matrix. */
static enum status add_side(const struct mora *mora, double *y, const double *x,
                            const float *matrix, const struct sharing_kind *kind,
                            enum linear linear, int64_t T, struct error *err)
{
    const struct chunks chunks = mora_chunks(mora, linear);
    const int64_t r_hat = mora->r_hat[linear];

    if (matrix == NULL) {
        return STATUS_OK;
    }
    double *m = sys_calloc((size_t)(r_hat * r_hat + 2 * T * r_hat), sizeof *m);
    if (m == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the reference model");
    }
    double *scratch = m + r_hat * r_hat;
    for (int64_t i = 0; i < r_hat * r_hat; i++) {
        m[i] = (double)matrix[i];
    }
    switch (mora->base.spec.op) {
    case MORA_OPERATOR_SHARING:
        sharing_side_forward_ref(y, scratch, x, m, kind, T, chunks.d, chunks.k, r_hat);
        break;
    case MORA_OPERATOR_TRUNCATION:
        truncation_side_forward_ref(y, x, m, T, chunks.d, chunks.k, r_hat);
        break;
    case MORA_OPERATOR_DECOUPLING:
    case MORA_OPERATOR_ROTATION:
        chunks_side_forward_ref(y, scratch, x, m, &chunks, T);
        break;
    }
    free(m);
    return STATUS_OK;
}

enum status mora_side_ref(struct method *method, double *y, const double *x, int64_t layer,
                          enum linear linear, int64_t T, struct error *err)
{
    const struct mora *mora = (const struct mora *)method;
    enum status status = STATUS_OK;

    for (int64_t kind = 0; !status && kind < mora->kind_count; kind++) {
        const struct sharing_term term = term_of(mora, kind, layer, linear);
        status = add_side(mora, y, x, term.sum, &term.kind, linear, T, err);
        if (!status) {
            status = add_side(mora, y, x, term.adapter, &term.kind, linear, T, err);
        }
    }
    return status;
}
