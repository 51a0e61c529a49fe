#include "worker/model/param_table.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "worker/model/param_shard.h"

#define FLOATS_ALIGNMENT ((int64_t)(MEMORY_ALIGNMENT / sizeof(float)))

const char *linear_name(enum linear linear)
{
    static const char *const names[] = {
#define X(constant, name, group) [LINEAR_##constant] = name,
        LINEAR_LIST(X)
#undef X
    };
    assert(linear < LINEAR_COUNT);
    return names[linear];
}

enum linear_group linear_group_of(enum linear linear)
{
    static const enum linear_group groups[] = {
#define X(constant, name, group) [LINEAR_##constant] = LINEAR_GROUP_##group,
        LINEAR_LIST(X)
#undef X
    };
    assert(linear < LINEAR_COUNT);
    return groups[linear];
}

enum linear linear_group_first(enum linear_group group)
{
    enum linear linear = LINEAR_Q;
    while (linear_group_of(linear) != group) {
        linear++;
    }
    return linear;
}

enum linear linear_group_last(enum linear_group group)
{
    enum linear linear = LINEAR_DOWN;
    while (linear_group_of(linear) != group) {
        linear--;
    }
    return linear;
}

int64_t linear_rows(const struct model_config *config, enum linear linear)
{
    switch (linear) {
    case LINEAR_Q:
        return config->num_attention_heads * config->head_dim;
    case LINEAR_K:
    case LINEAR_V:
        return config->num_key_value_heads * config->head_dim;
    case LINEAR_GATE:
    case LINEAR_UP:
        return config->intermediate_size;
    case LINEAR_O:
    case LINEAR_DOWN:
        return config->hidden_size;
    case LINEAR_COUNT:
        break;
    }
    assert(false && "not a linear");
    return 0;
}

int64_t linear_columns(const struct model_config *config, enum linear linear)
{
    switch (linear) {
    case LINEAR_O:
        return config->num_attention_heads * config->head_dim;
    case LINEAR_DOWN:
        return config->intermediate_size;
    case LINEAR_Q:
    case LINEAR_K:
    case LINEAR_V:
    case LINEAR_GATE:
    case LINEAR_UP:
        return config->hidden_size;
    case LINEAR_COUNT:
        break;
    }
    assert(false && "not a linear");
    return 0;
}

int64_t linear_group_rows(const struct model_config *config, enum linear_group group)
{
    int64_t rows = 0;
    for (enum linear linear = linear_group_first(group); linear <= linear_group_last(group);
         linear++) {
        rows += linear_rows(config, linear);
    }
    return rows;
}

int64_t linear_group_columns(const struct model_config *config, enum linear_group group)
{
    return linear_columns(config, linear_group_first(group));
}

/* Appends what *param says and gives it its elements; offsets come with the layout. */
static enum status append(struct param_table *table, const struct param *param, struct error *err)
{
    if (table->count == table->capacity) {
        const int64_t capacity = table->capacity == 0 ? 64 : 2 * table->capacity;
        struct param *params =
            sys_realloc(table->params, (size_t)capacity * sizeof table->params[0]);
        if (params == NULL) {
            return error_set(err, STATUS_NO_MEMORY, "no memory for the list of tensors");
        }
        table->params = params;
        table->capacity = capacity;
    }
    struct param *added = &table->params[table->count++];
    *added = *param;
    added->elements = added->shape[0] * added->shape[1];
    added->grad_offset = -1;
    added->lr_ratio = added->lr_ratio == 0.0 ? 1.0 : added->lr_ratio;
    added->trainable = added->trains[table->phase];
    if (added->trainable) {
        table->trainable_elements += added->elements;
    }
    return STATUS_OK;
}

static enum status add_matrix(struct param_table *table, const char *name, enum param_role role,
                              bool is_trained, int64_t rows, int64_t columns, struct error *err)
{
    struct param param = {.role = role,
                          .trains = {is_trained, is_trained},
                          .dimensions = 2,
                          .shape = {rows, columns},
                          .layer = -1,
                          .linear = -1};
    (void)snprintf(param.name, sizeof param.name, "%s", name);
    return append(table, &param, err);
}

static enum status add_norm(struct param_table *table, int64_t layer, const char *name,
                            bool is_trained, int64_t C, struct error *err)
{
    struct param param = {.role = PARAM_ROLE_NORM,
                          .trains = {is_trained, is_trained},
                          .dimensions = 1,
                          .shape = {C, 1},
                          .layer = layer,
                          .linear = -1};
    if (layer < 0) {
        (void)snprintf(param.name, sizeof param.name, "model.%s.weight", name);
    } else {
        (void)snprintf(param.name, sizeof param.name, "model.layers.%lld.%s.weight",
                       (long long)layer, name);
    }
    return append(table, &param, err);
}

