/*
 * elementwise — what is done to every element of a buffer, and sums over all of them.
 *
 *     add            out = a + b        out may be a or b
 *     scale          x = x * factor     in place
 *     zero           x = +0
 *     copy           out = x
 *     round_bf16     out = x rounded to bf16, as struct bf16_rounding says
 *     sum_squares    sum x^2            in double, over blocks of ELEMENTWISE_BLOCK in order
 *     count_nonzero  elements that are neither +0 nor -0 (a NaN counts)
 *
 * n >= 0. sum_squares and count_nonzero overwrite *out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct backend;

/* Elements that one thread takes at a time. Part of what fixes the order of sums: where a buffer is
 * cut, and so which bits come out, depends on n alone. */
#define ELEMENTWISE_BLOCK 16384

typedef void add_fn(struct backend *backend, float *out, const float *a, const float *b, int64_t n);
typedef void scale_fn(struct backend *backend, float *x, float factor, int64_t n);
typedef void zero_fn(struct backend *backend, float *x, int64_t n);
typedef void copy_fn(struct backend *backend, float *out, const float *x, int64_t n);
/*
 * Stochastic rounding draws 16 bits per element: half-word i mod 8 of the block i / 8 (low half of
 * each word first) of rng_block(seed, stream, …), so that it is a pure function of these three.
 */
struct bf16_rounding {
    bool is_stochastic;
    uint64_t seed, stream; /* of the draws */
};
typedef void round_bf16_fn(struct backend *backend, uint16_t *out, const float *x, int64_t n,
                           const struct bf16_rounding *rounding);
typedef void sum_squares_fn(struct backend *backend, double *out, const float *x, int64_t n);
typedef void count_nonzero_fn(struct backend *backend, int64_t *out, const float *x, int64_t n);

double sum_squares_ref(const double *x, int64_t n);
