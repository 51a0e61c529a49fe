#include "worker/method/method.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "worker/method/method_internal.h"
#include "worker/method/rank.h"

static_assert(LINEAR_COUNT == METHOD_TARGET_COUNT, "targets are the linears, in their order");

static const struct method_type *type_of(enum method_name name)
{
    switch (name) {
    case METHOD_NAME_FULL:
        return &method_full;
    case METHOD_NAME_LORA:
    case METHOD_NAME_LORA_PLUS:
    case METHOD_NAME_ASYLORA:
    case METHOD_NAME_DORA:
    case METHOD_NAME_RELORA:
        return &method_lora;
    case METHOD_NAME_MORA:
    case METHOD_NAME_REMORA:
        return &method_mora;
    case METHOD_NAME_FROZEN:
        return &method_frozen;
    case METHOD_NAME_COUNT:
        break;
    }
    assert(false && "not a method");
    return NULL;
}

struct param_training method_training(const struct method_spec *spec)
{
    return (struct param_training){
        .linears = spec->name == METHOD_NAME_FULL,
        .full_rank = spec->full_rank_steps > 0,
        .embeddings = spec->train.embeddings,
        .norms = spec->train.norms,
        .head = spec->train.head,
    };
}

/* ---- Who is who ---- */

uint32_t method_cycle_number(const struct method *method)
{
    return (uint32_t)(method->cycle & ((1 << 27) - 1));
}

bool method_is_full_rank(const struct method *method)
{
    return method->spec.full_rank_steps > 0 && method->cycle == 0;
}

int64_t method_adapter_cycle(const struct method *method)
{
    assert(!method_is_full_rank(method));
    return method->cycle - (method->spec.full_rank_steps > 0 ? 1 : 0);
}

const char *method_kind(const struct method *method)
{
    return method_is_full_rank(method)
               ? "full"
               : method->type->group_kind(method, method_adapter_cycle(method));
}

bool method_is_target(const struct method *method, enum linear linear)
{
    return method->type->add_tensors != NULL && (method->spec.targets & 1U << linear) != 0;
}

int64_t method_group_targets(const struct method *method, enum linear_group group,
                             enum linear out[LINEAR_COUNT])
{
    int64_t count = 0;

    for (enum linear linear = linear_group_first(group); linear <= linear_group_last(group);
         linear++) {
        if (method_is_target(method, linear)) {
            out[count++] = linear;
        }
    }
    return count;
}

int64_t method_row_offset(const struct method *method, enum linear linear)
{
    int64_t rows = 0;

    for (enum linear before = linear_group_first(linear_group_of(linear)); before < linear;
         before++) {
        rows += linear_rows(method->config, before);
    }
    return rows;
}

typedef int64_t extent_fn(const struct model_config *config, enum linear linear);

static int64_t extents_before(const struct method *method, extent_fn *extent, int64_t layer,
                              enum linear linear)
{
    int64_t of_layer = 0;
    int64_t before = 0;

    for (enum linear other = 0; other < LINEAR_COUNT; other++) {
        of_layer += extent(method->config, other);
        before += other < linear ? extent(method->config, other) : 0;
    }
    return layer * of_layer + before;
}

int64_t method_rows_before(const struct method *method, int64_t layer, enum linear linear)
{
    return extents_before(method, linear_rows, layer, linear);
}

int64_t method_columns_before(const struct method *method, int64_t layer, enum linear linear)
{
    return extents_before(method, linear_columns, layer, linear);
}

struct method_extents method_largest_target(const struct method *method)
{
    struct method_extents most = {0};

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        if (method_is_target(method, linear)) {
            const int64_t d = linear_rows(method->config, linear);
            const int64_t k = linear_columns(method->config, linear);
            most.d = d > most.d ? d : most.d;
            most.k = k > most.k ? k : most.k;
            most.elements = d * k > most.elements ? d * k : most.elements;
        }
    }
    return most;
}

/* ---- Tensors ---- */

static int64_t *tensor_index(const struct method *method, int64_t layer, enum linear linear,
                             int slot)
{
    assert(slot >= 0 && slot < METHOD_SLOTS);
    return &method->tensors[(layer * LINEAR_COUNT + (int64_t)linear) * METHOD_SLOTS + slot];
}

enum status method_add_tensor(struct method *method, int slot,
                              const struct param_addition *addition, struct error *err)
{
    *tensor_index(method, addition->layer, addition->linear, slot) = method->table->count;
    return param_table_add(method->table, addition, err);
}

uint32_t method_tensor_index(const struct method *method, int64_t layer, enum linear linear,
                             int slot)
{
    const int64_t index = *tensor_index(method, layer, linear, slot);

    assert(index >= method->table->model_count && index < method->table->count);
    return (uint32_t)index;
}

struct param *method_tensor(const struct method *method, int64_t layer, enum linear linear,
                            int slot)
{
    struct param *param = &method->table->params[method_tensor_index(method, layer, linear, slot)];

    assert(param->layer == layer && param->linear == (int64_t)linear);
    return param;
}

