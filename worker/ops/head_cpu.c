#include <math.h>

#include "worker/ops/cpu.h"
#include "worker/ops/exp.h"
#include "worker/ops/max.h"

/* The loss of one token. */
static double row_loss(const float *logits, uint32_t target, int64_t V)
{
    const float max = max_f32(logits, V);
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t v = 0; v < V; v++) {
        sum += exp_f32(logits[v] - max);
    }
    return log((double)sum) + ((double)max - (double)logits[target]);
}

/* The same, and dlogits[first …] from the logits, which are lost. */
static inline __attribute__((always_inline)) double row_loss_backward(void *dlogits, int64_t first,
                                                                      float *logits,
                                                                      uint32_t target,
                                                                      float grad_scale, int64_t V,
                                                                      enum dtype type)
{
    const float max = max_f32(logits, V);
    const double distance = (double)max - (double)logits[target];
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t v = 0; v < V; v++) {
        logits[v] = exp_f32(logits[v] - max);
        sum += logits[v];
    }
    const float factor = grad_scale / sum;
    const float at_target = logits[target] * factor - grad_scale;
#pragma omp simd
    for (int64_t v = 0; v < V; v++) {
        dtype_store(dlogits, first + v, logits[v] * factor, type);
    }
    dtype_store(dlogits, first + target, at_target, type);
    return log((double)sum) + distance;
}

/* Scratch of a chunk: losses[tokens], then logits[tokens,V], then dlogits where they lie apart. */
struct chunk {
    double *losses;
    float *logits;
    void *dlogits;
    int64_t tokens;
};

static bool chunk_init(struct chunk *chunk, struct backend *backend, int64_t N, int64_t V,
                       enum dtype type)
{
    const int64_t apart = type == DTYPE_BF16 ? (V + 1) / 2 : 0; /* in floats per token */
    chunk->tokens = cpu_min(N, head_chunk_tokens(V));
    chunk->losses = cpu_scratch(backend, chunk->tokens * (V + apart + 2), sizeof(float));
    chunk->logits = (float *)(void *)(chunk->losses + chunk->tokens);
    chunk->dlogits =
        type == DTYPE_BF16 ? (void *)(chunk->logits + chunk->tokens * V) : chunk->logits;
    return chunk->losses != NULL;
}

void AT_LEVEL(head_loss_cpu)(struct backend *backend, double *loss, const void *x, const void *w,
                             const uint32_t *targets, int64_t N, int64_t C, int64_t V,
                             enum dtype type)
{
    struct chunk chunk;
    *loss = 0.0;
    if (!chunk_init(&chunk, backend, N, V, type)) {
        return;
    }
    for (int64_t first = 0; first < N; first += chunk.tokens) {
        const int64_t tokens = cpu_min(chunk.tokens, N - first);
        cpu_gemm(backend, chunk.logits, dtype_at(x, first * C, type), w,
                 &(struct gemm_shape){
                     .m = tokens, .n = V, .k = C, .transpose_b = true, .operands = type});
        if (cpu_is_planning(backend)) {
            continue;
        }
#pragma omp parallel for num_threads(cpu_threads(backend, tokens *V)) schedule(static)
        for (int64_t n = 0; n < tokens; n++) {
            chunk.losses[n] = row_loss(chunk.logits + n * V, targets[first + n], V);
        }
        for (int64_t n = 0; n < tokens; n++) {
            *loss += chunk.losses[n];
        }
    }
}

/* Adds the losses of a chunk's tokens, and makes dlogits of their logits. */
static void differentiate(struct backend *backend, double *loss, const struct chunk *chunk,
                          const uint32_t *targets, float grad_scale, int64_t tokens, int64_t V,
                          enum dtype type)
{
#pragma omp parallel for num_threads(cpu_threads(backend, tokens *V)) schedule(static)
    for (int64_t n = 0; n < tokens; n++) {
        float *logits = chunk->logits + n * V;
        chunk->losses[n] = type == DTYPE_BF16
                               ? row_loss_backward(chunk->dlogits, n * V, logits, targets[n],
                                                   grad_scale, V, DTYPE_BF16)
                               : row_loss_backward(chunk->dlogits, n * V, logits, targets[n],
                                                   grad_scale, V, DTYPE_FP32);
    }
    for (int64_t n = 0; n < tokens; n++) {
        *loss += chunk->losses[n];
    }
}

void AT_LEVEL(head_loss_backward_cpu)(struct backend *backend, double *loss, void *dx, float *dw,
                                      const void *x, const void *w, const uint32_t *targets,
                                      float grad_scale, int64_t N, int64_t C, int64_t V,
                                      enum dtype type)
{
    struct chunk chunk;
    *loss = 0.0;
    if (!chunk_init(&chunk, backend, N, V, type)) {
        return;
    }
    for (int64_t first = 0; first < N; first += chunk.tokens) {
        const int64_t tokens = cpu_min(chunk.tokens, N - first);
        const void *x_first = dtype_at(x, first * C, type);
        cpu_gemm(backend, chunk.logits, x_first, w,
                 &(struct gemm_shape){
                     .m = tokens, .n = V, .k = C, .transpose_b = true, .operands = type});
        if (!cpu_is_planning(backend)) {
            differentiate(backend, loss, &chunk, targets + first, grad_scale, tokens, V, type);
        }
        cpu_gemm(
            backend, dtype_at_mut(dx, first * C, type), chunk.dlogits, w,
            &(struct gemm_shape){.m = tokens, .n = C, .k = V, .operands = type, .result = type});
        if (dw != NULL) {
            cpu_gemm(backend, dw, chunk.dlogits, x_first,
                     &(struct gemm_shape){.m = V,
                                          .n = C,
                                          .k = tokens,
                                          .transpose_a = true,
                                          .accumulate = true,
                                          .operands = type});
        }
    }
}
