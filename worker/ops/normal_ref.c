#include "worker/ops/normal.h"

#include <math.h>

#include "proto/base/rng.h"

double normal_ref(uint64_t seed, uint64_t stream, uint64_t index)
{
    static const double two_pi = 6.283185307179586476925;
    uint32_t words[4];
    rng_block(words, seed, stream, index / 4);
    const uint32_t *pair = &words[index % 4 / 2 * 2];
    const double u = (double)((pair[0] >> 8) + 1) * 0x1p-24;
    const double t = (double)(pair[1] >> 8) * 0x1p-24 - 0.5;
    const double radius = sqrt(-2.0 * log(u));
    return radius * (index % 2 == 0 ? cos(two_pi * t) : sin(two_pi * t));
}
