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

/* The same, and logits become dlogits. */
static double row_loss_backward(float *logits, uint32_t target, float grad_scale, int64_t V)
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
#pragma omp simd
    for (int64_t v = 0; v < V; v++) {
        logits[v] *= factor;
    }
    logits[target] -= grad_scale;
    return log((double)sum) + distance;
}

/* Scratch of a chunk: losses[tokens], then logits[tokens,V]. */
struct chunk {
    double *losses;
    float *logits;
    int64_t tokens;
};

static bool chunk_init(struct chunk *chunk, struct backend *backend, int64_t N, int64_t V)
{
    chunk->tokens = cpu_min(N, head_chunk_tokens(V));
    chunk->losses = cpu_scratch(backend, chunk->tokens * (V + 2), sizeof(float));
    chunk->logits = (float *)(void *)(chunk->losses + chunk->tokens);
    return chunk->losses != NULL;
}

void AT_LEVEL(head_loss_cpu)(struct backend *backend, double *loss, const float *x, const float *w,
                             const uint32_t *targets, int64_t N, int64_t C, int64_t V)
{
    struct chunk chunk;
    *loss = 0.0;
    if (!chunk_init(&chunk, backend, N, V)) {
        return;
    }
    for (int64_t first = 0; first < N; first += chunk.tokens) {
        const int64_t tokens = cpu_min(chunk.tokens, N - first);
        cpu_gemm(backend, chunk.logits, x + first * C, w,
                 &(struct gemm_shape){.m = tokens, .n = V, .k = C, .transpose_b = true});
#pragma omp parallel for num_threads(cpu_threads(backend, tokens *V)) schedule(static)
        for (int64_t n = 0; n < tokens; n++) {
            chunk.losses[n] = row_loss(chunk.logits + n * V, targets[first + n], V);
        }
        for (int64_t n = 0; n < tokens; n++) {
            *loss += chunk.losses[n];
        }
    }
}

void AT_LEVEL(head_loss_backward_cpu)(struct backend *backend, double *loss, float *dx, float *dw,
                                      const float *x, const float *w, const uint32_t *targets,
                                      float grad_scale, int64_t N, int64_t C, int64_t V)
{
    struct chunk chunk;
    *loss = 0.0;
    if (!chunk_init(&chunk, backend, N, V)) {
        return;
    }
    for (int64_t first = 0; first < N; first += chunk.tokens) {
        const int64_t tokens = cpu_min(chunk.tokens, N - first);
        cpu_gemm(backend, chunk.logits, x + first * C, w,
                 &(struct gemm_shape){.m = tokens, .n = V, .k = C, .transpose_b = true});
#pragma omp parallel for num_threads(cpu_threads(backend, tokens *V)) schedule(static)
        for (int64_t n = 0; n < tokens; n++) {
            chunk.losses[n] =
                row_loss_backward(chunk.logits + n * V, targets[first + n], grad_scale, V);
        }
        for (int64_t n = 0; n < tokens; n++) {
            *loss += chunk.losses[n];
        }
        cpu_gemm(backend, dx + first * C, chunk.logits, w,
                 &(struct gemm_shape){.m = tokens, .n = C, .k = V});
        if (dw != NULL) {
            cpu_gemm(backend, dw, chunk.logits, x + first * C,
                     &(struct gemm_shape){
                         .m = V, .n = C, .k = tokens, .transpose_a = true, .accumulate = true});
        }
    }
}
