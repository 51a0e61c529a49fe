/*
 * model_internal — what the files of the model share: its tensors. Not for other modules.
 *
 * N = B T tokens of a micro-batch, of at most micro × sequence_length. Letters as everywhere.
 */
#pragma once

#include "worker/model/model.h"

struct model_layer {
    const float *input_norm; /* gains [C] and their gradients */
    const float *post_norm;
    float *dinput_norm;
    float *dpost_norm;
    float *weight[LINEAR_GROUP_COUNT]; /* effective; a group's linears one below the other */

    /* What the backward pass reads again. */
    float *x;         /* [N,C] the layer's input */
    float *x_rstd;    /* [N] */
    float *x_norm;    /* [N,C] */
    float *qkv;       /* [N,(H+2KV)D], q and k already rotated */
    float *lse;       /* [B,H,T] */
    float *context;   /* [N,H D] what attention gives */
    float *mid;       /* [N,C] x behind the attention block */
    float *mid_rstd;  /* [N] */
    float *mid_norm;  /* [N,C] */
    float *gate_up;   /* [N,2F]; the backward pass turns it into its gradient */
    float *activated; /* [N,F] */
};

struct model {
    struct model_options options;
    model_group_grad_fn *group_grad;
    void *group_grad_context;
    model_backward_fn *backward_hook; /* NULL: none */
    void *backward_context;

    const float *embedding; /* [V,C] */
    const float *norm;      /* [C] */
    const float *head;      /* [V,C] */
    float *dembedding;      /* this and dhead are NULL when frozen */
    float *dnorm;
    float *dhead;
    float *unused; /* [C] where the gradients of frozen gains go */
    struct model_layer *layers;

    uint32_t *inputs;  /* [N] */
    uint32_t *targets; /* [N] */
    float *cosine;     /* [sequence_length, D/2] */
    float *sine;
    float *x;      /* [N,C] the last layer's output */
    float *x_rstd; /* [N] */
    float *x_norm; /* [N,C] */

    /* The backward pass's own. */
    float *dx;         /* [N,C] of the residual stream */
    float *dnormed;    /* [N,C] of a norm's output */
    float *dqkv;       /* [N,(H+2KV)D] */
    float *dcontext;   /* [N,H D] */
    float *dactivated; /* [N,F] */
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

/* How q, k, v lie in their common buffer. */
struct attention_shape model_attention_shape(const struct model_config *config, int64_t B,
                                             int64_t T);
