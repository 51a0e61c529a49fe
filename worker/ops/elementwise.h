/*
 * elementwise — what is done to every element of a buffer, and sums over all of them.
 *
 *     add            out = a + b        out may be a or b
 *     scale          x = x * factor     in place
 *     zero           x = +0
 *     copy           out = x
 *     sum_squares    sum x^2            in double, over blocks of ELEMENTWISE_BLOCK in order
 *     count_nonzero  elements that are neither +0 nor -0 (a NaN counts)
 *
 * n >= 0. sum_squares and count_nonzero overwrite *out.
 */
#pragma once

#include <stdint.h>

struct backend;

/* Elements that one thread takes at a time. Part of what fixes the order of sums: where a buffer is
 * cut, and so which bits come out, depends on n alone. */
#define ELEMENTWISE_BLOCK 16384

typedef void add_fn(struct backend *backend, float *out, const float *a, const float *b, int64_t n);
typedef void scale_fn(struct backend *backend, float *x, float factor, int64_t n);
typedef void zero_fn(struct backend *backend, float *x, int64_t n);
typedef void copy_fn(struct backend *backend, float *out, const float *x, int64_t n);
typedef void sum_squares_fn(struct backend *backend, double *out, const float *x, int64_t n);
typedef void count_nonzero_fn(struct backend *backend, int64_t *out, const float *x, int64_t n);

double sum_squares_ref(const double *x, int64_t n);
