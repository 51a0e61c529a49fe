#include "worker/ops/moments.h"

#include <math.h>

#include "proto/base/rng.h"

void moments_keep_random_ref(double *exp_avg, double *exp_avg_sq, int64_t n, double ratio,
                             uint64_t seed, uint64_t stream)
{
    for (int64_t e = 0; e < n; e++) {
        if (rng_uniform(seed, stream, (uint64_t)e) < ratio) {
            exp_avg[e] = 0.0;
            exp_avg_sq[e] = 0.0;
        }
    }
}

void moments_keep_largest_ref(double *exp_avg, double *exp_avg_sq, double *scratch, int64_t n,
                              int64_t keep)
{
    for (int64_t e = 0; e < n; e++) {
        scratch[e] = fabs(exp_avg[e]);
    }
    for (int64_t e = 0; e < n; e++) {
        int64_t rank = 0; /* how many go before it */
        for (int64_t other = 0; other < n; other++) {
            rank += scratch[other] > scratch[e] || (scratch[other] == scratch[e] && other < e);
        }
        if (rank >= keep) {
            exp_avg[e] = 0.0;
            exp_avg_sq[e] = 0.0;
        }
    }
}