/* Linears of a group without targets are multiplied by as they are. */
static void mark_effective(struct method *method, int64_t layer, enum linear_group group)
{
    enum linear targets[LINEAR_COUNT];

    if (method->spec.full_rank_steps > 0 || method_group_targets(method, group, targets) > 0) {
        return;
    }
    for (enum linear linear = linear_group_first(group); linear <= linear_group_last(group);
         linear++) {
        param_table_linear(method->table, layer, linear)->is_effective = true;
    }
}

int64_t method_probed_layer(const struct method *method)
{
    return method->config->num_hidden_layers / 2;
}

/* Where merges rewrite W0, what they added is kept as a sketch. */
static enum status add_sketches(struct method *method, struct error *err)
{
    enum status status = STATUS_OK;

    if (!method_has_cycles(method->spec.name) || !method->type->rewrites_base(method)) {
        return STATUS_OK;
    }
    for (enum linear linear = 0; !status && linear < LINEAR_COUNT; linear++) {
        const int64_t d = linear_rows(method->config, linear);
        const int64_t k = linear_columns(method->config, linear);
        const struct param_addition sketch = {.layer = method_probed_layer(method),
                                              .linear = linear,
                                              .role = PARAM_ROLE_SKETCH,
                                              .suffix = "sketch",
                                              .rows = d,
                                              .columns = rank_sketch_columns(d, k)};
        if (method_is_target(method, linear)) {
            status = method_add_tensor(method, METHOD_SLOT_SKETCH, &sketch, err);
        }
    }
    return status;
}

static enum status add_tensors(struct method *method, struct error *err)
{
    enum status status = STATUS_OK;

    for (int64_t layer = 0; layer < method->config->num_hidden_layers; layer++) {
        for (enum linear_group group = 0; !status && group < LINEAR_GROUP_COUNT; group++) {
            mark_effective(method, layer, group);
            if (method->type->add_tensors != NULL) {
                status = method->type->add_tensors(method, layer, group, err);
            }
        }
    }
    return status ? status : add_sketches(method, err);
}

/* ---- Life ---- */

static enum status refuse(struct error *err, const char *field, int64_t value)
{
    (void)error_set(err, STATUS_INVALID, "%s: %lld is below 1", field, (long long)value);
    error_set_field(err, "%s", field);
    return STATUS_INVALID;
}

enum status method_create(struct method **out, const struct method_spec *spec, uint64_t seed,
                          enum dtype dtype, struct param_table *table,
                          const struct model_config *config, struct backend *backend,
                          struct error *err)
{
    const struct method_type *type = type_of(spec->name);
    struct method *method = NULL;

    if (type->add_tensors != NULL && spec->r < 1) {
        return refuse(err, "method.r", spec->r);
    }
    if (method_has_cycles(spec->name) && spec->merge_every < 1) {
        return refuse(err, "method.merge_every", spec->merge_every);
    }
    enum status status = type->create(&method, spec, config, err);
    if (status) {
        return status;
    }
    method->type = type;
    method->spec = *spec;
    method->seed = seed;
    method->dtype = dtype;
    method->config = config;
    method->table = table;
    method->backend = backend;
    method->tensors = sys_calloc((size_t)(config->num_hidden_layers * LINEAR_COUNT * METHOD_SLOTS),
                                 sizeof *method->tensors);
    status = method->tensors == NULL
                 ? error_set(err, STATUS_NO_MEMORY, "no memory for the method's list of tensors")
                 : add_tensors(method, err);
    if (status) {
        method_destroy(method);
        return status;
    }
    *out = method;
    return STATUS_OK;
}

void method_destroy(struct method *method)
{
    if (method != NULL) {
        free(method->tensors);
        method->type->destroy(method);
    }
}

static bool merges(const struct method *method)
{
    return method->spec.merge_every > 0 || method->spec.full_rank_steps > 0;
}

void method_layout(struct method *method, struct memory_plan *plan, int64_t N)
{
    const struct method_extents most = method_largest_target(method);
    const bool is_checked = N > 0 && merges(method);
    const bool is_sketched = N > 0 && method_has_cycles(method->spec.name);
    const int64_t checked = is_checked ? most.elements : 0;
    const int64_t columns = is_sketched ? rank_sketch_columns(most.d, most.k) : 0;

    method->before = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, checked);
    method->after = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, checked);
    method->omega = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, most.k * columns);
    method->sketch = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, most.d * columns);
    if (method->type->layout != NULL) {
        method->type->layout(method, plan, N);
    }
}

/* Calls prepare, and restart if asked to, for every target. */
static enum status start_adapters(struct method *method, bool restarts, struct error *err)
{
    enum status status = STATUS_OK;

    for (int64_t layer = 0; layer < method->config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; !status && linear < LINEAR_COUNT; linear++) {
            if (!method_is_target(method, linear) || method_is_full_rank(method)) {
                continue;
            }
            if (method->type->prepare != NULL) {
                method->type->prepare(method, layer, linear);
            }
            if (restarts) {
                status = method->type->restart(method, layer, linear, err);
            }
        }
    }
    return status;
}

enum status method_initialise(struct method *method, struct error *err)
{
    return start_adapters(method, true, err);
}

