/*
 * attention — causal softmax attention with grouped key-value heads (Vaswani et al. 2017, eq. 1;
 * Ainslie et al. 2023). Query head h reads key-value head h / (H/KV); KV = H is plain multi-head.
 *
 *     o[B,T,H,D], lse[B,H,T] <- q[B,T,H,D], k[B,T,KV,D], v[B,T,KV,D], per sequence and head
 *     s[t,u] = q[t] . k[u] / sqrt(D) for u <= t;  lse[t] = log sum_u exp(s[t,u])
 *     p[t,u] = exp(s[t,u] - lse[t]);              o[t] = sum_u p[t,u] v[u]
 *
 * Token n = b*T + t of q is the row at q + n*q_stride, with its heads one after the other; k, v and
 * o likewise, so that q, k and v may be columns of one buffer. Gradients have the layout of what
 * they belong to, and are overwritten:
 *
 *     dv[u] = sum_t p[t,u] do[t];   dp[t,u] = do[t] . v[u]
 *     ds[t,u] = p[t,u] (dp[t,u] - do[t] . o[t]) / sqrt(D)
 *     dq[t] = sum_u ds[t,u] k[u];   dk[u] = sum_t ds[t,u] q[t]
 *
 * q, k, v, o and their gradients are operands of shape.type; scores, softmax, lse and the sums of
 * dk and dv are fp32, and p and ds are rounded to that type for the products that they go into.
 *
 * p is computed again from lse, as in Dao et al. 2022; nothing of size T x T is kept, and only a
 * stripe of it exists, per thread. No overlap of outputs with inputs or each other.
 */
#pragma once

#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

struct attention_shape {
    int64_t B, T, H, KV, D;
    int64_t q_stride, k_stride, v_stride, o_stride; /* 0: dense (H*D or KV*D) */
    enum dtype type;
};

typedef void attention_forward_fn(struct backend *backend, void *o, float *lse, const void *q,
                                  const void *k, const void *v,
                                  const struct attention_shape *shape);
typedef void attention_backward_fn(struct backend *backend, void *dq, void *dk, void *dv,
                                   const void *dout, const void *q, const void *k, const void *v,
                                   const void *o, const float *lse,
                                   const struct attention_shape *shape);

/* The same shape with the strides written out; asserts that they are large enough. */
struct attention_shape attention_shape_dense(const struct attention_shape *shape);

void attention_forward_ref(double *o, double *lse, const double *q, const double *k,
                           const double *v, const struct attention_shape *shape);
void attention_backward_ref(double *dq, double *dk, double *dv, const double *dout, const double *q,
                            const double *k, const double *v, const double *o, const double *lse,
                            const struct attention_shape *shape);
