#include "worker/train/permutation.h"

#include <assert.h>

#include "proto/base/rng.h"

#define ROUNDS 6

/* (left, right) -> (right, left ^ F(round, right)), ROUNDS times, on halves of half_bits. */
static uint64_t feistel(uint64_t seed, uint64_t stream, unsigned half_bits, uint64_t value)
{
    uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = value >> half_bits;
    uint64_t right = value & mask;

    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint32_t word[4];
        rng_block(word, seed, stream, round << 32 | right);
        uint64_t next = left ^ (word[0] & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

uint64_t permutation_at(uint64_t seed, uint64_t stream, uint64_t size, uint64_t index)
{
    unsigned half_bits = 1;

    assert(index < size);
    assert(size <= (uint64_t)1 << 62);
    while ((uint64_t)1 << (2 * half_bits) < size) {
        half_bits++;
    }
    do {
        index = feistel(seed, stream, half_bits, index);
    } while (index >= size);
    return index;
}
