#include <string.h>

#include "proto/base/rng.h"
#include "worker/ops/cpu.h"

enum { BLOCK = ELEMENTWISE_BLOCK };

void AT_LEVEL(add_cpu)(struct backend *backend, float *out, const float *a, const float *b,
                       int64_t n)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t end = cpu_min(n, first + BLOCK);
#pragma omp simd
        for (int64_t i = first; i < end; i++) {
            out[i] = a[i] + b[i];
        }
    }
}

void AT_LEVEL(scale_cpu)(struct backend *backend, float *x, float factor, int64_t n)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t end = cpu_min(n, first + BLOCK);
#pragma omp simd
        for (int64_t i = first; i < end; i++) {
            x[i] *= factor;
        }
    }
}

void AT_LEVEL(zero_cpu)(struct backend *backend, float *x, int64_t n)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t first = 0; first < n; first += BLOCK) {
        memset(x + first, 0, (size_t)cpu_min(BLOCK, n - first) * sizeof *x);
    }
}

void AT_LEVEL(copy_cpu)(struct backend *backend, float *out, const float *x, int64_t n)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t first = 0; first < n; first += BLOCK) {
        memcpy(out + first, x + first, (size_t)cpu_min(BLOCK, n - first) * sizeof *out);
    }
}

/* 8 elements from a block of draws (Salmon et al. 2011, as rng_block); n of them are there. */
static void round_stochastic(uint16_t *out, const float *x, int64_t n, int64_t block,
                             const struct bf16_rounding *rounding)
{
    uint32_t words[4];
    rng_block(words, rounding->seed, rounding->stream, (uint64_t)block);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t word = words[i / 2];
        out[i] = bf16_round_stochastic(x[i], i % 2 == 0 ? word & 0xFFFF : word >> 16);
    }
}

void AT_LEVEL(round_bf16_cpu)(struct backend *backend, uint16_t *out, const float *x, int64_t n,
                              const struct bf16_rounding *rounding)
{
    enum { DRAWS = 8 };
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t end = cpu_min(n, first + BLOCK);
        if (rounding->is_stochastic) {
            for (int64_t i = first; i < end; i += DRAWS) {
                round_stochastic(out + i, x + i, cpu_min(DRAWS, end - i), i / DRAWS, rounding);
            }
            continue;
        }
#pragma omp simd
        for (int64_t i = first; i < end; i++) {
            out[i] = bf16_round(x[i]);
        }
    }
}

void AT_LEVEL(sum_squares_cpu)(struct backend *backend, double *out, const float *x, int64_t n)
{
    const int64_t blocks = cpu_ceil_div(n, BLOCK);
    double *partial = cpu_scratch(backend, blocks, sizeof *partial);
    *out = 0.0;
    if (partial == NULL || cpu_is_planning(backend)) {
        return;
    }

#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t end = cpu_min(n, (block + 1) * BLOCK);
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = block * BLOCK; i < end; i++) {
            sum += (double)x[i] * (double)x[i];
        }
        partial[block] = sum;
    }
    for (int64_t block = 0; block < blocks; block++) {
        *out += partial[block];
    }
}

void AT_LEVEL(count_nonzero_cpu)(struct backend *backend, int64_t *out, const float *x, int64_t n)
{
    int64_t total = 0; /* integers may be summed in any order */
    *out = 0;
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static) reduction(+ : total)
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t end = cpu_min(n, first + BLOCK);
        int32_t count = 0;
#pragma omp simd reduction(+ : count)
        for (int64_t i = first; i < end; i++) {
            count += x[i] != 0.0f;
        }
        total += count;
    }
    *out = total;
}
