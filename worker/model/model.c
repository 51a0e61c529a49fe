#include "worker/model/model.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/base/sys.h"
#include "worker/model/model_internal.h"

enum status model_create(struct model **out, const struct model_options *options, struct error *err)
{
    struct model *model = sys_calloc(1, sizeof *model);
    if (model == NULL) {
        goto fail;
    }
    model->layers = sys_calloc((size_t)options->config->num_hidden_layers, sizeof model->layers[0]);
    if (model->layers == NULL) {
        goto fail;
    }
    model->options = *options;
    *out = model;
    return STATUS_OK;
fail:
    model_destroy(model);
    return error_set(err, STATUS_NO_MEMORY, "no memory for the model");
}

void model_destroy(struct model *model)
{
    if (model != NULL) {
        free(model->layers);
        free(model);
    }
}

static void layout_activations(const struct model *model, struct model_layer *layer,
                               struct memory_plan *plan)
{
    const struct model_config *config = model->options.config;
    const enum memory_kind kind = MEMORY_KIND_ACTIVATIONS;
    const int64_t N = model->options.micro * model->options.sequence_length;
    const int64_t C = config->hidden_size;
    const int64_t F = config->intermediate_size;
    const int64_t H = config->num_attention_heads;

    layer->x = memory_plan_floats(plan, kind, N * C);
    layer->x_rstd = memory_plan_floats(plan, kind, N);
    layer->x_norm = memory_plan_floats(plan, kind, N * C);
    layer->qkv = memory_plan_floats(plan, kind, N * model_config_qkv_rows(config));
    layer->lse = memory_plan_floats(plan, kind, N * H);
    layer->context = memory_plan_floats(plan, kind, N * H * config->head_dim);
    layer->mid = memory_plan_floats(plan, kind, N * C);
    layer->mid_rstd = memory_plan_floats(plan, kind, N);
    layer->mid_norm = memory_plan_floats(plan, kind, N * C);
    layer->gate_up = memory_plan_floats(plan, kind, N * 2 * F);
    layer->activated = memory_plan_floats(plan, kind, N * F);
}

/* Where nothing is added to them, linears are their own effective weights; packed groups make them
 * one matrix. */
static void layout_weights(const struct model *model, int64_t index, struct memory_plan *plan)
{
    struct model_layer *layer = &model->layers[index];

    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        const struct param *first =
            param_table_linear(model->options.table, index, linear_group_first(group));
        layer->weight[group] =
            first->is_effective
                ? first->value
                : memory_plan_floats(plan, MEMORY_KIND_WEIGHTS,
                                     linear_group_rows(model->options.config, group) *
                                         linear_group_columns(model->options.config, group));
    }
    const struct param *input_norm = param_table_norm(model->options.table, index, false);
    const struct param *post_norm = param_table_norm(model->options.table, index, true);
    layer->input_norm = input_norm->value;
    layer->dinput_norm = input_norm->trains[PARAM_PHASE_MAIN] ? input_norm->grad : model->unused;
    layer->post_norm = post_norm->value;
    layer->dpost_norm = post_norm->trains[PARAM_PHASE_MAIN] ? post_norm->grad : model->unused;
}

static void bind_ends(struct model *model)
{
    const struct param_table *table = model->options.table;
    const struct param *embedding = &table->params[0];
    const struct param *norm = &table->params[table->model_count - 2];
    const struct param *head = &table->params[table->model_count - 1];

    assert(embedding->role == PARAM_ROLE_EMBEDDING);
    assert(norm->role == PARAM_ROLE_NORM);
    assert(head->role == PARAM_ROLE_HEAD);
    model->embedding = embedding->value;
    model->dembedding = embedding->grad;
    model->norm = norm->value;
    model->dnorm = norm->trains[PARAM_PHASE_MAIN] ? norm->grad : model->unused;
    model->head = head->value;
    model->dhead = head->grad;
}

