/*
 * The LoRA family: W0 stays frozen, and a linear layer of d outputs and k inputs gets
 *
 *   A [r,k], B [d,r]:  V = W0 + s B A,  s = alpha / r             (Hu et al. 2022)
 *   dB = s dY^T (X A^T)   dA = s (dY B)^T X
 *
 * lora_plus gives B a larger learning rate (Hayou et al. 2024); asylora starts A with orthonormal
 * rows and freezes it (Zhu et al. 2024); relora makes V the new W0 every few steps (Lialin et al.
 * 2023); dora learns the length of every row apart (Liu et al. 2024):
 *
 *   m [d]:  W' = diag(c) V,  c_o = m_o / ‖V_o‖
 *   dB, dA as above from dY diag(c): the norms count as constants
 *   dm_o = (1/m_o) sum over tokens of dY_o Y_o,  Y = X W'^T
 *
 * A starts as Kaiming's uniform in ±1/√k, drawn anew at every restart, B as zeros, m as the norms
 * of W0's rows. The A's of a group of linears lie packed, and so do their gradients: one product
 * gives X A^T for all of them, and one their dA.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "worker/method/draw.h"
#include "worker/method/method_internal.h"

enum { SLOT_A, SLOT_B, SLOT_MAGNITUDE };

struct lora {
    struct method base;
    float scale;    /* s */
    void *xa;       /* [N, r of all targets of a group] an operand: s X A^T */
    void *v;        /* the same: s dY diag(c) B */
    float *scaled;  /* s A of a group's targets, or [d,r] s diag(c) B of one */
    void *rounded;  /* the same as an operand: itself, or rounded */
    float *raw;     /* dora: [d,r] s dY^T (X A^T) */
    float *y;       /* dora: [N,d] */
    float *factors; /* dora: c of every target, each at its method_rows_before() */
};

static bool has_magnitude(const struct lora *lora)
{
    return lora->base.spec.name == METHOD_NAME_DORA;
}

static enum status lora_create(struct method **out, const struct method_spec *spec,
                               const struct model_config *config, struct error *err)
{
    (void)config;
    struct lora *lora = sys_calloc(1, sizeof *lora);
    if (lora == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the method");
    }
    lora->scale = (float)(spec->alpha / (double)spec->r);
    (void)snprintf(lora->base.description, sizeof lora->base.description,
                   "%s: r %lld, updates scaled by alpha / r = %g", method_name_text(spec->name),
                   (long long)spec->r, spec->alpha / (double)spec->r);
    *out = &lora->base;
    return STATUS_OK;
}

static void lora_destroy(struct method *method)
{
    free(method);
}

static enum status lora_add_tensors(struct method *method, int64_t layer, enum linear_group group,
                                    struct error *err)
{
    const struct method_spec *spec = &method->spec;
    enum linear targets[LINEAR_COUNT];
    enum status status = STATUS_OK;

    const int64_t count = method_group_targets(method, group, targets);
    for (int64_t i = 0; !status && i < count; i++) {
        const struct param_addition a = {.layer = layer,
                                         .linear = targets[i],
                                         .role = PARAM_ROLE_ADAPTER,
                                         .suffix = "lora_A",
                                         .rows = spec->r,
                                         .columns = linear_columns(method->config, targets[i]),
                                         .is_trained = !spec->freeze_a,
                                         .packed = i > 0};
        status = method_add_tensor(method, SLOT_A, &a, err);
    }
    for (int64_t i = 0; !status && i < count; i++) {
        struct param_addition b = {.layer = layer,
                                   .linear = targets[i],
                                   .role = PARAM_ROLE_ADAPTER,
                                   .suffix = "lora_B",
                                   .rows = linear_rows(method->config, targets[i]),
                                   .columns = spec->r,
                                   .is_trained = true,
                                   .lr_ratio = spec->lr_ratio};
        status = method_add_tensor(method, SLOT_B, &b, err);
        if (!status && spec->name == METHOD_NAME_DORA) {
            b.role = PARAM_ROLE_MAGNITUDE;
            b.suffix = "magnitude";
            b.columns = 0;
            b.lr_ratio = 1.0;
            status = method_add_tensor(method, SLOT_MAGNITUDE, &b, err);
        }
    }
    return status;
}

