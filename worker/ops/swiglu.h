/*
 * swiglu — the gated activation of LLaMA's feed-forward layer (Shazeer 2020, eq. 6).
 *
 *     y[N,F] <- gate[N,F], up[N,F]:  y = silu(gate) * up,  silu(x) = x * sigma(x)
 *     dup   = dy * silu(gate)
 *     dgate = dy * up * sigma(gate) * (1 + gate * (1 - sigma(gate)))
 *
 * Rows of gate, up, dgate and dup are stride elements apart (2F when both lie in one buffer), rows
 * of y and dy are dense. Gradients are overwritten; dgate may be gate and dup may be up.
 */
#pragma once

#include <stdint.h>

struct backend;

typedef void swiglu_forward_fn(struct backend *backend, float *y, const float *gate,
                               const float *up, int64_t N, int64_t F, int64_t stride);
typedef void swiglu_backward_fn(struct backend *backend, float *dgate, float *dup, const float *dy,
                                const float *gate, const float *up, int64_t N, int64_t F,
                                int64_t stride);

void swiglu_forward_ref(double *y, const double *gate, const double *up, int64_t N, int64_t F,
                        int64_t stride);
void swiglu_backward_ref(double *dgate, double *dup, const double *dy, const double *gate,
                         const double *up, int64_t N, int64_t F, int64_t stride);
