#include "worker/ops/truncation.h"

void truncation_expand_ref(double *e, const double *m, int64_t d, int64_t k, int64_t r_hat)
{
    for (int64_t o = 0; o < d; o++) {
        for (int64_t j = 0; j < k; j++) {
            e[o * k + j] = o < r_hat && j < r_hat ? m[o * r_hat + j] : 0.0;
        }
    }
}

void truncation_side_forward_ref(double *y, const double *x, const double *m, int64_t N, int64_t d,
                                 int64_t k, int64_t r_hat)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t o = 0; o < r_hat; o++) {
            for (int64_t j = 0; j < r_hat; j++) {
                y[n * d + o] += m[o * r_hat + j] * x[n * k + j];
            }
        }
    }
}

void truncation_side_backward_ref(double *dx, double *dm, const double *dy, const double *x,
                                  const double *m, int64_t N, int64_t d, int64_t k, int64_t r_hat)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t o = 0; o < r_hat; o++) {
            for (int64_t j = 0; j < r_hat; j++) {
                dm[o * r_hat + j] += dy[n * d + o] * x[n * k + j];
                dx[n * k + j] += m[o * r_hat + j] * dy[n * d + o];
            }
        }
    }
}
