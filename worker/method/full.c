/* Full training: the linears are parameters like any other. And its opposite: none of them trains.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/sys.h"
#include "worker/method/method_internal.h"

static enum status plain_create(struct method **out, const struct method_spec *spec,
                                const struct model_config *config, struct error *err)
{
    (void)config;
    struct method *method = sys_calloc(1, sizeof *method);
    if (method == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the method");
    }
    (void)snprintf(
        method->description, sizeof method->description, "%s: %s", method_name_text(spec->name),
        spec->name == METHOD_NAME_FULL ? "every linear layer trains" : "no linear layer trains");
    *out = method;
    return STATUS_OK;
}

static void plain_destroy(struct method *method)
{
    free(method);
}

/* A group's linears are packed, and so are their gradients: one product. */
void method_full_grad(struct method *method, int64_t layer, enum linear_group group, const void *dy,
                      const void *x, int64_t N)
{
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

const struct method_type method_full = {
    .create = plain_create, .destroy = plain_destroy, .products = full_products};
const struct method_type method_frozen = {.create = plain_create, .destroy = plain_destroy};
