/*
 * rmsnorm — scaling of each token's vector to unit root mean square (Zhang & Sennrich 2019, eq. 4).
 *
 *     y[N,C], rstd[N] <- x[N,C], gain[C]:  y = x * rstd * gain,  rstd = 1 / sqrt(mean_C(x^2) + eps)
 *
 * rstd is kept for the backward pass. With x_hat = x * rstd and g = dy * gain,
 *
 *     dx    = rstd * (g - x_hat * mean_C(g * x_hat))   overwritten, or added to with accumulate
 *     dgain += sum_N(dy * x_hat)
 *
 * No overlap. With accumulate the gradient that runs beside the norm on the residual path is
 * already in dx.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct backend;

typedef void rmsnorm_forward_fn(struct backend *backend, float *y, float *rstd, const float *x,
                                const float *gain, int64_t N, int64_t C, float eps);
typedef void rmsnorm_backward_fn(struct backend *backend, float *dx, float *dgain, const float *dy,
                                 const float *x, const float *rstd, const float *gain, int64_t N,
                                 int64_t C, bool accumulate);

void rmsnorm_forward_ref(double *y, double *rstd, const double *x, const double *gain, int64_t N,
                         int64_t C, double eps);
void rmsnorm_backward_ref(double *dx, double *dgain, const double *dy, const double *x,
                          const double *rstd, const double *gain, int64_t N, int64_t C,
                          bool accumulate);