static void lora_layout(struct method *method, struct memory_plan *plan, int64_t N)
{
    struct lora *lora = (struct lora *)method;
    const enum memory_kind kind = MEMORY_KIND_WORKSPACE;
    const struct method_extents extents = method_largest_target(method);
    const int64_t d = extents.d;
    const int64_t r = method->spec.r;
    const int64_t trained = has_magnitude(lora) ? N : 0;
    int64_t most = 0;

    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        enum linear targets[LINEAR_COUNT];
        const int64_t count = method_group_targets(method, group, targets);
        most = count > most ? count : most;
    }
    const int64_t scaled = d > most * extents.k ? d : most * extents.k;
    lora->xa = memory_plan_take(plan, kind, N * most * r, dtype_bytes(method->dtype));
    lora->v = memory_plan_take(plan, kind, N * most * r, dtype_bytes(method->dtype));
    lora->scaled = memory_plan_floats(plan, kind, scaled * r);
    lora->rounded = method->dtype == DTYPE_FP32
                        ? lora->scaled
                        : memory_plan_take(plan, kind, scaled * r, dtype_bytes(method->dtype));
    lora->raw = memory_plan_floats(plan, kind, trained > 0 ? d * r : 0);
    lora->y = memory_plan_floats(plan, kind, trained * d);
    lora->factors = memory_plan_floats(
        plan, kind,
        has_magnitude(lora) ? method_rows_before(method, method->config->num_hidden_layers, 0) : 0);
}

/* ---- Values ---- */

static enum status draw_a(const struct method *method, int64_t layer, enum linear linear,
                          struct error *err)
{
    const struct param *a = method_tensor(method, layer, linear, SLOT_A);
    const int64_t r = a->shape[0];
    const int64_t k = a->shape[1];
    const uint64_t stream =
        rng_stream(RNG_PURPOSE_ADAPTER, method_tensor_index(method, layer, linear, SLOT_A),
                   method_cycle_number(method));

    if (method->spec.name == METHOD_NAME_ASYLORA) {
        return draw_orthonormal_rows(a->value, r, k, method->seed, stream, err);
    }
    draw_uniform(a->value, r * k, 1.0 / sqrt((double)k), method->seed, stream);
    return STATUS_OK;
}

static enum status lora_restart(struct method *method, int64_t layer, enum linear linear,
                                struct error *err)
{
    struct backend *backend = method->backend;
    const struct param *w0 = param_table_linear(method->table, layer, linear);
    const struct param *b = method_tensor(method, layer, linear, SLOT_B);

    backend->op->zero(backend, b->value, b->elements);
    if (has_magnitude((const struct lora *)method)) {
        const struct param *m = method_tensor(method, layer, linear, SLOT_MAGNITUDE);
        backend->op->row_norms(backend, m->value, w0->value, w0->shape[0], w0->shape[1]);
    }
    return draw_a(method, layer, linear, err);
}

static void lora_write_weight(struct method *method, int64_t layer, enum linear linear, float *out,
                              const float *base)
{
    const struct lora *lora = (const struct lora *)method;
    struct backend *backend = method->backend;
    const struct param *w0 = param_table_linear(method->table, layer, linear);
    const struct param *a = method_tensor(method, layer, linear, SLOT_A);
    const struct param *b = method_tensor(method, layer, linear, SLOT_B);
    const int64_t d = w0->shape[0];
    const int64_t k = w0->shape[1];
    const int64_t r = method->spec.r;
    const struct gemm_shape shape = {.m = d, .n = k, .k = r, .accumulate = true};

    if (out != base) {
        backend->op->copy(backend, out, base, w0->elements);
    }
    backend->op->scale_rows(backend, lora->scaled, b->value, NULL, lora->scale, d, r);
    backend->op->gemm(backend, out, lora->scaled, a->value, &shape);
    if (has_magnitude(lora)) {
        const struct param *m = method_tensor(method, layer, linear, SLOT_MAGNITUDE);
        backend->op->normalise_rows(backend, out,
                                    lora->factors + method_rows_before(method, layer, linear),
                                    m->value, d, k);
    }
}

static bool lora_rewrites_base(const struct method *method)
{
    (void)method;
    return true;
}

/* ---- Gradients ---- */

/* The operand s diag(factor) x[rows,columns] for a product with dY or X; valid until the next. */
static const void *scale_operand(const struct lora *lora, const float *x, const float *factor,
                                 int64_t rows, int64_t columns)
{
    static const struct bf16_rounding nearest = {.is_stochastic = false};
    struct backend *backend = lora->base.backend;

    backend->op->scale_rows(backend, lora->scaled, x, factor, lora->scale, rows, columns);
    if (lora->base.dtype == DTYPE_BF16) {
        backend->op->round_bf16(backend, lora->rounded, lora->scaled, rows * columns, &nearest);
    }
    return lora->rounded;
}

