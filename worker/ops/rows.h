/*
 * rows — what low-rank adapters do to the rows and columns of matrices.
 *
 *     scale_rows       out[d,k] = scale * factor[d] * x[d,k]           factor may be NULL: 1
 *     add_scaled_rows  out[d,k] += factor[d] * x[d,k]
 *     row_norms        norm[d] = sqrt(sum over k of w[d,k]^2)
 *     normalise_rows   factor[d] = magnitude[d] / row_norms(w)[d];  w[d,k] = factor[d] * w[d,k]
 *     dot_columns      out[d] += sum over N of dy[N,d] * y[N,d] / divisor[d]
 *
 * The last two are DoRA's (Liu et al. 2024, eq. 5-6): W' = diag(m / ||V||) V, and with Y = X W'^T
 * the gradient of m, dm_o = (1/m_o) sum over tokens of dY_o Y_o. A row of zeros gets the factor 0,
 * a divisor of 0 no gradient.
 *
 * A norm is summed in double and rounded to fp32 before it divides, so that magnitude =
 * row_norms(w) gives the factor 1 exactly, and normalise_rows leaves every bit of w. Sums over
 * tokens are in double, in the tokens' order. dy is an operand of the given type; its rows are
 * stride elements apart, all others dense. out may be x; else no overlap.
 */
#pragma once

#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

typedef void scale_rows_fn(struct backend *backend, float *out, const float *x, const float *factor,
                           float scale, int64_t d, int64_t k);
typedef void add_scaled_rows_fn(struct backend *backend, float *out, const float *x,
                                const float *factor, int64_t d, int64_t k);
typedef void row_norms_fn(struct backend *backend, float *norm, const float *w, int64_t d,
                          int64_t k);
typedef void normalise_rows_fn(struct backend *backend, float *w, float *factor,
                               const float *magnitude, int64_t d, int64_t k);
typedef void dot_columns_fn(struct backend *backend, float *out, const void *dy, const float *y,
                            const float *divisor, int64_t N, int64_t d, int64_t stride,
                            enum dtype type);

void scale_rows_ref(double *out, const double *x, const double *factor, double scale, int64_t d,
                    int64_t k);
void add_scaled_rows_ref(double *out, const double *x, const double *factor, int64_t d, int64_t k);
void row_norms_ref(double *norm, const double *w, int64_t d, int64_t k);
void normalise_rows_ref(double *w, double *factor, const double *magnitude, int64_t d, int64_t k);
void dot_columns_ref(double *out, const double *dy, const double *y, const double *divisor,
                     int64_t N, int64_t d, int64_t stride);
