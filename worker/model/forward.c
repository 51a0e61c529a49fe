#include "worker/model/model_internal.h"

struct attention_shape model_attention_shape(const struct model *model, int64_t B, int64_t T)
{
    const struct model_config *config = model->options.config;
    const int64_t stride = model_config_qkv_rows(config);

    return (struct attention_shape){.B = B,
                                    .T = T,
                                    .H = config->num_attention_heads,
                                    .KV = config->num_key_value_heads,
                                    .D = config->head_dim,
                                    .q_stride = stride,
                                    .k_stride = stride,
                                    .v_stride = stride,
                                    .type = model->options.dtype};
}

/* y[N,d] = x[N,k] W^T for all linears of a group at once. */
static void group_forward(const struct model *model, const struct model_layer *layer,
                          enum linear_group group, void *y, enum dtype result, const void *x,
                          int64_t N)
{
    struct backend *backend = model->options.backend;
    const struct gemm_shape shape = {.m = N,
                                     .n = linear_group_rows(model->options.config, group),
                                     .k = linear_group_columns(model->options.config, group),
                                     .transpose_b = true,
                                     .operands = model->options.dtype,
                                     .result = result};

    backend->op->gemm(backend, y, x, layer->weight[group], &shape);
}

/* y = norm(x), or with before: x += before, y = norm(x) in one pass. */
static void norm_forward(const struct model *model, void *y, float *rstd, float *x,
                         const float *before, const float *gain, int64_t N)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;

    backend->op->rmsnorm_forward(backend, y, rstd, x, before == NULL ? x : before,
                                 before == NULL ? NULL : x, gain, N, config->hidden_size,
                                 (float)config->rms_norm_eps, model->options.dtype);
}

/* context = attention(rope(q|k|v(rmsnorm(x)))) */
void model_attention_part(const struct model *model, struct model_layer *layer, const float *before,
                          int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const enum dtype type = model->options.dtype;
    const int64_t N = B * T;
    const int64_t H = config->num_attention_heads;
    const int64_t KV = config->num_key_value_heads;
    const int64_t D = config->head_dim;
    const struct attention_shape shape = model_attention_shape(model, B, T);

    norm_forward(model, layer->x_norm, layer->x_rstd, layer->x, before, layer->input_norm, N);
    group_forward(model, layer, LINEAR_GROUP_QKV, layer->qkv, type, layer->x_norm, N);
    /* The heads of k follow those of q in each row: one call turns both. */
    backend->op->rope_forward(backend, layer->qkv, model->cosine, model->sine, N, T, H + KV, D,
                              shape.q_stride, type);
    backend->op->attention_forward(backend, layer->context, layer->lse, layer->qkv,
                                   dtype_at(layer->qkv, H * D, type),
                                   dtype_at(layer->qkv, (H + KV) * D, type), &shape);
}

void model_attention_output(const struct model *model, struct model_layer *layer, int64_t N)
{
    group_forward(model, layer, LINEAR_GROUP_O, layer->mid, DTYPE_FP32, layer->context, N);
}

/* activated = swiglu(gate|up(rmsnorm(mid))) */
void model_mlp_part(const struct model *model, struct model_layer *layer, const float *before,
                    int64_t N)
{
    struct backend *backend = model->options.backend;
    const enum dtype type = model->options.dtype;
    const int64_t F = model->options.config->intermediate_size;

    norm_forward(model, layer->mid_norm, layer->mid_rstd, layer->mid, before, layer->post_norm, N);
    group_forward(model, layer, LINEAR_GROUP_GATE_UP, layer->gate_up, type, layer->mid_norm, N);
    backend->op->swiglu_forward(backend, layer->activated, layer->gate_up,
                                dtype_at(layer->gate_up, F, type), N, F, 2 * F, type);
}

void model_forward(struct model *model, int64_t B, int64_t T)
{
    struct backend *backend = model->options.backend;
    const struct model_config *config = model->options.config;
    const int64_t layers = config->num_hidden_layers;
    const int64_t N = B * T;
    const float *before = NULL;

    backend->op->embedding_forward(backend, model->layers[0].x, model->embedding, model->inputs, N,
                                   config->hidden_size);
    for (int64_t i = 0; i < layers; i++) {
        struct model_layer *layer = &model->layers[i];
        model_attention_part(model, layer, before, B, T);
        model_attention_output(model, layer, N);
        model_mlp_part(model, layer, layer->x, N);
        group_forward(model, layer, LINEAR_GROUP_DOWN, i + 1 < layers ? layer[1].x : model->x,
                      DTYPE_FP32, layer->activated, N);
        before = layer->mid;
    }
    norm_forward(model, model->x_norm, model->x_rstd, model->x, before, model->norm, N);
}