/* dB += s dY^T (X A^T), its rows scaled by c where there are any. xa is the target's part. */
static void add_b_grad(const struct lora *lora, const struct param *b, const void *dy,
                       int64_t dy_stride, const void *xa, int64_t xa_stride, const float *c,
                       int64_t N)
{
    struct backend *backend = lora->base.backend;
    const struct gemm_shape shape = {.m = b->shape[0],
                                     .n = b->shape[1],
                                     .k = N,
                                     .lda = dy_stride,
                                     .ldb = xa_stride,
                                     .transpose_a = true,
                                     .accumulate = c == NULL,
                                     .operands = lora->base.dtype};

    backend->op->gemm(backend, c == NULL ? b->grad : lora->raw, dy, xa, &shape);
    if (c != NULL) {
        backend->op->add_scaled_rows(backend, b->grad, lora->raw, c, b->shape[0], b->shape[1]);
    }
}

/* v = s dY diag(c) B */
static void multiply_by_b(const struct lora *lora, void *v, int64_t v_stride, const struct param *b,
                          const void *dy, int64_t dy_stride, const float *c, int64_t N)
{
    struct backend *backend = lora->base.backend;
    const struct gemm_shape shape = {.m = N,
                                     .n = b->shape[1],
                                     .k = b->shape[0],
                                     .lda = dy_stride,
                                     .ldc = v_stride,
                                     .operands = lora->base.dtype,
                                     .result = lora->base.dtype};
    const void *scaled_b = scale_operand(lora, b->value, c, b->shape[0], b->shape[1]);

    backend->op->gemm(backend, v, dy, scaled_b, &shape);
}

/* dm, from the outputs that the forward pass had. */
static void add_magnitude_grad(const struct lora *lora, int64_t layer, enum linear linear,
                               const void *dy, int64_t dy_stride, const void *x, int64_t N)
{
    const struct method *method = &lora->base;
    struct backend *backend = method->backend;
    const struct param *m = method_tensor(method, layer, linear, SLOT_MAGNITUDE);
    const int64_t d = m->shape[0];
    const struct gemm_shape shape = {.m = N,
                                     .n = d,
                                     .k = linear_columns(method->config, linear),
                                     .transpose_b = true,
                                     .operands = method->dtype};

    backend->op->gemm(backend, lora->y, x, model_weight(method->model, layer, linear), &shape);
    backend->op->dot_columns(backend, m->grad, dy, lora->y, m->value, N, d, dy_stride,
                             method->dtype);
}

/* What the targets of one group have in common. */
static struct gemm_shape product_with_a(const struct method *method, int64_t count, int64_t k,
                                        int64_t N)
{
    return (struct gemm_shape){.m = N,
                               .n = count * method->spec.r,
                               .k = k,
                               .transpose_b = true,
                               .operands = method->dtype,
                               .result = method->dtype};
}

static struct gemm_shape product_for_a(const struct method *method, int64_t count, int64_t k,
                                       int64_t N)
{
    return (struct gemm_shape){.m = count * method->spec.r,
                               .n = k,
                               .k = N,
                               .transpose_a = true,
                               .accumulate = true,
                               .operands = method->dtype};
}

static void lora_group_grad(struct method *method, int64_t layer, enum linear_group group,
                            const void *dy, const void *x, int64_t N)
{
    const struct lora *lora = (const struct lora *)method;
    struct backend *backend = method->backend;
    enum linear targets[LINEAR_COUNT];
    const int64_t count = method_group_targets(method, group, targets);
    const int64_t stride = linear_group_rows(method->config, group);
    const int64_t k = linear_group_columns(method->config, group);
    const int64_t r = method->spec.r;
    const struct param *a = method_tensor(method, layer, targets[0], SLOT_A); /* all of them */
    const struct gemm_shape xa_shape = product_with_a(method, count, k, N);
    const struct gemm_shape da_shape = product_for_a(method, count, k, N);

    backend->op->gemm(backend, lora->xa, x, scale_operand(lora, a->value, NULL, count * r, k),
                      &xa_shape);
    for (int64_t i = 0; i < count; i++) {
        const enum linear linear = targets[i];
        const struct param *b = method_tensor(method, layer, linear, SLOT_B);
        const float *c =
            has_magnitude(lora) ? lora->factors + method_rows_before(method, layer, linear) : NULL;
        const void *dy_i = dtype_at(dy, method_row_offset(method, linear), method->dtype);

        add_b_grad(lora, b, dy_i, stride, dtype_at(lora->xa, i * r, method->dtype), count * r, c,
                   N);
        if (a->grad != NULL) {
            multiply_by_b(lora, dtype_at_mut(lora->v, i * r, method->dtype), count * r, b, dy_i,
                          stride, c, N);
        }
        if (c != NULL) {
            add_magnitude_grad(lora, layer, linear, dy_i, stride, x, N);
        }
    }
    if (a->grad != NULL) {
        backend->op->gemm(backend, a->grad, lora->v, x, &da_shape);
    }
}

