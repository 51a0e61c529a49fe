#include "worker/method/method.h"

#include <assert.h>
#include <stddef.h>

#include "proto/base/rng.h"
#include "worker/method/method_internal.h"

static const struct method_type *type_of(enum method_name name)
{
    switch (name) {
    case METHOD_NAME_FULL:
        return &method_full;
    case METHOD_NAME_FROZEN:
        return &method_frozen;
    case METHOD_NAME_MORA:
        return &method_mora;
    case METHOD_NAME_REMORA:
        return &method_remora;
    }
    assert(false && "not a method");
    return NULL;
}

bool method_trains_linears(enum method_name name)
{
    return type_of(name)->trains_linears;
}

enum status method_create(struct method **out, const struct method_options *options,
                          struct param_table *table, const struct model_config *config,
                          struct backend *backend, struct error *err)
{
    const struct method_type *type = type_of(options->name);

    enum status status = type->create(out, options, table, config, err);
    if (!status) {
        (*out)->type = type;
        (*out)->config = config;
        (*out)->table = table;
        (*out)->backend = backend;
        (*out)->dtype = options->dtype;
    }
    return status;
}

void method_destroy(struct method *method)
{
    if (method != NULL) {
        method->type->destroy(method);
    }
}

void method_layout(struct method *method, struct memory_plan *plan, int64_t N)
{
    if (method->type->layout != NULL) {
        method->type->layout(method, plan, N);
    }
}

void method_attach(struct method *method, struct model *model)
{
    method->model = model;
    model_set_group_grad(model, method->type->group_grad, method);
}

const char *method_describe(const struct method *method)
{
    return method->description;
}

/* The draws of one tensor at one step. */
static struct bf16_rounding rounding_of(const struct method *method, const struct param *param,
                                        const struct method_rounding *rounding)
{
    const uint64_t step = (uint64_t)rounding->step;
    const uint32_t index = (uint32_t)(param - method->table->params);

    /* A stream has room for 28 bits of the step; the others go with the seed. */
    return (struct bf16_rounding){
        .is_stochastic = rounding->is_stochastic,
        .seed = rounding->seed ^ (step >> 28 << 32),
        .stream = rng_stream(RNG_PURPOSE_ROUNDING, index, (uint32_t)(step & 0xFFFFFFF)),
    };
}

static void write_weight(struct method *method, int64_t layer, enum linear linear,
                         const struct method_rounding *rounding)
{
    const struct param *param = param_table_linear(method->table, layer, linear);
    const struct bf16_rounding draws = rounding_of(method, param, rounding);

    if (method->type->trains_linears) {
        model_take_weight(method->model, layer, linear, param->value, &draws);
        return;
    }
    float *weight = model_weight_buffer(method->model, layer, linear);
    method->type->write_weight(method, layer, linear, weight);
    model_take_weight(method->model, layer, linear, weight, &draws);
}

void method_write_weights(struct method *method, const struct method_rounding *rounding)
{
    const struct param *head = param_table_head(method->table);

    assert(method->model != NULL);
    for (int64_t layer = 0; layer < method->config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
            write_weight(method, layer, linear, rounding);
        }
    }
    const struct bf16_rounding draws = rounding_of(method, head, rounding);
    model_take_head(method->model, &draws);
}

void method_merged_weight(const struct method *method, int64_t layer, enum linear linear,
                          float *out)
{
    method->type->write_weight(method, layer, linear, out);
}

struct model_ref method_reference(struct method *method)
{
    return (struct model_ref){.config = method->config,
                              .table = method->table,
                              .side = method->type->side_ref,
                              .side_context = method};
}

bool method_merge_due(const struct method *method, int64_t u, int64_t N)
{
    return method->type->merge_due != NULL && method->type->merge_due(method, u, N);
}

enum status method_merge(struct method *method, struct adamw *adamw, struct merge_report *report,
                         struct error *err)
{
    assert(method->type->merge != NULL);
    assert(method->model != NULL);
    return method->type->merge(method, adamw, report, err);
}

json_t *method_state(const struct method *method)
{
    return method->type->state == NULL ? json_object() : method->type->state(method);
}

enum status method_set_state(struct method *method, const json_t *state, struct error *err)
{
    if (!json_is_object(state)) {
        return error_set(err, STATUS_CORRUPT, "the method's state is not a JSON object");
    }
    return method->type->set_state == NULL ? STATUS_OK
                                           : method->type->set_state(method, state, err);
}
