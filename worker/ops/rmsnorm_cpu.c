#include <math.h>
#include <string.h>

#include "worker/ops/cpu.h"

/* Tokens whose share of dgain is summed together. */
enum { TOKENS = 64 };

/* sum[C] = x + update, and the sum of its squares. */
static float add_update(float *sum, const float *x, const float *update, int64_t C)
{
    float sum_sq = 0.0f;
#pragma omp simd reduction(+ : sum_sq)
    for (int64_t c = 0; c < C; c++) {
        const float value = x[c] + update[c];
        sum[c] = value;
        sum_sq += value * value;
    }
    return sum_sq;
}

static float sum_of_squares(const float *x, int64_t C)
{
    float sum_sq = 0.0f;
#pragma omp simd reduction(+ : sum_sq)
    for (int64_t c = 0; c < C; c++) {
        sum_sq += x[c] * x[c];
    }
    return sum_sq;
}

static inline __attribute__((always_inline)) void scale_row(void *y, int64_t first, const float *x,
                                                            float rstd, const float *gain,
                                                            int64_t C, enum dtype type)
{
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        dtype_store(y, first + c, x[c] * rstd * gain[c], type);
    }
}

void AT_LEVEL(rmsnorm_forward_cpu)(struct backend *backend, void *y, float *rstd, float *sum,
                                   const float *x, const float *update, const float *gain,
                                   int64_t N, int64_t C, float eps, enum dtype type)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *C)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const float *in = update == NULL ? x + n * C : sum + n * C;
        const float sum_sq = update == NULL ? sum_of_squares(in, C)
                                            : add_update(sum + n * C, x + n * C, update + n * C, C);
        const float rstd_n = 1.0f / sqrtf(sum_sq / (float)C + eps);
        rstd[n] = rstd_n;
        if (type == DTYPE_BF16) {
            scale_row(y, n * C, in, rstd_n, gain, C, DTYPE_BF16);
        } else {
            scale_row(y, n * C, in, rstd_n, gain, C, DTYPE_FP32);
        }
    }
}

/* One token: dx_n, and its term of dgain. dx_operand, where there is one, is dx once more. */
static inline __attribute__((always_inline)) void backward_token(float *dx_n, void *dx_operand,
                                                                 float *dgain, const void *dy,
                                                                 int64_t first, const float *x_n,
                                                                 float rstd_n, const float *gain,
                                                                 int64_t C, enum dtype type)
{
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < C; c++) {
        sum += dtype_load(dy, first + c, type) * gain[c] * x_n[c];
    }
    const float mean = sum * rstd_n / (float)C;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        const float dy_c = dtype_load(dy, first + c, type);
        const float x_hat = x_n[c] * rstd_n;
        dgain[c] += dy_c * x_hat;
        const float dx = dx_n[c] + rstd_n * (dy_c * gain[c] - x_hat * mean);
        dx_n[c] = dx;
        if (type == DTYPE_BF16) {
            dtype_store(dx_operand, first + c, dx, type);
        }
    }
}

void AT_LEVEL(rmsnorm_backward_cpu)(struct backend *backend, float *dx, void *dx_operand,
                                    float *dgain, const void *dy, const float *x, const float *rstd,
                                    const float *gain, int64_t N, int64_t C, bool accumulate,
                                    enum dtype type)
{
    const int64_t blocks = cpu_ceil_div(N, TOKENS);
    float *partial = cpu_scratch(backend, blocks * C, sizeof *partial);
    if (partial == NULL || cpu_is_planning(backend)) {
        return;
    }

#pragma omp parallel for num_threads(cpu_threads(backend, N *C)) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        float *partial_dgain = partial + block * C;
        memset(partial_dgain, 0, (size_t)C * sizeof *partial_dgain);
        for (int64_t n = block * TOKENS; n < cpu_min(N, (block + 1) * TOKENS); n++) {
            if (!accumulate) {
                memset(dx + n * C, 0, (size_t)C * sizeof *dx);
            }
            if (type == DTYPE_BF16) {
                backward_token(dx + n * C, dx_operand, partial_dgain, dy, n * C, x + n * C, rstd[n],
                               gain, C, DTYPE_BF16);
            } else {
                backward_token(dx + n * C, NULL, partial_dgain, dy, n * C, x + n * C, rstd[n], gain,
                               C, DTYPE_FP32);
            }
        }
    }
    for (int64_t block = 0; dgain != NULL && block < blocks; block++) {
#pragma omp simd
        for (int64_t c = 0; c < C; c++) {
            dgain[c] += partial[block * C + c];
        }
    }
}
