/* Nothing is added to the linears and they do not train: the measure that adapters are held to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"
#include "worker/method/method_internal.h"

static enum status frozen_create(struct method **out, const struct method_options *options,
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
    (void)snprintf(method->description, sizeof method->description, "frozen: no linear trains");
    *out = method;
    return STATUS_OK;
}

static void frozen_destroy(struct method *method)
{
    free(method);
}

static void frozen_group_grad(void *context, int64_t layer, enum linear_group group, const void *dy,
                              const void *x, int64_t N)
{
    (void)context;
    (void)layer;
    (void)group;
    (void)dy;
    (void)x;
    (void)N;
}

static void frozen_write_weight(const struct method *method, int64_t layer, enum linear linear,
                                float *out)
{
    const struct param *w = param_table_linear(method->table, layer, linear);

    memcpy(out, w->value, (size_t)w->elements * sizeof(float));
}

const struct method_type method_frozen = {
    .name = METHOD_NAME_FROZEN,
    .create = frozen_create,
    .destroy = frozen_destroy,
    .group_grad = frozen_group_grad,
    .write_weight = frozen_write_weight,
};
