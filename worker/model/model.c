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

static void *take_operand(const struct model *model, struct memory_plan *plan, int64_t count)
{
    return memory_plan_take(plan, MEMORY_KIND_ACTIVATIONS, count,
                            dtype_bytes(model->options.dtype));
}

static float *take_floats(struct memory_plan *plan, int64_t count)
{
    return memory_plan_floats(plan, MEMORY_KIND_ACTIVATIONS, count);
}

/* What the attention part of a layer makes. */
static void layout_attention(const struct model *model, struct model_layer *layer,
                             struct memory_plan *plan)
{
    const struct model_config *config = model->options.config;
    const int64_t N = model->options.micro * model->options.sequence_length;
    const int64_t H = config->num_attention_heads;

    layer->x_rstd = take_floats(plan, N);
    layer->x_norm = take_operand(model, plan, N * config->hidden_size);
    layer->qkv = take_operand(model, plan, N * model_config_qkv_rows(config));
    layer->lse = take_floats(plan, N * H);
    layer->context = take_operand(model, plan, N * H * config->head_dim);
}

static void share_attention(struct model_layer *layer, const struct model_layer *first)
{
    layer->x_rstd = first->x_rstd;
    layer->x_norm = first->x_norm;
    layer->qkv = first->qkv;
    layer->lse = first->lse;
    layer->context = first->context;
}

/* What the rest of it makes. */
static void layout_mlp(const struct model *model, struct model_layer *layer,
                       struct memory_plan *plan)
{
    const struct model_config *config = model->options.config;
    const int64_t N = model->options.micro * model->options.sequence_length;
    const int64_t C = config->hidden_size;
    const int64_t F = config->intermediate_size;

    layer->mid = take_floats(plan, N * C);
    layer->mid_rstd = take_floats(plan, N);
    layer->mid_norm = take_operand(model, plan, N * C);
    layer->gate_up = take_operand(model, plan, N * 2 * F);
    layer->activated = take_operand(model, plan, N * F);
}

static void share_mlp(struct model_layer *layer, const struct model_layer *first)
{
    layer->mid = first->mid;
    layer->mid_rstd = first->mid_rstd;
    layer->mid_norm = first->mid_norm;
    layer->gate_up = first->gate_up;
    layer->activated = first->activated;
}

/* What is made again in the backward pass, the layers have in common. */
static void layout_activations(const struct model *model, int64_t index, struct memory_plan *plan)
{
    const enum compute_recompute recompute = model->options.recompute;
    struct model_layer *layer = &model->layers[index];

    layer->x = take_floats(plan, model->options.micro * model->options.sequence_length *
                                     model->options.config->hidden_size);
    if (index == 0 || recompute == COMPUTE_RECOMPUTE_NONE) {
        layout_attention(model, layer, plan);
    } else {
        share_attention(layer, &model->layers[0]);
    }
    if (index == 0 || recompute != COMPUTE_RECOMPUTE_LAYER) {
        layout_mlp(model, layer, plan);
    } else {
        share_mlp(layer, &model->layers[0]);
    }
}

/* Where nothing is added to them and operands are fp32, linears are their own effective weights;
 * packed groups make them one matrix. */
static bool owns_weight(const struct model *model, int64_t index, enum linear_group group)
{
    return model->options.dtype != DTYPE_FP32 ||
           !param_table_linear(model->options.table, index, linear_group_first(group))
                ->is_effective;
}

static void layout_weights(const struct model *model, int64_t index, struct memory_plan *plan)
{
    const struct model_config *config = model->options.config;
    struct model_layer *layer = &model->layers[index];

    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        const int64_t elements =
            linear_group_rows(config, group) * linear_group_columns(config, group);
        layer->weight[group] =
            owns_weight(model, index, group)
                ? memory_plan_take(plan, MEMORY_KIND_WEIGHTS, elements,
                                   dtype_bytes(model->options.dtype))
                : param_table_linear(model->options.table, index, linear_group_first(group))->value;
    }
    const struct param *input_norm = param_table_norm(model->options.table, index, false);
    const struct param *post_norm = param_table_norm(model->options.table, index, true);
    layer->input_norm = input_norm->value;
    layer->dinput_norm = input_norm->trains[PARAM_PHASE_MAIN] ? input_norm->grad : model->unused;
    layer->post_norm = post_norm->value;
    layer->dpost_norm = post_norm->trains[PARAM_PHASE_MAIN] ? post_norm->grad : model->unused;
}

static int64_t largest_linear(const struct model_config *config)
{
    int64_t largest = 0;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        const int64_t elements = linear_rows(config, linear) * linear_columns(config, linear);
        largest = elements > largest ? elements : largest;
    }
    return largest;
}

static void bind_ends(struct model *model)
{
    const struct param_table *table = model->options.table;
    const struct param *embedding = &table->params[0];
    const struct param *norm = param_table_final_norm(table);
    const struct param *head = param_table_head(table);

    model->embedding = embedding->value;
    model->dembedding = embedding->grad;
    model->norm = norm->value;
    model->dnorm = norm->trains[PARAM_PHASE_MAIN] ? norm->grad : model->unused;
    model->head = head->value;
    model->dhead = head->grad;
}

