#include "worker/ops/cpu.h"
#include "worker/ops/exp.h"

void AT_LEVEL(swiglu_forward_cpu)(struct backend *backend, float *y, const float *gate,
                                  const float *up, int64_t N, int64_t F, int64_t stride)
{
#pragma omp parallel for num_threads(cpu_threads(backend, N *F)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        float *y_n = y + n * F;
        const float *gate_n = gate + n * stride;
        const float *up_n = up + n * stride;
#pragma omp simd
        for (int64_t f = 0; f < F; f++) {
            y_n[f] = gate_n[f] * up_n[f] / (1.0f + exp_f32(-gate_n[f]));
        }
    }
}

void AT_LEVEL(swiglu_backward_cpu)(struct backend *backend, float *dgate, float *dup,
                                   const float *dy, const float *gate, const float *up, int64_t N,
                                   int64_t F, int64_t stride)
{
#pragma omp parallel for num_threads(cpu_threads(backend, N *F)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        float *dgate_n = dgate + n * stride;
        float *dup_n = dup + n * stride;
        const float *dy_n = dy + n * F;
        const float *gate_n = gate + n * stride;
        const float *up_n = up + n * stride;
#pragma omp simd
        for (int64_t f = 0; f < F; f++) {
            float g = gate_n[f];
            float u = up_n[f];
            float sigma = 1.0f / (1.0f + exp_f32(-g));
            dup_n[f] = dy_n[f] * g * sigma;
            dgate_n[f] = dy_n[f] * u * sigma * (1.0f + g * (1.0f - sigma));
        }
    }
}
