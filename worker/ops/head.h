/*
 * head — output projection and cross-entropy in one: the logits of a micro-batch never exist, only
 * those of a chunk of tokens whose size depends on V alone.
 *
 *     logits[n] = w[V,C] x[n];   loss = sum_n (log sum_v exp(logits[n,v]) - logits[n,targets[n]])
 *
 * head_loss gives the loss only, for evaluation. head_loss_backward also gives, for the gradient
 * of grad_scale * loss,
 *
 *     dlogits[n,v] = grad_scale * (softmax(logits[n])[v] - [v = targets[n]])
 *     dx[N,C] = dlogits w       overwritten
 *     dw[V,C] += dlogits^T x    over the chunks in order; dw may be NULL
 *
 * x, w and dx are operands of one type; logits, softmax, loss and dw are fp32, and dlogits is
 * rounded to that type for its products. dw NULL: the projection does not train.
 *
 * loss is a sum over the N tokens, in double, in their order, and is overwritten. Every target is
 * below V; the caller checks. No overlap.
 */
#pragma once

#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

typedef void head_loss_fn(struct backend *backend, double *loss, const void *x, const void *w,
                          const uint32_t *targets, int64_t N, int64_t C, int64_t V,
                          enum dtype type);
typedef void head_loss_backward_fn(struct backend *backend, double *loss, void *dx, float *dw,
                                   const void *x, const void *w, const uint32_t *targets,
                                   float grad_scale, int64_t N, int64_t C, int64_t V,
                                   enum dtype type);

/* Tokens per chunk; the logits of a chunk take that times V elements. */
int64_t head_chunk_tokens(int64_t V);

void head_loss_ref(double *loss, const double *x, const double *w, const uint32_t *targets,
                   int64_t N, int64_t C, int64_t V);
void head_loss_backward_ref(double *loss, double *dx, double *dw, const double *x, const double *w,
                            const uint32_t *targets, double grad_scale, int64_t N, int64_t C,
                            int64_t V);
