/* Full training: the linears are parameters like any other. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"
#include "worker/method/method_internal.h"

static enum status full_create(struct method **out, const struct method_options *options,
                               struct param_table *table, const struct model_config *config,
                               struct error *err)
{
    (void)options;
    (void)table;
    (void)config;
    struct method *method = sys_calloc(1, sizeof *method);
    if (method == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the method");
    }
    (void)snprintf(method->description, sizeof method->description, "full: every weight trains");
    *out = method;
    return STATUS_OK;
}

static void full_destroy(struct method *method)
{
    free(method);
}

/* dW[d,k] += dY^T X. A group's linears are packed, and so are their gradients: one product. */
static void full_group_grad(void *context, int64_t layer, enum linear_group group, const void *dy,
                            const void *x, int64_t N)
{
    const struct method *method = context;
    struct backend *backend = method->backend;
    const struct gemm_shape shape = {.m = linear_group_rows(method->config, group),
                                     .n = linear_group_columns(method->config, group),
                                     .k = N,
                                     .transpose_a = true,
                                     .accumulate = true,
                                     .operands = method->dtype};

    float *dw = param_table_linear(method->table, layer, linear_group_first(group))->grad;
    backend->op->gemm(backend, dw, dy, x, &shape);
}

static void full_products(const struct method *method, int64_t N, struct cost *cost)
{
    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        const struct cost_product product = {
            .name = "linears dW",
            .shape = {.m = linear_group_rows(method->config, group),
                      .n = linear_group_columns(method->config, group),
                      .k = N,
                      .transpose_a = true,
                      .accumulate = true,
                      .operands = method->dtype},
            .batch = 1,
            .count = (double)method->config->num_hidden_layers,
            .needed = 1.0,
        };
        cost_add(cost, &product);
    }
}

static void full_write_weight(const struct method *method, int64_t layer, enum linear linear,
                              float *out)
{
    const struct param *w = param_table_linear(method->table, layer, linear);

    if (out != w->value) {
        memcpy(out, w->value, (size_t)w->elements * sizeof(float));
    }
}

const struct method_type method_full = {
    .name = METHOD_NAME_FULL,
    .trains_linears = true,
    .create = full_create,
    .destroy = full_destroy,
    .group_grad = full_group_grad,
    .products = full_products,
    .write_weight = full_write_weight,
};
