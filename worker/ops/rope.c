#include "worker/ops/rope.h"

#include <assert.h>
#include <math.h>

static const double two_pi = 6.283185307179586476925;

double rope_frequency(const struct rope_angles *angles, int64_t j, int64_t D)
{
    const double frequency = pow(angles->theta, -2.0 * (double)j / (double)D);
    if (angles->factor == 0.0) {
        return frequency;
    }
    const double low = angles->low_freq_factor;
    const double high = angles->high_freq_factor;
    /* How often the original context turns this pair round. */
    const double turns = angles->original_max_position_embeddings * frequency / two_pi;
    if (turns > high) {
        return frequency;
    }
    if (turns < low) {
        return frequency / angles->factor;
    }
    const double share = (turns - low) / (high - low);
    return (1.0 - share) * frequency / angles->factor + share * frequency;
}

void rope_table(float *cosine, float *sine, int64_t T, int64_t D, const struct rope_angles *angles)
{
    assert(D % 2 == 0);
    const int64_t half = D / 2;
    for (int64_t j = 0; j < half; j++) {
        const double frequency = rope_frequency(angles, j, D);
        for (int64_t t = 0; t < T; t++) {
            cosine[t * half + j] = (float)cos((double)t * frequency);
            sine[t * half + j] = (float)sin((double)t * frequency);
        }
    }
}
