/*
 * rope — rotary position embedding (Su et al. 2021, eq. 34), in the half-split pairing of Hugging
 * Face's LLaMA: feature j of a head is paired with j + D/2, not with its neighbour.
 *
 * In place on the operand x, N = B*T rows of H heads of D features, row n being at x + n*stride and
 * at position t = n mod T:
 *
 *     x[j], x[j+D/2]  <-  x[j] c - x[j+D/2] s,  x[j+D/2] c + x[j] s
 *     c = cos(t f_j),  s = sin(t f_j),  f_j = theta^(-2j/D),  j < D/2
 *
 * The backward pass rotates the other way. stride >= H*D lets q and k lie side by side in one
 * buffer; D is even. The angles depend on positions alone, so the caller keeps them in a table.
 *
 * Llama 3 stretches the frequencies that the original context is too short for (Dubey et al. 2024;
 * as in transformers, rope_type llama3). With the wavelength w = 2 pi / f and the original context
 * P, f stays where w < P / high, becomes f / factor where w > P / low, and between is
 *
 *     (1 - m) f / factor + m f,   m = (P / w - low) / (high - low)
 */
#pragma once

#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

/* What the angles are made from. factor 0: no scaling, and the rest is not read. */
struct rope_angles {
    double theta;
    double factor; /* >= 1 */
    double low_freq_factor;
    double high_freq_factor; /* above low_freq_factor */
    double original_max_position_embeddings;
};

/* f_j of D/2. */
double rope_frequency(const struct rope_angles *angles, int64_t j, int64_t D);

/* cosine[T,D/2], sine[T,D/2]: computed in double, then rounded. */
void rope_table(float *cosine, float *sine, int64_t T, int64_t D, const struct rope_angles *angles);

typedef void rope_forward_fn(struct backend *backend, void *x, const float *cosine,
                             const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                             int64_t stride, enum dtype type);
typedef rope_forward_fn rope_backward_fn;

void rope_forward_ref(double *x, int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                      const struct rope_angles *angles);
void rope_backward_ref(double *dx, int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                       const struct rope_angles *angles);
