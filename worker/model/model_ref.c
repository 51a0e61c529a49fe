#include "worker/model/model_ref.h"

#include <math.h>
#include <stdlib.h>

#include "proto/base/sys.h"
#include "worker/ops/attention.h"
#include "worker/ops/rmsnorm.h"
#include "worker/ops/rope.h"
#include "worker/ops/swiglu.h"

/* The tensors of one sequence, in one allocation. */
struct workspace {
    double *memory;
    double *x;      /* [T,C] residual stream */
    double *normed; /* [T,C] */
    double *rstd;   /* [T] */
    double *gain;   /* [C] widened */
    double *q;      /* [T,H D] */
    double *k;      /* [T,KV D] */
    double *v;
    double *lse;       /* [H,T] */
    double *context;   /* [T,H D] */
    double *gate;      /* [T,F] */
    double *up;        /* [T,F] */
    double *activated; /* [T,F] */
    double *update;    /* [T,C] what a block adds to x */
};

static enum status workspace_create(struct workspace *out, const struct model_config *config,
                                    int64_t T, struct error *err)
{
    const int64_t C = config->hidden_size;
    const int64_t F = config->intermediate_size;
    const int64_t q = config->num_attention_heads * config->head_dim;
    const int64_t kv = config->num_key_value_heads * config->head_dim;
    const struct {
        double **tensor;
        int64_t elements;
    } parts[] = {
        {&out->x, T * C},       {&out->normed, T * C},
        {&out->rstd, T},        {&out->gain, C},
        {&out->q, T * q},       {&out->k, T * kv},
        {&out->v, T * kv},      {&out->lse, T * config->num_attention_heads},
        {&out->context, T * q}, {&out->gate, T * F},
        {&out->up, T * F},      {&out->activated, T * F},
        {&out->update, T * C},
    };
    const size_t count = sizeof parts / sizeof parts[0];
    int64_t elements = 0;

    for (size_t i = 0; i < count; i++) {
        elements += parts[i].elements;
    }
    out->memory = sys_calloc((size_t)elements, sizeof(double));
    if (out->memory == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the reference model");
    }
    double *next = out->memory;
    for (size_t i = 0; i < count; i++) {
        *parts[i].tensor = next;
        next += parts[i].elements;
    }
    return STATUS_OK;
}

/* y[T,d] = x[T,k] w[d,k]^T */
static void matmul(double *y, const double *x, const float *w, int64_t T, int64_t d, int64_t k)
{
#pragma omp parallel for schedule(static)
    for (int64_t o = 0; o < d; o++) {
        for (int64_t t = 0; t < T; t++) {
            double sum = 0.0;
            for (int64_t j = 0; j < k; j++) {
                sum += x[t * k + j] * (double)w[o * k + j];
            }
            y[t * d + o] = sum;
        }
    }
}

static enum status linear_forward(double *y, const struct model_ref *ref, const double *x,
                                  int64_t layer, enum linear linear, int64_t T, struct error *err)
{
    const struct param *w = param_table_linear(ref->table, layer, linear);

    matmul(y, x, w->value, T, w->shape[0], w->shape[1]);
    if (ref->side == NULL) {
        return STATUS_OK;
    }
    return ref->side(ref->side_context, y, x, layer, linear, T, err);
}

static void norm_forward(struct workspace *work, const struct model_ref *ref,
                         const struct param *gain, int64_t T)
{
    const int64_t C = ref->config->hidden_size;

    for (int64_t c = 0; c < C; c++) {
        work->gain[c] = (double)gain->value[c];
    }
    rmsnorm_forward_ref(work->normed, work->rstd, work->x, work->gain, T, C,
                        ref->config->rms_norm_eps);
}

static void add_update(struct workspace *work, int64_t elements)
{
    for (int64_t i = 0; i < elements; i++) {
        work->x[i] += work->update[i];
    }
}