void model_layout(struct model *model, struct memory_plan *plan)
{
    const struct model_config *config = model->options.config;
    const enum memory_kind kind = MEMORY_KIND_ACTIVATIONS;
    const int64_t T = model->options.sequence_length;
    const int64_t N = model->options.micro * T;
    const int64_t C = config->hidden_size;

    model->unused = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, C);
    bind_ends(model);
    for (int64_t i = 0; i < config->num_hidden_layers; i++) {
        layout_weights(model, i, plan);
        layout_activations(model, &model->layers[i], plan);
    }
    model->inputs = memory_plan_take(plan, kind, N, sizeof(uint32_t));
    model->targets = memory_plan_take(plan, kind, N, sizeof(uint32_t));
    model->x = memory_plan_floats(plan, kind, N * C);
    model->x_rstd = memory_plan_floats(plan, kind, N);
    model->x_norm = memory_plan_floats(plan, kind, N * C);
    model->dx = memory_plan_floats(plan, kind, N * C);
    model->dnormed = memory_plan_floats(plan, kind, N * C);
    model->dqkv = memory_plan_floats(plan, kind, N * model_config_qkv_rows(config));
    model->dcontext =
        memory_plan_floats(plan, kind, N * config->num_attention_heads * config->head_dim);
    model->dactivated = memory_plan_floats(plan, kind, N * config->intermediate_size);
    model->cosine = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, T * config->head_dim / 2);
    model->sine = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, T * config->head_dim / 2);
    if (model->cosine != NULL) {
        rope_table(model->cosine, model->sine, T, config->head_dim, config->rope_theta);
    }
}

float *model_weight(const struct model *model, int64_t layer, enum linear linear)
{
    const struct model_config *config = model->options.config;
    const enum linear_group group = linear_group_of(linear);
    int64_t rows_above = 0;

    assert(layer >= 0 && layer < config->num_hidden_layers);
    for (enum linear i = linear_group_first(group); i < linear; i++) {
        rows_above += linear_rows(config, i);
    }
    return model->layers[layer].weight[group] + rows_above * linear_group_columns(config, group);
}

void model_set_group_grad(struct model *model, model_group_grad_fn *group_grad, void *context)
{
    model->group_grad = group_grad;
    model->group_grad_context = context;
}

void model_set_backward_hook(struct model *model, model_backward_fn *hook, void *context)
{
    model->backward_hook = hook;
    model->backward_context = context;
}

/* Splits rows of T + 1 tokens into T inputs and the T targets that follow them. */
static void take_tokens(struct model *model, const uint32_t *tokens, int64_t B, int64_t T)
{
    assert(B >= 1 && B <= model->options.micro);
    assert(T >= 1 && T <= model->options.sequence_length);
    for (int64_t b = 0; b < B; b++) {
        const uint32_t *row = tokens + b * (T + 1);
        assert(row[0] < model->options.config->vocab_size);
        for (int64_t t = 0; t < T; t++) {
            assert(row[t + 1] < model->options.config->vocab_size);
            model->inputs[b * T + t] = row[t];
            model->targets[b * T + t] = row[t + 1];
        }
    }
}

double model_forward_backward(struct model *model, const uint32_t *tokens, int64_t B, int64_t T,
                              double grad_scale)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    double loss = 0.0;

    assert(model->group_grad != NULL);
    take_tokens(model, tokens, B, T);
    model_forward(model, B, T);
    backend->op->head_loss_backward(backend, &loss, model->dnormed, model->dhead, model->x_norm,
                                    model->head, model->targets, (float)grad_scale, B * T,
                                    config->hidden_size, config->vocab_size);
    model_backward(model, B, T);
    return loss;
}

double model_loss(struct model *model, const uint32_t *tokens, int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    double loss = 0.0;

    take_tokens(model, tokens, B, T);
    model_forward(model, B, T);
    backend->op->head_loss(backend, &loss, model->x_norm, model->head, model->targets, B * T,
                           config->hidden_size, config->vocab_size);
    return loss;
}

void model_logits(struct model *model, float *logits, const uint32_t *tokens, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const struct gemm_shape shape = {
        .m = T, .n = config->vocab_size, .k = config->hidden_size, .transpose_b = true};

    assert(T >= 1 && T <= model->options.sequence_length);
    for (int64_t t = 0; t < T; t++) {
        assert(tokens[t] < config->vocab_size);
        model->inputs[t] = tokens[t];
    }
    model_forward(model, 1, T);
    backend->op->gemm(backend, logits, model->x_norm, model->head, &shape);
}
