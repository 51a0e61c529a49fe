/*
 * moments — what a merge leaves of an adapter's optimizer state (Lialin et al. 2023, "ReLoRA"),
 * when it does not zero all of it. One mask for both moments: a first moment whose second is gone
 * would be divided by nearly nothing.
 *
 *     moments_keep_random   element e is zeroed where rng_uniform(seed, stream, e) < ratio
 *     moments_keep_largest  the keep elements whose |exp_avg| is largest are left, and of equals
 * those that come first; all others are zeroed. NaN counts as largest.
 *
 * exp_avg[n], exp_avg_sq[n]; 0 <= keep <= n. So many are left, exactly, even where all are equal: a
 * threshold would keep all of them or none.
 */
#pragma once

#include <stdint.h>

struct backend;

typedef void moments_keep_random_fn(struct backend *backend, float *exp_avg, float *exp_avg_sq,
                                    int64_t n, double ratio, uint64_t seed, uint64_t stream);
typedef void moments_keep_largest_fn(struct backend *backend, float *exp_avg, float *exp_avg_sq,
                                     int64_t n, int64_t keep);

void moments_keep_random_ref(double *exp_avg, double *exp_avg_sq, int64_t n, double ratio,
                             uint64_t seed, uint64_t stream);
/* scratch[n] */
void moments_keep_largest_ref(double *exp_avg, double *exp_avg_sq, double *scratch, int64_t n,
                              int64_t keep);
