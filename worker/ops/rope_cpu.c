#include <omp.h>

#include "worker/ops/cpu.h"

/* One row's heads, in pairs of features; out may be x. */
static void rotate_row(float *out, const float *x, const float *c, const float *s, int64_t H,
                       int64_t D, float direction)
{
    const int64_t half = D / 2;
    for (int64_t h = 0; h < H; h++) {
        const float *first = x + h * D;
        const float *second = first + half;
        float *out_first = out + h * D;
        float *out_second = out_first + half;
#pragma omp simd
        for (int64_t j = 0; j < half; j++) {
            const float first_j = first[j];
            const float second_j = second[j];
            const float s_j = direction * s[j];
            out_first[j] = first_j * c[j] - second_j * s_j;
            out_second[j] = second_j * c[j] + first_j * s_j;
        }
    }
}

/* Rotates row n's heads by direction (1 or -1) times the angles of its position. Heads are too
 * short for vectors of bf16, rows are not. */
static inline void rotate(struct backend *backend, void *x, const float *cosine, const float *sine,
                          int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                          float direction, enum dtype type)
{
    const int64_t half = D / 2;
    const struct cpu_rows rows = cpu_rows(backend, H * D, H * D, 0, type);
    if (!rows.ok || cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *H *D)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const float *x_n = cpu_row_in(&rows, omp_get_thread_num(), x, n, stride);
        float *out_n = cpu_row_out(&rows, omp_get_thread_num(), x, n * stride);
        rotate_row(out_n, x_n, cosine + n % T * half, sine + n % T * half, H, D, direction);
        cpu_row_store(&rows, x, n * stride, out_n);
    }
}

void AT_LEVEL(rope_forward_cpu)(struct backend *backend, void *x, const float *cosine,
                                const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                                int64_t stride, enum dtype type)
{
    rotate(backend, x, cosine, sine, N, T, H, D, stride, 1.0f, type);
}

void AT_LEVEL(rope_backward_cpu)(struct backend *backend, void *dx, const float *cosine,
                                 const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                                 int64_t stride, enum dtype type)
{
    rotate(backend, dx, cosine, sine, N, T, H, D, stride, -1.0f, type);
}
