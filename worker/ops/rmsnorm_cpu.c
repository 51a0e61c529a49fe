#include <math.h>
#include <string.h>

#include "worker/ops/cpu.h"

/* Tokens whose share of dgain is summed together. */
enum { TOKENS = 64 };

void AT_LEVEL(rmsnorm_forward_cpu)(struct backend *backend, float *y, float *rstd, const float *x,
                                   const float *gain, int64_t N, int64_t C, float eps)
{
#pragma omp parallel for num_threads(cpu_threads(backend, N *C)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const float *x_n = x + n * C;
        float *y_n = y + n * C;
        float sum_sq = 0.0f;
#pragma omp simd reduction(+ : sum_sq)
        for (int64_t c = 0; c < C; c++) {
            sum_sq += x_n[c] * x_n[c];
        }
        const float rstd_n = 1.0f / sqrtf(sum_sq / (float)C + eps);
        rstd[n] = rstd_n;
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            y_n[c] = x_n[c] * rstd_n * gain[c];
        }
    }
}

/* One token: dx_n, and its term of dgain. */
static void backward_token(float *dx_n, float *dgain, const float *dy_n, const float *x_n,
                           float rstd_n, const float *gain, int64_t C, bool accumulate)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < C; c++) {
        sum += dy_n[c] * gain[c] * x_n[c];
    }
    const float mean = sum * rstd_n / (float)C;
    if (!accumulate) {
        memset(dx_n, 0, (size_t)C * sizeof *dx_n);
    }
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        float x_hat = x_n[c] * rstd_n;
        dgain[c] += dy_n[c] * x_hat;
        dx_n[c] += rstd_n * (dy_n[c] * gain[c] - x_hat * mean);
    }
}

void AT_LEVEL(rmsnorm_backward_cpu)(struct backend *backend, float *dx, float *dgain,
                                    const float *dy, const float *x, const float *rstd,
                                    const float *gain, int64_t N, int64_t C, bool accumulate)
{
    const int64_t blocks = cpu_ceil_div(N, TOKENS);
    float *partial = cpu_scratch(backend, blocks * C, sizeof *partial);
    if (partial == NULL) {
        return;
    }

#pragma omp parallel for num_threads(cpu_threads(backend, N *C)) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        float *partial_dgain = partial + block * C;
        memset(partial_dgain, 0, (size_t)C * sizeof *partial_dgain);
        for (int64_t n = block * TOKENS; n < cpu_min(N, (block + 1) * TOKENS); n++) {
            backward_token(dx + n * C, partial_dgain, dy + n * C, x + n * C, rstd[n], gain, C,
                           accumulate);
        }
    }
    for (int64_t block = 0; block < blocks; block++) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            dgain[c] += partial[block * C + c];
        }
    }
}
