#include "worker/ops/cpu.h"
#include "worker/ops/exp.h"

static inline __attribute__((always_inline)) void forward_row(void *y, int64_t y_first,
                                                              const void *gate, const void *up,
                                                              int64_t first, int64_t F,
                                                              enum dtype type)
{
#pragma omp simd
    for (int64_t f = 0; f < F; f++) {
        const float g = dtype_load(gate, first + f, type);
        const float u = dtype_load(up, first + f, type);
        dtype_store(y, y_first + f, g * u / (1.0f + exp_f32(-g)), type);
    }
}

void AT_LEVEL(swiglu_forward_cpu)(struct backend *backend, void *y, const void *gate,
                                  const void *up, int64_t N, int64_t F, int64_t stride,
                                  enum dtype type)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *F)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        if (type == DTYPE_BF16) {
            forward_row(y, n * F, gate, up, n * stride, F, DTYPE_BF16);
        } else {
            forward_row(y, n * F, gate, up, n * stride, F, DTYPE_FP32);
        }
    }
}

static inline __attribute__((always_inline)) void backward_row(void *dgate, void *dup,
                                                               const void *dy, int64_t dy_first,
                                                               const void *gate, const void *up,
                                                               int64_t first, int64_t F,
                                                               enum dtype type)
{
#pragma omp simd
    for (int64_t f = 0; f < F; f++) {
        const float g = dtype_load(gate, first + f, type);
        const float u = dtype_load(up, first + f, type);
        const float dy_f = dtype_load(dy, dy_first + f, type);
        const float sigma = 1.0f / (1.0f + exp_f32(-g));
        dtype_store(dup, first + f, dy_f * g * sigma, type);
        dtype_store(dgate, first + f, dy_f * u * sigma * (1.0f + g * (1.0f - sigma)), type);
    }
}

void AT_LEVEL(swiglu_backward_cpu)(struct backend *backend, void *dgate, void *dup, const void *dy,
                                   const void *gate, const void *up, int64_t N, int64_t F,
                                   int64_t stride, enum dtype type)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *F)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        if (type == DTYPE_BF16) {
            backward_row(dgate, dup, dy, n * F, gate, up, n * stride, F, DTYPE_BF16);
        } else {
            backward_row(dgate, dup, dy, n * F, gate, up, n * stride, F, DTYPE_FP32);
        }
    }
}
