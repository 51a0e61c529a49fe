/*
 * dtype — the element types of operands: what matrix products read, and most of what is kept for
 * the backward pass. Parameters, sums, the residual stream, softmax, norms and losses are fp32
 * whatever the type.
 *
 * bf16 is the upper half of an fp32 number: the same exponents, 8 significant bits. A value is
 * rounded to the nearest one, ties to even; NaN stays NaN.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* X(constant, name, bytes) */
#define DTYPE_LIST(X) \
 X(FP32, "fp32", 4)   \
 X(BF16, "bf16", 2)

enum dtype {
#define X(constant, name, bytes) DTYPE_##constant,
    DTYPE_LIST(X)
#undef X
};

static inline size_t dtype_bytes(enum dtype type)
{
    return type == DTYPE_BF16 ? sizeof(uint16_t) : sizeof(float);
}

/* The word of the spec. */
const char *dtype_name(enum dtype type);

/* Element i of x, and where it lies. */
static inline const void *dtype_at(const void *x, int64_t i, enum dtype type)
{
    return (const unsigned char *)x + i * (int64_t)dtype_bytes(type);
}

static inline void *dtype_at_mut(void *x, int64_t i, enum dtype type)
{
    return (unsigned char *)x + i * (int64_t)dtype_bytes(type);
}

static inline float bf16_widen(uint16_t x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* All ones for the bits of a NaN. Without a branch, which would keep compilers from vectors. */
static inline uint32_t bf16_nan_mask(uint32_t bits)
{
    return 0U - (uint32_t)((bits & 0x7FFFFFFF) > 0x7F800000);
}

static inline uint16_t bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const uint32_t nan = bf16_nan_mask(bits);
    return (uint16_t)((rounded & ~nan) | (0x7FC0 & nan));
}

/* One of the two neighbours of x, the farther one as often as x is near it: 16 random bits are
 * added below the last place. A number that is a bf16 stays as it is. */
static inline uint16_t bf16_round_stochastic(float x, uint32_t random16)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t rounded = (bits + random16) >> 16;
    const uint32_t nan = bf16_nan_mask(bits);
    return (uint16_t)((rounded & ~nan) | (0x7FC0 & nan));
}

/*
 * Element i as fp32. Kernels call these with a type that is a constant once they are inlined, so
 * that the choice is made outside of their loops.
 */
static inline __attribute__((always_inline)) float dtype_load(const void *x, int64_t i,
                                                              enum dtype type)
{
    return type == DTYPE_BF16 ? bf16_widen(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

static inline __attribute__((always_inline)) void dtype_store(void *x, int64_t i, float value,
                                                              enum dtype type)
{
    if (type == DTYPE_BF16) {
        ((uint16_t *)x)[i] = bf16_round(value);
    } else {
        ((float *)x)[i] = value;
    }
}
