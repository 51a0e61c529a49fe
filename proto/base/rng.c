#include "proto/base/rng.h"

#include <assert.h>
#include <math.h>

#define ROUNDS 10

uint64_t rng_stream(enum rng_purpose purpose, uint32_t a, uint32_t b)
{
    assert(a < (1U << 28));
    assert(b < (1U << 28));
    return (uint64_t)purpose << 56 | (uint64_t)a << 28 | b;
}

/* Salmon et al. 2011, §3.3 and table 2: two 32×32→64 products a round, keys bumped between. */
void rng_block(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t key0 = (uint32_t)seed;
    uint32_t key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)index;
    uint32_t c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)stream;
    uint32_t c3 = (uint32_t)(stream >> 32);

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53U * c0;
        uint64_t product1 = (uint64_t)0xCD9E8D57U * c2;
        c0 = (uint32_t)(product1 >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)product1;
        c2 = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)product0;
        key0 += 0x9E3779B9U; /* the golden ratio */
        key1 += 0xBB67AE85U; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t block[4];
    rng_block(block, seed, stream, index);
    return (uint64_t)block[1] << 32 | block[0];
}

double rng_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(rng_u64(seed, stream, index) >> 11) * 0x1p-53;
}

uint32_t rng_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t bound)
{
    assert(bound > 0);
    /* The top 32 bits of the 96-bit product of rng_u64 and bound. */
    uint64_t value = rng_u64(seed, stream, index);
    uint64_t low = (value & 0xFFFFFFFFU) * bound;
    uint64_t high = (value >> 32) * bound;
    return (uint32_t)((high + (low >> 32)) >> 32);
}

double rng_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    static const double two_pi = 6.283185307179586476925;

    uint32_t block[4];
    rng_block(block, seed, stream, index);
    uint64_t w01 = (uint64_t)block[1] << 32 | block[0];
    uint64_t w23 = (uint64_t)block[3] << 32 | block[2];
    double u1 = (double)((w01 >> 11) + 1) * 0x1p-53; /* (0, 1]: its logarithm is finite */
    double u2 = (double)(w23 >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u1)) * cos(two_pi * u2);
}
