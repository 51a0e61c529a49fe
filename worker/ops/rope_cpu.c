#include "worker/ops/cpu.h"

/* One row's heads, in pairs of features. */
static inline __attribute__((always_inline)) void rotate_row(void *x, int64_t row, const float *c,
                                                             const float *s, int64_t H, int64_t D,
                                                             float direction, enum dtype type)
{
    const int64_t half = D / 2;
    for (int64_t h = 0; h < H; h++) {
        const int64_t first = row + h * D;
        const int64_t second = first + half;
#pragma omp simd
        for (int64_t j = 0; j < half; j++) {
            const float first_j = dtype_load(x, first + j, type);
            const float second_j = dtype_load(x, second + j, type);
            const float s_j = direction * s[j];
            dtype_store(x, first + j, first_j * c[j] - second_j * s_j, type);
            dtype_store(x, second + j, second_j * c[j] + first_j * s_j, type);
        }
    }
}

/* Rotates row n's heads by direction (1 or -1) times the angles of its position. */
static inline void rotate(struct backend *backend, void *x, const float *cosine, const float *sine,
                          int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                          float direction, enum dtype type)
{
    const int64_t half = D / 2;
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *H *D)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const float *c = cosine + n % T * half;
        const float *s = sine + n % T * half;
        if (type == DTYPE_BF16) {
            rotate_row(x, n * stride, c, s, H, D, direction, DTYPE_BF16);
        } else {
            rotate_row(x, n * stride, c, s, H, D, direction, DTYPE_FP32);
        }
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