/* x += o(attention(rope(q), rope(k), v)) of rmsnorm(x) */
static enum status attention_block(struct workspace *work, const struct model_ref *ref,
                                   int64_t layer, int64_t T, struct error *err)
{
    const struct model_config *config = ref->config;
    const int64_t H = config->num_attention_heads;
    const int64_t KV = config->num_key_value_heads;
    const int64_t D = config->head_dim;
    const struct attention_shape shape = {.B = 1, .T = T, .H = H, .KV = KV, .D = D};
    const struct rope_angles angles = model_config_rope(config);

    norm_forward(work, ref, param_table_norm(ref->table, layer, false), T);
    enum status status = linear_forward(work->q, ref, work->normed, layer, LINEAR_Q, T, err);
    if (!status) {
        status = linear_forward(work->k, ref, work->normed, layer, LINEAR_K, T, err);
    }
    if (!status) {
        status = linear_forward(work->v, ref, work->normed, layer, LINEAR_V, T, err);
    }
    if (status) {
        return status;
    }
    rope_forward_ref(work->q, T, T, H, D, H * D, &angles);
    rope_forward_ref(work->k, T, T, KV, D, KV * D, &angles);
    attention_forward_ref(work->context, work->lse, work->q, work->k, work->v, &shape);
    status = linear_forward(work->update, ref, work->context, layer, LINEAR_O, T, err);
    add_update(work, T * config->hidden_size);
    return status;
}

/* x += down(silu(gate) * up) of rmsnorm(x) */
static enum status mlp_block(struct workspace *work, const struct model_ref *ref, int64_t layer,
                             int64_t T, struct error *err)
{
    const int64_t F = ref->config->intermediate_size;

    norm_forward(work, ref, param_table_norm(ref->table, layer, true), T);
    enum status status = linear_forward(work->gate, ref, work->normed, layer, LINEAR_GATE, T, err);
    if (!status) {
        status = linear_forward(work->up, ref, work->normed, layer, LINEAR_UP, T, err);
    }
    if (status) {
        return status;
    }
    swiglu_forward_ref(work->activated, work->gate, work->up, T, F, F);
    status = linear_forward(work->update, ref, work->activated, layer, LINEAR_DOWN, T, err);
    add_update(work, T * ref->config->hidden_size);
    return status;
}

static void embed(struct workspace *work, const struct model_ref *ref, const uint32_t *tokens,
                  int64_t T)
{
    const int64_t C = ref->config->hidden_size;
    const struct param *embedding = &ref->table->params[0];

    for (int64_t t = 0; t < T; t++) {
        for (int64_t c = 0; c < C; c++) {
            work->x[t * C + c] = (double)embedding->value[(int64_t)tokens[t] * C + c];
        }
    }
}

enum status model_ref_logits(double *logits, const struct model_ref *ref, const uint32_t *tokens,
                             int64_t T, struct error *err)
{
    const struct param *norm = param_table_final_norm(ref->table);
    const struct param *head = param_table_head(ref->table);
    struct workspace work = {0};

    enum status status = workspace_create(&work, ref->config, T, err);
    if (status) {
        return status;
    }
    embed(&work, ref, tokens, T);
    for (int64_t layer = 0; !status && layer < ref->config->num_hidden_layers; layer++) {
        status = attention_block(&work, ref, layer, T, err);
        if (!status) {
            status = mlp_block(&work, ref, layer, T, err);
        }
    }
    norm_forward(&work, ref, norm, T);
    matmul(logits, work.normed, head->value, T, head->shape[0], head->shape[1]);
    free(work.memory);
    return status;
}

/* log sum_v exp(logits[v]) - logits[target] */
static double cross_entropy(const double *logits, uint32_t target, int64_t V)
{
    double max = logits[0];
    double sum = 0.0;

    for (int64_t v = 1; v < V; v++) {
        max = fmax(max, logits[v]);
    }
    for (int64_t v = 0; v < V; v++) {
        sum += exp(logits[v] - max);
    }
    return max + log(sum) - logits[target];
}

enum status model_ref_loss(double *loss, const struct model_ref *ref, const uint32_t *tokens,
                           int64_t B, int64_t T, struct error *err)
{
    const int64_t V = ref->config->vocab_size;
    enum status status = STATUS_OK;

    double *logits = sys_calloc((size_t)(T * V), sizeof *logits);
    if (logits == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the reference model");
    }
    *loss = 0.0;
    for (int64_t b = 0; !status && b < B; b++) {
        const uint32_t *row = tokens + b * (T + 1);
        status = model_ref_logits(logits, ref, row, T, err);
        for (int64_t t = 0; t < T; t++) {
            *loss += cross_entropy(logits + t * V, row[t + 1], V);
        }
    }
    free(logits);
    return status;
}
