/*
 * rng — counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers:
 * as easy as 1, 2, 3"). A number is a pure function of (seed, stream, index), so it is the same
 * whatever the number of threads or ranks and whatever was drawn before. This is part of the
 * checkpoint format, as RNG_VERSION.
 *
 *   key     = (low 32 bits of seed, high 32 bits of seed)
 *   counter = (low 32 bits of index, high 32 bits of index, low 32 bits of stream, high 32 bits)
 *   block   = philox4x32_10(counter, key): four 32-bit words
 *
 * A stream is 64 bits: rng_stream(purpose, a, b) keeps purposes, tensors and epochs apart. A tensor
 * is its index in the parameter table. remora-checkpoint(5) says the same to who reproduces a run.
 */
#pragma once

#include <stdint.h>

#define RNG_VERSION 1

/* What numbers are drawn for. Values are part of the format; never reuse one. */
enum rng_purpose {
    RNG_PURPOSE_INIT = 1,        /* a = index of the tensor in the parameter table */
    RNG_PURPOSE_SAMPLER = 2,     /* a = source, b = epoch */
    RNG_PURPOSE_ROUNDING = 3,    /* effective weights in bf16; a = tensor, b = steps so far */
    RNG_PURPOSE_PERMUTATION = 4, /* permuted groups; a = M, b = 2 cycle + (0 columns, 1 rows) */
    RNG_PURPOSE_SYNTH = 5,       /* synthetic corpora; a = record */
    RNG_PURPOSE_TEST = 6,
    RNG_PURPOSE_ADAPTER = 7, /* A of a LoRA; a = A, b = the cycle that it begins */
    RNG_PURPOSE_RESET = 8,   /* moments that a merge zeroes; a = tensor, b = the cycle it ends */
    RNG_PURPOSE_SKETCH = 9,  /* test matrices of rank estimates; a = linear layer, q 0 … down 6 */
    RNG_PURPOSE_PROBE = 16,  /* random vectors that measure a matrix; a = what for */
};

/* purpose in bits 56…63, a in bits 28…55 (28 bits), b in bits 0…27 (28 bits). */
uint64_t rng_stream(enum rng_purpose purpose, uint32_t a, uint32_t b);

void rng_block(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t index);
/* Words 0 and 1 of the block, word 0 low. */
uint64_t rng_u64(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0, 1): the top 53 bits of rng_u64, times 2^-53. */
double rng_uniform(uint64_t seed, uint64_t stream, uint64_t index);
/* Uniform in [0, bound), bound > 0, by multiplication: the top 32 bits of the 96 of rng_u64 × bound
 * (bias below 2^-32 for bound < 2^32). */
uint32_t rng_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t bound);
/* Standard normal: Box–Muller in double over the block's words (0,1) and (2,3):
 * sqrt(-2 ln u1) cos(2π u2), u1 = (w01>>11 + 1)·2^-53, u2 = (w23>>11)·2^-53. */
double rng_normal(uint64_t seed, uint64_t stream, uint64_t index);
