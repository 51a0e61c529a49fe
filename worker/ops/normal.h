/*
 * normal — standard normal numbers by the million, for the start of a run.
 *
 *     out[n] <- deviation * z_i,  z_i a pure function of (seed, stream, i)
 *
 * Box & Muller 1958 over the words of Philox blocks (proto/base/rng.h), two pairs a block: with
 * words w0 … w3 of block b, u = ((w >> 8) + 1) / 2^24 and t = (w >> 8) / 2^24 - 1/2,
 *
 *     z_4b,   z_4b+1 = sqrt(-2 ln u(w0)) (cos, sin)(2 pi t(w1))
 *     z_4b+2, z_4b+3 = sqrt(-2 ln u(w2)) (cos, sin)(2 pi t(w3))
 *
 * in fp32, without fused operations: the same bits at every instruction-set level. No number is
 * beyond 5.8; each is within 1e-5 of what the formula gives in double.
 */
#pragma once

#include <stdint.h>

struct backend;

typedef void fill_normal_fn(struct backend *backend, float *out, int64_t n, float deviation,
                            uint64_t seed, uint64_t stream);

double normal_ref(uint64_t seed, uint64_t stream, uint64_t index);