static void layout_backward(struct model *model, struct memory_plan *plan)
{
    const struct model_config *config = model->options.config;
    const int64_t N = model->options.micro * model->options.sequence_length;
    const int64_t C = config->hidden_size;

    model->dx = take_floats(plan, N * C);
    model->dx_operand =
        model->options.dtype == DTYPE_FP32 ? model->dx : take_operand(model, plan, N * C);
    model->dnormed = take_operand(model, plan, N * C);
    model->dqkv = take_operand(model, plan, N * model_config_qkv_rows(config));
    model->dcontext = take_operand(model, plan, N * config->num_attention_heads * config->head_dim);
    model->dactivated = take_operand(model, plan, N * config->intermediate_size);
}

void model_layout(struct model *model, struct memory_plan *plan)
{
    const struct model_config *config = model->options.config;
    const bool rounds = model->options.dtype != DTYPE_FP32;
    const int64_t T = model->options.sequence_length;
    const int64_t N = model->options.micro * T;
    const int64_t angles = T * config->head_dim / 2;

    model->unused = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, config->hidden_size);
    bind_ends(model);
    for (int64_t i = 0; i < config->num_hidden_layers; i++) {
        layout_weights(model, i, plan);
        layout_activations(model, i, plan);
    }
    model->head_rounded = rounds ? memory_plan_take(plan, MEMORY_KIND_WEIGHTS,
                                                    config->vocab_size * config->hidden_size,
                                                    dtype_bytes(model->options.dtype))
                                 : NULL;
    model->head_operand = rounds ? model->head_rounded : (const void *)model->head;
    model->weight_buffer =
        memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, rounds ? largest_linear(config) : 0);
    model->inputs = memory_plan_take(plan, MEMORY_KIND_ACTIVATIONS, N, sizeof(uint32_t));
    model->targets = memory_plan_take(plan, MEMORY_KIND_ACTIVATIONS, N, sizeof(uint32_t));
    model->x = take_floats(plan, N * config->hidden_size);
    model->x_rstd = take_floats(plan, N);
    model->x_norm = take_operand(model, plan, N * config->hidden_size);
    layout_backward(model, plan);
    model->cosine = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, angles);
    model->sine = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, angles);
}

void model_start(struct model *model)
{
    const struct model_config *config = model->options.config;
    const struct rope_angles angles = model_config_rope(config);

    rope_table(model->cosine, model->sine, model->options.sequence_length, config->head_dim,
               &angles);
}

static void *weight_of(const struct model *model, int64_t layer, enum linear linear)
{
    const struct model_config *config = model->options.config;
    const enum linear_group group = linear_group_of(linear);
    int64_t rows_above = 0;

    assert(layer >= 0 && layer < config->num_hidden_layers);
    for (enum linear i = linear_group_first(group); i < linear; i++) {
        rows_above += linear_rows(config, i);
    }
    return dtype_at_mut(model->layers[layer].weight[group],
                        rows_above * linear_group_columns(config, group), model->options.dtype);
}

const void *model_weight(const struct model *model, int64_t layer, enum linear linear)
{
    return weight_of(model, layer, linear);
}

float *model_weight_buffer(const struct model *model, int64_t layer, enum linear linear)
{
    return model->options.dtype == DTYPE_FP32 ? weight_of(model, layer, linear)
                                              : model->weight_buffer;
}

void model_take_weight(const struct model *model, int64_t layer, enum linear linear,
                       const float *weight, const struct bf16_rounding *rounding)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    void *out = weight_of(model, layer, linear);

    if (model->options.dtype == DTYPE_BF16) {
        backend->op->round_bf16(backend, out, weight,
                                linear_rows(config, linear) * linear_columns(config, linear),
                                rounding);
    } else {
        assert(out == weight);
    }
}

void model_take_head(const struct model *model, const struct bf16_rounding *rounding)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;

    if (model->options.dtype == DTYPE_BF16) {
        backend->op->round_bf16(backend, model->head_rounded, model->head,
                                config->vocab_size * config->hidden_size, rounding);
    }
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
                                    model->head_operand, model->targets, (float)grad_scale, B * T,
                                    config->hidden_size, config->vocab_size, model->options.dtype);
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
    backend->op->head_loss(backend, &loss, model->x_norm, model->head_operand, model->targets,
                           B * T, config->hidden_size, config->vocab_size, model->options.dtype);
    return loss;
}

void model_logits(struct model *model, float *logits, const uint32_t *tokens, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const struct gemm_shape shape = {.m = T,
                                     .n = config->vocab_size,
                                     .k = config->hidden_size,
                                     .transpose_b = true,
                                     .operands = model->options.dtype};

    assert(T >= 1 && T <= model->options.sequence_length);
    for (int64_t t = 0; t < T; t++) {
        assert(tokens[t] < config->vocab_size);
        model->inputs[t] = tokens[t];
    }
    model_forward(model, 1, T);
    backend->op->gemm(backend, logits, model->x_norm, model->head_operand, &shape);
}
