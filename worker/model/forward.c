#include "worker/model/model_internal.h"

struct attention_shape model_attention_shape(const struct model_config *config, int64_t B,
                                             int64_t T)
{
    const int64_t stride = model_config_qkv_rows(config);

    return (struct attention_shape){.B = B,
                                    .T = T,
                                    .H = config->num_attention_heads,
                                    .KV = config->num_key_value_heads,
                                    .D = config->head_dim,
                                    .q_stride = stride,
                                    .k_stride = stride,
                                    .v_stride = stride};
}

/* y[N,d] = x[N,k] W^T for all linears of a group at once. */
static void group_forward(const struct model *model, const struct model_layer *layer,
                          enum linear_group group, float *y, const float *x, int64_t N)
{
    struct backend *backend = model->options.backend;
    const struct gemm_shape shape = {.m = N,
                                     .n = linear_group_rows(model->options.config, group),
                                     .k = linear_group_columns(model->options.config, group),
                                     .transpose_b = true};

    backend->op->gemm(backend, y, x, layer->weight[group], &shape);
}

/* mid = x + o(attention(rope(q|k|v(rmsnorm(x))))) */
static void attention_block(const struct model *model, struct model_layer *layer, int64_t B,
                            int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const int64_t N = B * T;
    const int64_t C = config->hidden_size;
    const int64_t H = config->num_attention_heads;
    const int64_t KV = config->num_key_value_heads;
    const int64_t D = config->head_dim;
    const struct attention_shape shape = model_attention_shape(config, B, T);

    backend->op->rmsnorm_forward(backend, layer->x_norm, layer->x_rstd, layer->x, layer->input_norm,
                                 N, C, (float)config->rms_norm_eps);
    group_forward(model, layer, LINEAR_GROUP_QKV, layer->qkv, layer->x_norm, N);
    /* The heads of k follow those of q in each row: one call turns both. */
    backend->op->rope_forward(backend, layer->qkv, model->cosine, model->sine, N, T, H + KV, D,
                              shape.q_stride);
    backend->op->attention_forward(backend, layer->context, layer->lse, layer->qkv,
                                   layer->qkv + H * D, layer->qkv + (H + KV) * D, &shape);
    group_forward(model, layer, LINEAR_GROUP_O, layer->mid, layer->context, N);
    backend->op->add(backend, layer->mid, layer->mid, layer->x, N * C);
}

/* out = mid + down(swiglu(gate|up(rmsnorm(mid)))) */
static void mlp_block(const struct model *model, struct model_layer *layer, float *out, int64_t N)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const int64_t C = config->hidden_size;
    const int64_t F = config->intermediate_size;

    backend->op->rmsnorm_forward(backend, layer->mid_norm, layer->mid_rstd, layer->mid,
                                 layer->post_norm, N, C, (float)config->rms_norm_eps);
    group_forward(model, layer, LINEAR_GROUP_GATE_UP, layer->gate_up, layer->mid_norm, N);
    backend->op->swiglu_forward(backend, layer->activated, layer->gate_up, layer->gate_up + F, N, F,
                                2 * F);
    group_forward(model, layer, LINEAR_GROUP_DOWN, out, layer->activated, N);
    backend->op->add(backend, out, out, layer->mid, N * C);
}

void model_forward(struct model *model, int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const int64_t layers = config->num_hidden_layers;
    const int64_t N = B * T;
    const int64_t C = config->hidden_size;

    backend->op->embedding_forward(backend, model->layers[0].x, model->embedding, model->inputs, N,
                                   C);
    for (int64_t i = 0; i < layers; i++) {
        attention_block(model, &model->layers[i], B, T);
        mlp_block(model, &model->layers[i], i + 1 < layers ? model->layers[i + 1].x : model->x, N);
    }
    backend->op->rmsnorm_forward(backend, model->x_norm, model->x_rstd, model->x, model->norm, N, C,
                                 (float)config->rms_norm_eps);
}