static enum status add_linears(struct param_table *table, const struct model_config *config,
                               int64_t layer, enum linear first, enum linear last,
                               const struct param_training *training, struct error *err)
{
    for (enum linear linear = first; linear <= last; linear++) {
        struct param param = {
            .role = PARAM_ROLE_LINEAR,
            .trains = {[PARAM_PHASE_FULL_RANK] = training->full_rank,
                       [PARAM_PHASE_MAIN] = training->linears},
            .is_effective = training->linears,
            .dimensions = 2,
            .shape = {linear_rows(config, linear), linear_columns(config, linear)},
            .layer = layer,
            .linear = (int64_t)linear,
            .packed = linear > first && linear_group_of(linear) == linear_group_of(linear - 1),
        };
        (void)snprintf(param.name, sizeof param.name, "model.layers.%lld.%s.weight",
                       (long long)layer, linear_name(linear));
        enum status status = append(table, &param, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status add_layer(struct param_table *table, const struct model_config *config,
                             int64_t layer, const struct param_training *training,
                             struct error *err)
{
    const int64_t C = config->hidden_size;

    enum status status = add_norm(table, layer, "input_layernorm", training->norms, C, err);
    if (!status) {
        status = add_linears(table, config, layer, LINEAR_Q, LINEAR_O, training, err);
    }
    if (!status) {
        status = add_norm(table, layer, "post_attention_layernorm", training->norms, C, err);
    }
    if (!status) {
        status = add_linears(table, config, layer, LINEAR_GATE, LINEAR_DOWN, training, err);
    }
    return status;
}

enum status param_table_init(struct param_table *table, const struct model_config *config,
                             const struct param_training *training, struct error *err)
{
    const int64_t C = config->hidden_size;
    const int64_t V = config->vocab_size;

    *table = (struct param_table){
        .phase = training->full_rank ? PARAM_PHASE_FULL_RANK : PARAM_PHASE_MAIN, .shard_world = 1};
    enum status status = add_matrix(
        table, "model.embed_tokens.weight", PARAM_ROLE_EMBEDDING,
        training->embeddings || (config->tie_word_embeddings && training->head), V, C, err);
    for (int64_t layer = 0; !status && layer < config->num_hidden_layers; layer++) {
        status = add_layer(table, config, layer, training, err);
    }
    if (!status) {
        status = add_norm(table, -1, "norm", training->norms, C, err);
    }
    if (!status && !config->tie_word_embeddings) {
        status = add_matrix(table, "lm_head.weight", PARAM_ROLE_HEAD, training->head, V, C, err);
    }
    if (status) {
        param_table_deinit(table);
        return status;
    }
    table->model_count = table->count;
    table->elements = model_config_parameters(config);
    return STATUS_OK;
}

enum status param_table_add(struct param_table *table, const struct param_addition *addition,
                            struct error *err)
{
    struct param param = {.role = addition->role,
                          .trains = {[PARAM_PHASE_MAIN] = addition->is_trained},
                          .dimensions = addition->columns == 0 ? 1 : 2,
                          .shape = {addition->rows, addition->columns == 0 ? 1 : addition->columns},
                          .layer = addition->layer,
                          .linear = (int64_t)addition->linear,
                          .packed = addition->packed,
                          .lr_ratio = addition->lr_ratio};

    assert(addition->role >= PARAM_ROLE_ADAPTER);
    (void)snprintf(param.name, sizeof param.name, "model.layers.%lld.%s.weight.%s",
                   (long long)addition->layer, linear_name(addition->linear), addition->suffix);
    return append(table, &param, err);
}

void param_table_set_phase(struct param_table *table, enum param_phase phase)
{
    table->phase = phase;
    table->trainable_elements = 0;
    for (int64_t i = 0; i < table->count; i++) {
        struct param *param = &table->params[i];
        param->trainable = param->trains[phase];
        table->trainable_elements += param->trainable ? param->elements : 0;
    }
}

int64_t param_table_grad_floats(const struct param_table *table)
{
    return table->phase == PARAM_PHASE_MAIN ? table->main_grad_floats : table->grad_floats;
}

static int64_t align_floats(int64_t floats)
{
    return (floats + FLOATS_ALIGNMENT - 1) / FLOATS_ALIGNMENT * FLOATS_ALIGNMENT;
}

/* Where a tensor starts in a buffer of which `used` floats are taken. */
static int64_t place(int64_t *used, const struct param *param)
{
    const int64_t offset = param->packed ? *used : align_floats(*used);
    *used = offset + param->elements;
    return offset;
}

/* Gives places to the gradients of one phase's tensors that have none yet. */
static void place_grads(struct param_table *table, int64_t *used, enum param_phase phase)
{
    for (int64_t i = 0; i < table->count; i++) {
        struct param *param = &table->params[i];
        if (param->trains[phase] && param->grad_offset < 0) {
            param->grad_offset = place(used, param);
        }
    }
    *used = align_floats(*used);
}

/* Which moments this rank has; returns how many floats they take. */
static int64_t place_moments(struct param_table *table)
{
    int64_t moments = 0;

    for (int64_t i = 0; i < table->count; i++) {
        struct param *param = &table->params[i];
        if (param->grad_offset >= 0) {
            param_shard_slice(table, i, table->shard_rank, &param->moment_first,
                              &param->moment_count);
            moments += align_floats(param->moment_count);
        }
    }
    return moments;
}

void param_table_layout(struct param_table *table, struct memory_plan *plan, bool with_gradients)
{
    int64_t values = 0;
    int64_t grads = 0;

    for (int64_t i = 0; i < table->count; i++) {
        (void)place(&values, &table->params[i]);
        table->params[i].grad_offset = -1;
    }
    place_grads(table, &grads, PARAM_PHASE_MAIN);
    table->main_grad_floats = grads;
    place_grads(table, &grads, PARAM_PHASE_FULL_RANK);
    table->value_floats = align_floats(values);
    table->grad_floats = grads;
    table->moment_floats = place_moments(table);
    table->values = memory_plan_floats(plan, MEMORY_KIND_PARAMETERS, table->value_floats);
    table->exp_avg = memory_plan_floats(plan, MEMORY_KIND_OPTIMIZER, table->moment_floats);
    table->exp_avg_sq = memory_plan_floats(plan, MEMORY_KIND_OPTIMIZER, table->moment_floats);
    table->grads =
        with_gradients ? memory_plan_floats(plan, MEMORY_KIND_GRADIENTS, table->grad_floats) : NULL;
    if (table->values == NULL) {
        return; /* the planning pass */
    }
    values = 0;
    int64_t moments = 0;
    for (int64_t i = 0; i < table->count; i++) {
        struct param *param = &table->params[i];
        param->value = table->values + place(&values, param);
        if (param->grad_offset >= 0) {
            const bool has_moments = param->moment_count > 0;
            param->exp_avg = has_moments ? table->exp_avg + moments : NULL;
            param->exp_avg_sq = has_moments ? table->exp_avg_sq + moments : NULL;
            moments += align_floats(param->moment_count);
            param->grad = with_gradients ? table->grads + param->grad_offset : NULL;
        }
    }
}

void param_table_initialise(struct param_table *table, const struct model_config *config,
                            struct backend *backend, uint64_t seed)
{
    for (int64_t i = 0; i < table->count; i++) {
        struct param *param = &table->params[i];
        switch (param->role) {
        case PARAM_ROLE_NORM:
            for (int64_t e = 0; e < param->elements; e++) {
                param->value[e] = 1.0F;
            }
            break;
        case PARAM_ROLE_EMBEDDING:
        case PARAM_ROLE_LINEAR:
        case PARAM_ROLE_HEAD:
            backend->op->fill_normal(backend, param->value, param->elements,
                                     (float)config->initializer_range, seed,
                                     rng_stream(RNG_PURPOSE_INIT, (uint32_t)i, 0));
            break;
        case PARAM_ROLE_ADAPTER:
        case PARAM_ROLE_MAGNITUDE:
        case PARAM_ROLE_SUM:
        case PARAM_ROLE_SKETCH:
            memset(param->value, 0, (size_t)param->elements * sizeof(float));
            break;
        }
    }
}

/* Index of a layer's first tensor. The order is: embedding; per layer a norm, four linears, a norm,
 * three linears; norm, head. */
static int64_t layer_start(int64_t layer)
{
    return 1 + layer * (LINEAR_COUNT + 2);
}

struct param *param_table_linear(const struct param_table *table, int64_t layer, enum linear linear)
{
    const int64_t index = layer_start(layer) + (int64_t)linear + (linear > LINEAR_O ? 2 : 1);

    assert(index < table->model_count);
    struct param *param = &table->params[index];
    assert(param->role == PARAM_ROLE_LINEAR);
    assert(param->layer == layer && param->linear == (int64_t)linear);
    return param;
}

struct param *param_table_norm(const struct param_table *table, int64_t layer, bool after_attention)
{
    const int64_t index = layer_start(layer) + (after_attention ? 2 + (int64_t)LINEAR_O : 0);

    assert(index < table->model_count);
    struct param *param = &table->params[index];
    assert(param->role == PARAM_ROLE_NORM);
    return param;
}

struct param *param_table_final_norm(const struct param_table *table)
{
    const struct param *last = &table->params[table->model_count - 1];
    struct param *norm =
        &table->params[table->model_count - (last->role == PARAM_ROLE_HEAD ? 2 : 1)];

    assert(norm->role == PARAM_ROLE_NORM);
    return norm;
}

struct param *param_table_head(const struct param_table *table)
{
    struct param *last = &table->params[table->model_count - 1];

    assert(table->params[0].role == PARAM_ROLE_EMBEDDING);
    return last->role == PARAM_ROLE_HEAD ? last : &table->params[0];
}

struct param *param_table_find(const struct param_table *table, const char *name)
{
    for (int64_t i = 0; i < table->count; i++) {
        if (strcmp(table->params[i].name, name) == 0) {
            return &table->params[i];
        }
    }
    return NULL;
}

void param_table_deinit(struct param_table *table)
{
    free(table->params);
    *table = (struct param_table){0};
}
