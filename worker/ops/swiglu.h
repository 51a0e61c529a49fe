/*
 * swiglu — the gated activation of LLaMA's feed-forward layer (Shazeer 2020, eq. 6).
 *
 *     y[N,F] <- gate[N,F], up[N,F]:  y = silu(gate) * up,  silu(x) = x * sigma(x)
 *     dup   = dy * silu(gate)
 *     dgate = dy * up * sigma(gate) * (1 + gate * (1 - sigma(gate)))
 *
 * Rows of gate, up, dgate and dup are stride elements apart (2F when both lie in one buffer), rows
 * of y and dy are dense. All are operands of one type. Gradients are overwritten; dgate may be gate
 * and dup may be up.
 */
#pragma once

#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

typedef void swiglu_forward_fn(struct backend *backend, void *y, const void *gate, const void *up,
                               int64_t N, int64_t F, int64_t stride, enum dtype type);
typedef void swiglu_backward_fn(struct backend *backend, void *dgate, void *dup, const void *dy,
                                const void *gate, const void *up, int64_t N, int64_t F,
                                int64_t stride, enum dtype type);

void swiglu_forward_ref(double *y, const double *gate, const double *up, int64_t N, int64_t F,
                        int64_t stride);
void swiglu_backward_ref(double *dgate, double *dup, const double *dy, const double *gate,
                         const double *up, int64_t N, int64_t F, int64_t stride);
