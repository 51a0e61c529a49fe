#include "worker/model/model_internal.h"

/* Hands (dY, X) of a group to the method; dx[N,k] = dy[N,d] W for all its linears at once. */
static void group_backward(const struct model *model, int64_t index, enum linear_group group,
                           float *dx, const float *dy, const float *x, int64_t N)
{
    struct backend *backend = model->options.backend;
    const struct gemm_shape shape = {.m = N,
                                     .n = linear_group_columns(model->options.config, group),
                                     .k = linear_group_rows(model->options.config, group)};

    model->group_grad(model->group_grad_context, index, group, dy, x, N);
    backend->op->gemm(backend, dx, dy, model->layers[index].weight[group], &shape);
    model_tell_backward(model, index, false);
}

/* dx is the gradient of the block's output, and becomes that of its input. */
static void mlp_block(const struct model *model, int64_t index, int64_t N)
{
    struct backend *backend = model->options.backend;
    struct model_layer *layer = &model->layers[index];
    const int64_t C = model->options.config->hidden_size;
    const int64_t F = model->options.config->intermediate_size;

    group_backward(model, index, LINEAR_GROUP_DOWN, model->dactivated, model->dx, layer->activated,
                   N);
    backend->op->swiglu_backward(backend, layer->gate_up, layer->gate_up + F, model->dactivated,
                                 layer->gate_up, layer->gate_up + F, N, F, 2 * F);
    group_backward(model, index, LINEAR_GROUP_GATE_UP, model->dnormed, layer->gate_up,
                   layer->mid_norm, N);
    backend->op->rmsnorm_backward(backend, model->dx, layer->dpost_norm, model->dnormed, layer->mid,
                                  layer->mid_rstd, layer->post_norm, N, C, true);
}

static void attention_block(const struct model *model, int64_t index, int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    struct model_layer *layer = &model->layers[index];
    const int64_t N = B * T;
    const int64_t H = config->num_attention_heads;
    const int64_t KV = config->num_key_value_heads;
    const int64_t D = config->head_dim;
    const int64_t k = H * D;        /* where k starts in a row of q|k|v, */
    const int64_t v = (H + KV) * D; /* and where v does */
    const struct attention_shape shape = model_attention_shape(config, B, T);

    group_backward(model, index, LINEAR_GROUP_O, model->dcontext, model->dx, layer->context, N);
    backend->op->attention_backward(backend, model->dqkv, model->dqkv + k, model->dqkv + v,
                                    model->dcontext, layer->qkv, layer->qkv + k, layer->qkv + v,
                                    layer->context, layer->lse, &shape);
    backend->op->rope_backward(backend, model->dqkv, model->cosine, model->sine, N, T, H + KV, D,
                               shape.q_stride);
    group_backward(model, index, LINEAR_GROUP_QKV, model->dnormed, model->dqkv, layer->x_norm, N);
    backend->op->rmsnorm_backward(backend, model->dx, layer->dinput_norm, model->dnormed, layer->x,
                                  layer->x_rstd, layer->input_norm, N, config->hidden_size, true);
}

void model_backward(struct model *model, int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const int64_t N = B * T;
    const int64_t C = config->hidden_size;

    backend->op->rmsnorm_backward(backend, model->dx, model->dnorm, model->dnormed, model->x,
                                  model->x_rstd, model->norm, N, C, false);
    for (int64_t i = config->num_hidden_layers - 1; i >= 0; i--) {
        mlp_block(model, i, N);
        attention_block(model, i, B, T);
        model_tell_backward(model, i, true);
    }
    if (model->dembedding != NULL) {
        backend->op->embedding_backward(backend, model->dembedding, model->dx, model->inputs, N, C);
    }
}
