#include "worker/ops/rmsnorm.h"

#include <math.h>

void rmsnorm_forward_ref(double *y, double *rstd, const double *x, const double *gain, int64_t N,
                         int64_t C, double eps)
{
    for (int64_t n = 0; n < N; n++) {
        const double *x_n = x + n * C;
        double sum_sq = 0.0;
        for (int64_t c = 0; c < C; c++) {
            sum_sq += x_n[c] * x_n[c];
        }
        rstd[n] = 1.0 / sqrt(sum_sq / (double)C + eps);
        for (int64_t c = 0; c < C; c++) {
            y[n * C + c] = x_n[c] * rstd[n] * gain[c];
        }
    }
}

void rmsnorm_backward_ref(double *dx, double *dgain, const double *dy, const double *x,
                          const double *rstd, const double *gain, int64_t N, int64_t C,
                          bool accumulate)
{
    for (int64_t n = 0; n < N; n++) {
        const double *x_n = x + n * C;
        const double *dy_n = dy + n * C;
        double mean = 0.0;
        for (int64_t c = 0; c < C; c++) {
            mean += dy_n[c] * gain[c] * x_n[c] * rstd[n] / (double)C;
        }
        for (int64_t c = 0; c < C; c++) {
            double x_hat = x_n[c] * rstd[n];
            double dx_nc = rstd[n] * (dy_n[c] * gain[c] - x_hat * mean);
            dx[n * C + c] = accumulate ? dx[n * C + c] + dx_nc : dx_nc;
            dgain[c] += dy_n[c] * x_hat;
        }
    }
}
