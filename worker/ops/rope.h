/*
 * rope — rotary position embedding (Su et al. 2021, eq. 34), in the half-split pairing of Hugging
 * Face's LLaMA: feature j of a head is paired with j + D/2, not with its neighbour.
 *
 * In place on x, N = B*T rows of H heads of D features, row n being at x + n*stride and at position
 * t = n mod T:
 *
 *     x[j], x[j+D/2]  <-  x[j] c - x[j+D/2] s,  x[j+D/2] c + x[j] s
 *     c = cos(t * theta^(-2j/D)),  s = sin(t * theta^(-2j/D)),  j < D/2
 *
 * The backward pass rotates the other way. stride >= H*D lets q and k lie side by side in one
 * buffer; D is even. The angles depend on positions alone, so the caller keeps them in a table.
 */
#pragma once

#include <stdint.h>

struct backend;

/* cosine[T,D/2], sine[T,D/2]: computed in double, then rounded. */
void rope_table(float *cosine, float *sine, int64_t T, int64_t D, double theta);

typedef void rope_forward_fn(struct backend *backend, float *x, const float *cosine,
                             const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                             int64_t stride);
typedef rope_forward_fn rope_backward_fn;

void rope_forward_ref(double *x, int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                      double theta);
void rope_backward_ref(double *dx, int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                       double theta);
