/*
 * rmsnorm — scaling of each token's vector to unit root mean square (Zhang & Sennrich 2019, eq. 4).
 *
 *     y[N,C], rstd[N] <- x[N,C], gain[C]:  y = x * rstd * gain,  rstd = 1 / sqrt(mean_C(x^2) + eps)
 *
 * With an update[N,C] the residual addition before the norm is done in the same pass: sum[N,C] =
 * x + update is what is normed, and sum may be update. Without one (NULL) sum is not touched, and
 * the norm of a stored sum has the bits that it had then. rstd is kept for the backward pass. With
 * x_hat = x * rstd and g = dy * gain,
 *
 *     dx    = rstd * (g - x_hat * mean_C(g * x_hat))   overwritten, or added to with accumulate
 *     dgain += sum_N(dy * x_hat)                       unless it is NULL
 *
 * With accumulate the gradient that runs beside the norm on the residual path is already in dx. y
 * and dy are operands; where they are bf16, dx_operand[N,C] becomes dx rounded to it, the operand
 * of the products that follow. No other overlap.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

typedef void rmsnorm_forward_fn(struct backend *backend, void *y, float *rstd, float *sum,
                                const float *x, const float *update, const float *gain, int64_t N,
                                int64_t C, float eps, enum dtype type);
typedef void rmsnorm_backward_fn(struct backend *backend, float *dx, void *dx_operand, float *dgain,
                                 const void *dy, const float *x, const float *rstd,
                                 const float *gain, int64_t N, int64_t C, bool accumulate,
                                 enum dtype type);

void rmsnorm_forward_ref(double *y, double *rstd, const double *x, const double *gain, int64_t N,
                         int64_t C, double eps);
void rmsnorm_backward_ref(double *dx, double *dgain, const double *dy, const double *x,
                          const double *rstd, const double *gain, int64_t N, int64_t C,
                          bool accumulate);