/* X A^T and dA of the group, dY B and dB of each of its targets. (dora's dm takes none: it is a sum
 * over what the forward pass has computed, though we compute that again.) */
static void lora_products(const struct method *method, int64_t N, struct cost *cost)
{
    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        enum linear targets[LINEAR_COUNT];
        const int64_t count = method_group_targets(method, group, targets);
        const int64_t k = linear_group_columns(method->config, group);
        struct cost_product product = {.name = "adapters X A'",
                                       .batch = 1,
                                       .count = (double)method->config->num_hidden_layers,
                                       .needed = 1.0};
        if (count == 0) {
            continue;
        }
        product.shape = product_with_a(method, count, k, N);
        cost_add(cost, &product);
        if (!method->spec.freeze_a) {
            product.name = "adapters dA";
            product.shape = product_for_a(method, count, k, N);
            cost_add(cost, &product);
        }
        for (int64_t i = 0; i < count; i++) {
            const int64_t d = linear_rows(method->config, targets[i]);
            product.name = "adapters dB";
            product.shape = (struct gemm_shape){.m = d,
                                                .n = method->spec.r,
                                                .k = N,
                                                .transpose_a = true,
                                                .accumulate = true,
                                                .operands = method->dtype};
            cost_add(cost, &product);
            product.name = "adapters dY B";
            product.shape = (struct gemm_shape){.m = N,
                                                .n = method->spec.r,
                                                .k = d,
                                                .operands = method->dtype,
                                                .result = method->dtype};
            if (!method->spec.freeze_a) {
                cost_add(cost, &product);
            }
        }
    }
}

/* ---- The papers' form ---- */

/* y = W0 x becomes y + s B (A x), and for dora (m / ‖W0 + s B A‖) times that. */
static enum status lora_side_ref(struct method *method, double *y, const double *x, int64_t layer,
                                 enum linear linear, int64_t T, struct error *err)
{
    const struct param *w0 = param_table_linear(method->table, layer, linear);
    const float *a = method_tensor(method, layer, linear, SLOT_A)->value;
    const float *b = method_tensor(method, layer, linear, SLOT_B)->value;
    const double s = method->spec.alpha / (double)method->spec.r;
    const int64_t d = w0->shape[0];
    const int64_t k = w0->shape[1];
    const int64_t r = method->spec.r;

    double *ax = sys_calloc((size_t)(T * r + k), sizeof *ax);
    if (ax == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the reference model");
    }
    double *v = ax + T * r; /* a row of W0 + s B A */
    for (int64_t i = 0; i < T * r; i++) {
        for (int64_t j = 0; j < k; j++) {
            ax[i] += x[i / r * k + j] * (double)a[i % r * k + j];
        }
    }
    for (int64_t o = 0; o < d; o++) {
        double c = 1.0;
        if (has_magnitude((const struct lora *)method)) {
            for (int64_t j = 0; j < k; j++) {
                v[j] = (double)w0->value[o * k + j];
                for (int64_t i = 0; i < r; i++) {
                    v[j] += s * (double)b[o * r + i] * (double)a[i * k + j];
                }
            }
            row_norms_ref(&c, v, 1, k);
            c = (double)method_tensor(method, layer, linear, SLOT_MAGNITUDE)->value[o] / c;
        }
        for (int64_t t = 0; t < T; t++) {
            double bax = 0.0;
            for (int64_t i = 0; i < r; i++) {
                bax += (double)b[o * r + i] * ax[t * r + i];
            }
            y[t * d + o] = c * (y[t * d + o] + s * bax);
        }
    }
    free(ax);
    return STATUS_OK;
}

static const char *lora_group_kind(const struct method *method, int64_t adapter_cycle)
{
    (void)method;
    (void)adapter_cycle;
    return "lora";
}

const struct method_type method_lora = {
    .create = lora_create,
    .destroy = lora_destroy,
    .add_tensors = lora_add_tensors,
    .layout = lora_layout,
    .restart = lora_restart,
    .group_grad = lora_group_grad,
    .products = lora_products,
    .write_weight = lora_write_weight,
    .side_ref = lora_side_ref,
    .rewrites_base = lora_rewrites_base,
    .group_kind = lora_group_kind,
};
