#include <math.h>
#include <string.h>

#include "worker/ops/cpu.h"

void AT_LEVEL(scale_rows_cpu)(struct backend *backend, float *out, const float *x,
                              const float *factor, float scale, int64_t d, int64_t k)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, d *k)) schedule(static)
    for (int64_t o = 0; o < d; o++) {
        const float by = factor == NULL ? scale : scale * factor[o];
#pragma omp simd
        for (int64_t j = 0; j < k; j++) {
            out[o * k + j] = by * x[o * k + j];
        }
    }
}

void AT_LEVEL(add_scaled_rows_cpu)(struct backend *backend, float *out, const float *x,
                                   const float *factor, int64_t d, int64_t k)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, d *k)) schedule(static)
    for (int64_t o = 0; o < d; o++) {
#pragma omp simd
        for (int64_t j = 0; j < k; j++) {
            out[o * k + j] += factor[o] * x[o * k + j];
        }
    }
}

/* The norm of a row, rounded to fp32. */
static float row_norm(const float *w_o, int64_t k)
{
    double sum = 0.0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < k; j++) {
        sum += (double)w_o[j] * (double)w_o[j];
    }
    return (float)sqrt(sum);
}

void AT_LEVEL(row_norms_cpu)(struct backend *backend, float *norm, const float *w, int64_t d,
                             int64_t k)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, d *k)) schedule(static)
    for (int64_t o = 0; o < d; o++) {
        norm[o] = row_norm(w + o * k, k);
    }
}

void AT_LEVEL(normalise_rows_cpu)(struct backend *backend, float *w, float *factor,
                                  const float *magnitude, int64_t d, int64_t k)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, d *k)) schedule(static)
    for (int64_t o = 0; o < d; o++) {
        float *w_o = w + o * k;
        const float norm = row_norm(w_o, k);
        const float by = norm == 0.0f ? 0.0f : magnitude[o] / norm;
#pragma omp simd
        for (int64_t j = 0; j < k; j++) {
            w_o[j] *= by;
        }
        factor[o] = by;
    }
}

/* The type is a constant where it is called. */
static inline __attribute__((always_inline)) void dot_block(double *sum, const void *dy,
                                                            const float *y, int64_t first,
                                                            int64_t count, int64_t N, int64_t d,
                                                            int64_t stride, enum dtype type)
{
    for (int64_t n = 0; n < N; n++) {
        const float *y_n = y + n * d + first;
        for (int64_t c = 0; c < count; c++) {
            sum[c] += (double)dtype_load(dy, n * stride + first + c, type) * (double)y_n[c];
        }
    }
}

void AT_LEVEL(dot_columns_cpu)(struct backend *backend, float *out, const void *dy, const float *y,
                               const float *divisor, int64_t N, int64_t d, int64_t stride,
                               enum dtype type)
{
    enum { COLUMNS = 64 };
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *d)) schedule(static)
    for (int64_t first = 0; first < d; first += COLUMNS) {
        const int64_t count = cpu_min(COLUMNS, d - first);
        double sum[COLUMNS] = {0.0};
        if (type == DTYPE_BF16) {
            dot_block(sum, dy, y, first, count, N, d, stride, DTYPE_BF16);
        } else {
            dot_block(sum, dy, y, first, count, N, d, stride, DTYPE_FP32);
        }
        for (int64_t c = 0; c < count; c++) {
            if (divisor[first + c] != 0.0f) {
                out[first + c] += (float)(sum[c] / (double)divisor[first + c]);
            }
        }
    }
}
