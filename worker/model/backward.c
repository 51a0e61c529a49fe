#include "worker/model/model_internal.h"

/* Hands (dY, X) of a group to the method; dx[N,k] = dy[N,d] W for all its linears at once. */
static void group_backward(const struct model *model, int64_t index, enum linear_group group,
                           void *dx, const void *dy, const void *x, int64_t N)
{
    struct backend *backend = model->options.backend;
    const struct gemm_shape shape = {.m = N,
                                     .n = linear_group_columns(model->options.config, group),
                                     .k = linear_group_rows(model->options.config, group),
                                     .operands = model->options.dtype,
                                     .result = model->options.dtype};

    model->group_grad(model->group_grad_context, index, group, dy, x, N);
    backend->op->gemm(backend, dx, dy, model->layers[index].weight[group], &shape);
    model_tell_backward(model, index, false);
}

static void norm_backward(const struct model *model, float *dgain, const float *x,
                          const float *rstd, const float *gain, int64_t N, bool accumulate)
{
    struct backend *backend = model->options.backend;

    backend->op->rmsnorm_backward(backend, model->dx, model->dx_operand, dgain, model->dnormed, x,
                                  rstd, gain, N, model->options.config->hidden_size, accumulate,
                                  model->options.dtype);
}

/* dx is the gradient of the block's output, and becomes that of its input. */
static void mlp_block(const struct model *model, int64_t index, int64_t N)
{
    struct backend *backend = model->options.backend;
    struct model_layer *layer = &model->layers[index];
    const enum dtype type = model->options.dtype;
    const int64_t F = model->options.config->intermediate_size;
    void *up = dtype_at_mut(layer->gate_up, F, type);

    group_backward(model, index, LINEAR_GROUP_DOWN, model->dactivated, model->dx_operand,
                   layer->activated, N);
    backend->op->swiglu_backward(backend, layer->gate_up, up, model->dactivated, layer->gate_up, up,
                                 N, F, 2 * F, type);
    group_backward(model, index, LINEAR_GROUP_GATE_UP, model->dnormed, layer->gate_up,
                   layer->mid_norm, N);
    norm_backward(model, layer->dpost_norm, layer->mid, layer->mid_rstd, layer->post_norm, N, true);
}

static void attention_block(const struct model *model, int64_t index, int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const enum dtype type = model->options.dtype;
    struct model_layer *layer = &model->layers[index];
    const int64_t N = B * T;
    const int64_t H = config->num_attention_heads;
    const int64_t KV = config->num_key_value_heads;
    const int64_t D = config->head_dim;
    const int64_t k = H * D;        /* where k starts in a row of q|k|v, */
    const int64_t v = (H + KV) * D; /* and where v does */
    const struct attention_shape shape = model_attention_shape(model, B, T);

    group_backward(model, index, LINEAR_GROUP_O, model->dcontext, model->dx_operand, layer->context,
                   N);
    backend->op->attention_backward(backend, model->dqkv, dtype_at_mut(model->dqkv, k, type),
                                    dtype_at_mut(model->dqkv, v, type), model->dcontext, layer->qkv,
                                    dtype_at(layer->qkv, k, type), dtype_at(layer->qkv, v, type),
                                    layer->context, layer->lse, &shape);
    backend->op->rope_backward(backend, model->dqkv, model->cosine, model->sine, N, T, H + KV, D,
                               shape.q_stride, type);
    group_backward(model, index, LINEAR_GROUP_QKV, model->dnormed, model->dqkv, layer->x_norm, N);
    norm_backward(model, layer->dinput_norm, layer->x, layer->x_rstd, layer->input_norm, N, true);
}

/* Makes again what the layers have in common and a later one has overwritten. */
static void recompute(const struct model *model, struct model_layer *layer, int64_t B, int64_t T)
{
    switch (model->options.recompute) {
    case COMPUTE_RECOMPUTE_NONE:
        break;
    case COMPUTE_RECOMPUTE_ATTENTION:
        model_attention_part(model, layer, NULL, B, T);
        break;
    case COMPUTE_RECOMPUTE_LAYER:
        model_attention_part(model, layer, NULL, B, T);
        model_attention_output(model, layer, B * T);
        model_mlp_part(model, layer, layer->x, B * T);
        break;
    }
}

void model_backward(struct model *model, int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const int64_t N = B * T;

    norm_backward(model, model->dnorm, model->x, model->x_rstd, model->norm, N, false);
    for (int64_t i = config->num_hidden_layers - 1; i >= 0; i--) {
        if (i < config->num_hidden_layers - 1) {
            recompute(model, &model->layers[i], B, T);
        }
        mlp_block(model, i, N);
        attention_block(model, i, B, T);
        model_tell_backward(model, i, true);
    }
    if (model->dembedding != NULL) {
        backend->op->embedding_backward(backend, model->dembedding, model->dx, model->inputs, N,
                                        config->hidden_size);
    }
}
