#include <string.h>

#include "proto/base/rng.h"
#include "worker/ops/cpu.h"

void AT_LEVEL(moments_keep_random_cpu)(struct backend *backend, float *exp_avg, float *exp_avg_sq,
                                       int64_t n, double ratio, uint64_t seed, uint64_t stream)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t e = 0; e < n; e++) {
        if (rng_uniform(seed, stream, (uint64_t)e) < ratio) {
            exp_avg[e] = 0.0f;
            exp_avg_sq[e] = 0.0f;
        }
    }
}

/* |x| as an integer that orders like it. */
static uint32_t magnitude_bits(float x)
{
    uint32_t bits = 0;

    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7FFFFFFFU;
}

/* Counts the elements of x whose bits above `shift + 11` are those of prefix, by the 11 below. */
static void count_digits(int64_t counts[2048], const float *x, int64_t n, uint32_t prefix,
                         int shift)
{
    memset(counts, 0, 2048 * sizeof counts[0]);
    for (int64_t e = 0; e < n; e++) {
        const uint64_t bits = magnitude_bits(x[e]);
        if (bits >> (shift + 11) == prefix) {
            counts[bits >> shift & 2047U]++;
        }
    }
}

/* The magnitude of the keep-th largest element, keep >= 1, digit by digit from the top; *ties_out
 * is how many elements of just that magnitude are among the keep largest. */
static uint32_t select_magnitude(const float *x, int64_t n, int64_t keep, int64_t *ties_out)
{
    int64_t counts[2048];
    uint32_t prefix = 0;

    for (int shift = 22; shift >= 0; shift -= 11) {
        uint32_t digit = 2047;
        count_digits(counts, x, n, prefix, shift);
        while (counts[digit] < keep) {
            keep -= counts[digit--];
        }
        prefix = prefix << 11 | digit;
    }
    *ties_out = keep;
    return prefix;
}

/* In one thread: it is done once in a cycle, and counting takes few operations an element. */
void AT_LEVEL(moments_keep_largest_cpu)(struct backend *backend, float *exp_avg, float *exp_avg_sq,
                                        int64_t n, int64_t keep)
{
    int64_t ties = 0;
    if (cpu_is_planning(backend)) {
        return;
    }
    const uint32_t bound = keep > 0 ? select_magnitude(exp_avg, n, keep, &ties) : UINT32_MAX;
    for (int64_t e = 0; e < n; e++) {
        const uint32_t bits = magnitude_bits(exp_avg[e]);
        const bool is_tie = bits == bound;
        if (bits < bound || (is_tie && ties == 0)) {
            exp_avg[e] = 0.0f;
            exp_avg_sq[e] = 0.0f;
        }
        ties -= is_tie && ties > 0;
    }
}