/* ---- In training ---- */

static void group_grad(void *context, int64_t layer, enum linear_group group, const void *dy,
                       const void *x, int64_t N)
{
    struct method *method = context;
    enum linear targets[LINEAR_COUNT];

    if (method->type == &method_full || method_is_full_rank(method)) {
        method_full_grad(method, layer, group, dy, x, N);
    } else if (method_group_targets(method, group, targets) > 0) {
        method->type->group_grad(method, layer, group, dy, x, N);
    }
}

void method_plan_adapters(struct method *method, bool are_active)
{
    assert(method->spec.full_rank_steps > 0 && method->cycle == (are_active ? 0 : 1));
    method->cycle = are_active ? 1 : 0;
    param_table_set_phase(method->table, are_active ? PARAM_PHASE_MAIN : PARAM_PHASE_FULL_RANK);
}

void method_attach(struct method *method, struct model *model)
{
    method->model = model;
    model_set_group_grad(model, group_grad, method);
}

const char *method_describe(const struct method *method)
{
    return method->description;
}

/* Whether something is added to W0 now. */
static bool has_update(const struct method *method, enum linear linear)
{
    return method_is_target(method, linear) && !method_is_full_rank(method);
}

void method_write_linear(struct method *method, int64_t layer, enum linear linear, float *out)
{
    const struct param *w0 = param_table_linear(method->table, layer, linear);

    if (has_update(method, linear)) {
        method->type->write_weight(method, layer, linear, out, w0->value);
    } else if (out != w0->value) {
        method->backend->op->copy(method->backend, out, w0->value, w0->elements);
    }
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

/* What nothing is added to is rounded as it lies. */
static void write_weight(struct method *method, int64_t layer, enum linear linear,
                         const struct method_rounding *rounding)
{
    const struct param *w0 = param_table_linear(method->table, layer, linear);
    const struct bf16_rounding draws = rounding_of(method, w0, rounding);
    const bool is_copied = method->dtype == DTYPE_FP32 || has_update(method, linear);
    float *weight = is_copied ? model_weight_buffer(method->model, layer, linear) : w0->value;

    if (is_copied) {
        method_write_linear(method, layer, linear, weight);
    }
    model_take_weight(method->model, layer, linear, weight, &draws);
}

void method_write_weights(struct method *method, const struct method_rounding *rounding)
{
    const struct param *head = param_table_head(method->table);
    const struct bf16_rounding draws = rounding_of(method, head, rounding);

    assert(method->model != NULL);
    for (int64_t layer = 0; layer < method->config->num_hidden_layers; layer++) {
        for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
            if (method->dtype != DTYPE_FP32 ||
                !param_table_linear(method->table, layer, linear)->is_effective) {
                write_weight(method, layer, linear, rounding);
            }
        }
    }
    model_take_head(method->model, &draws);
}

void method_merged_weight(struct method *method, int64_t layer, enum linear linear, float *out)
{
    method_write_linear(method, layer, linear, out);
}

static enum status side_ref(void *context, double *y, const double *x, int64_t layer,
                            enum linear linear, int64_t T, struct error *err)
{
    struct method *method = context;

    if (!has_update(method, linear)) {
        return STATUS_OK;
    }
    return method->type->side_ref(method, y, x, layer, linear, T, err);
}

struct model_ref method_reference(struct method *method)
{
    return (struct model_ref){
        .config = method->config, .table = method->table, .side = side_ref, .side_context = method};
}

/* ---- State ---- */

json_t *method_state(const struct method *method)
{
    if (!merges(method)) {
        return json_object();
    }
    json_t *state = json_pack("{s:I, s:s}", "cycle", (json_int_t)method->cycle, "group_kind",
                              method_kind(method));
    if (state != NULL && method->spec.groups == METHOD_GROUPS_PERMUTED) {
        (void)json_object_set_new(state, "permutation_seed",
                                  json_integer((json_int_t)method->seed));
    }
    return state;
}

enum status method_set_state(struct method *method, const json_t *state, struct error *err)
{
    const int64_t cycle = json_get_int(state, "cycle", -1);
    const int64_t old_cycle = method->cycle;

    if (!json_is_object(state)) {
        return error_set(err, STATUS_CORRUPT, "the method's state is not a JSON object");
    }
    if (!merges(method)) {
        return STATUS_OK;
    }
    if (cycle < 0) {
        return error_set(err, STATUS_CORRUPT, "the method's state has no cycle");
    }
    method->cycle = cycle;
    if (strcmp(json_get_text(state, "group_kind", ""), method_kind(method)) != 0) {
        (void)error_set(err, STATUS_CORRUPT, "group kind '%s' is not that of cycle %lld, '%s'",
                        json_get_text(state, "group_kind", ""), (long long)cycle,
                        method_kind(method));
        method->cycle = old_cycle;
        return STATUS_CORRUPT;
    }
    param_table_set_phase(method->table,
                          method_is_full_rank(method) ? PARAM_PHASE_FULL_RANK : PARAM_PHASE_MAIN);
    return start_adapters(method, false, err);
}
