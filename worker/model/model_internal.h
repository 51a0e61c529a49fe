/*
 * model_internal — what the files of the model share: its tensors. Not for other modules.
 *
 * N = B T tokens of a micro-batch, of at most micro × sequence_length. Letters as everywhere. A
 * void pointer is an operand, in the run's type; floats are fp32 whatever that is.
 */
#pragma once

#include "worker/model/model.h"

struct model_layer {
    const float *input_norm; /* gains [C] and their gradients, NULL where they do not train */
    const float *post_norm;
    float *dinput_norm;
    float *dpost_norm;
    void *weight[LINEAR_GROUP_COUNT]; /* effective; a group's linears one below the other */

    /* What the backward pass reads again. With recomputation the layers have some of them in
     * common (model_layout), and those of a layer are made again before its backward pass. */
    float *x;        /* [N,C] the layer's input */
    float *x_rstd;   /* [N] */
    void *x_norm;    /* [N,C] */
    void *qkv;       /* [N,(H+2KV)D], q and k already rotated */
    float *lse;      /* [B,H,T] */
    void *context;   /* [N,H D] what attention gives */
    float *mid;      /* [N,C] x behind the attention block */
    float *mid_rstd; /* [N] */
    void *mid_norm;  /* [N,C] */
    void *gate_up;   /* [N,2F]; the backward pass turns it into its gradient */
    void *activated; /* [N,F] */
};

struct model {
    struct model_options options;
    model_group_grad_fn *group_grad;
    void *group_grad_context;
    model_backward_fn *backward_hook; /* NULL: none */
    void *backward_context;

    const float *embedding;   /* [V,C] */
    const float *norm;        /* [C] */
    const float *head;        /* [V,C], the embedding where they are tied */
    const void *head_operand; /* the same as operand: itself, or head_rounded */
    uint16_t *head_rounded;   /* NULL in fp32 */
    float *dembedding;        /* this and dhead are NULL when frozen */
    float *dnorm;
    float *dhead;
    float *unused; /* [C] where the gradients of frozen gains go */
    struct model_layer *layers;
    float *weight_buffer; /* [d,k] of the largest linear, or NULL; model_weight_buffer */

    uint32_t *inputs;  /* [N] */
    uint32_t *targets; /* [N] */
    float *cosine;     /* [sequence_length, D/2] */
    float *sine;
    float *x;      /* [N,C] the last layer's output */
    float *x_rstd; /* [N] */
    void *x_norm;  /* [N,C] */

    /* The backward pass's own. */
    float *dx;        /* [N,C] of the residual stream */
    void *dx_operand; /* the same as operand: itself, or rounded */
    void *dnormed;    /* [N,C] of a norm's output */
    void *dqkv;       /* [N,(H+2KV)D] */
    void *dcontext;   /* [N,H D] */
    void *dactivated; /* [N,F] */
};

/* From inputs to x_norm, the normed output of the last layer. */
void model_forward(struct model *model, int64_t B, int64_t T);
/* From dnormed, the gradient of x_norm, to those of all parameters but the head's. */
void model_backward(struct model *model, int64_t B, int64_t T);

/* Tells the hook, where there is one. */
static inline void model_tell_backward(const struct model *model, int64_t layer, bool is_final)
{
    if (model->backward_hook != NULL) {
        model->backward_hook(model->backward_context, layer, is_final);
    }
}
/*
 * The parts of a layer that its backward pass needs. before[N,C] is what layer->x (or, for the
 * second, layer->mid) is still to be added to; NULL: it is complete already, and is read only. Both
 * ways give the same bits.
 */
void model_attention_part(const struct model *model, struct model_layer *layer, const float *before,
                          int64_t B, int64_t T);
/* layer->mid = context W_o^T, not yet added to x. */
void model_attention_output(const struct model *model, struct model_layer *layer, int64_t N);
void model_mlp_part(const struct model *model, struct model_layer *layer, const float *before,
                    int64_t N);

/* How q, k, v lie in their common buffer. */
struct attention_shape model_attention_shape(const struct model *model, int64_t B, int64_t T);
