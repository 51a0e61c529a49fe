/*
 * max — the largest of a row, as our kernels need it before they take exponentials.
 *
 * Lanes are kept by hand because compilers do not agree on whether a maximum of floats may be
 * reordered (it may: no rounding, and a NaN is passed over here; the exponential then shows it).
 */
#pragma once

#include <stdint.h>

/* n >= 1. */
static inline float max_f32(const float *x, int64_t n)
{
    enum { LANES = 32 };
    float lanes[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        lanes[lane] = x[0];
    }
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int lane = 0; lane < LANES; lane++) {
            lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
        }
    }
    for (int lane = 0; i < n; i++, lane++) {
        lanes[lane] = x[i] > lanes[lane] ? x[i] : lanes[lane];
    }
    float max = lanes[0];
    for (int lane = 1; lane < LANES; lane++) {
        max = lanes[lane] > max ? lanes[lane] : max;
    }
    return max;
}
