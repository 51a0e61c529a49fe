#include "worker/ops/cpu.h"

/* Rotates row n's heads by direction (1 or -1) times the angles of its position. */
static inline void rotate(struct backend *backend, float *x, const float *cosine, const float *sine,
                          int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                          float direction)
{
    const int64_t half = D / 2;
#pragma omp parallel for num_threads(cpu_threads(backend, N *H *D)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const float *c = cosine + n % T * half;
        const float *s = sine + n % T * half;
        for (int64_t h = 0; h < H; h++) {
            float *first = x + n * stride + h * D;
            float *second = first + half;
#pragma omp simd
            for (int64_t j = 0; j < half; j++) {
                float first_j = first[j];
                float second_j = second[j];
                float s_j = direction * s[j];
                first[j] = first_j * c[j] - second_j * s_j;
                second[j] = second_j * c[j] + first_j * s_j;
            }
        }
    }
}

void AT_LEVEL(rope_forward_cpu)(struct backend *backend, float *x, const float *cosine,
                                const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                                int64_t stride)
{
    rotate(backend, x, cosine, sine, N, T, H, D, stride, 1.0f);
}

void AT_LEVEL(rope_backward_cpu)(struct backend *backend, float *dx, const float *cosine,
                                 const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                                 int64_t stride)
{
    rotate(backend, dx, cosine, sine, N, T, H, D, stride, -1.0f);
}
