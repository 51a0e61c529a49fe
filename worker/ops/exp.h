/*
 * exp — the one exponential of our kernels, written so that compilers vectorise loops around it.
 *
 * Within 2 ulp of e^x wherever that is a normal number; +0 where it would be subnormal (x below
 * EXP_F32_MIN: subnormal weights of a softmax slow down the products that follow); +inf from where
 * it overflows, and NaN for NaN. Method: Cody & Waite 1980, ch. 6: x = n ln 2 + r, |r| <= ln(2)/2,
 * with ln 2 split so that n * EXP_F32_LN2_HIGH is exact, and the polynomial of Cephes' expf.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#define EXP_F32_MIN      (-87.336544f) /* ln 2^-126 */
#define EXP_F32_MAX      89.0f         /* far enough for +inf */
#define EXP_F32_LOG2E    1.44269504f
#define EXP_F32_LN2_HIGH 0.693359375f
#define EXP_F32_LN2_LOW  (-2.12194440e-4f)
/* 1.5 * 2^23: adding it leaves a float rounded to an integer, in its low mantissa bits. */
#define EXP_F32_ROUND 12582912.0f

static inline float exp_f32(float x)
{
    float clamped = x > EXP_F32_MAX ? EXP_F32_MAX : x;
    clamped = clamped < EXP_F32_MIN ? EXP_F32_MIN : clamped;

    float shifted = clamped * EXP_F32_LOG2E + EXP_F32_ROUND;
    float n = shifted - EXP_F32_ROUND;
    float r = (clamped - n * EXP_F32_LN2_HIGH) - n * EXP_F32_LN2_LOW;

    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;

    /* 2^n in two factors, since n = 128 has no float of its own. Unsigned, as x may be NaN. */
    int32_t shifted_bits;
    memcpy(&shifted_bits, &shifted, sizeof shifted_bits);
    int32_t exponent = shifted_bits - 0x4B400000;
    int32_t half = exponent >> 1;
    uint32_t low_bits = (uint32_t)(half + 127) << 23;
    uint32_t high_bits = (uint32_t)(exponent - half + 127) << 23;
    float low, high;
    memcpy(&low, &low_bits, sizeof low);
    memcpy(&high, &high_bits, sizeof high);

    float result = p * low * high;
    return x < EXP_F32_MIN ? 0.0f : result;
}
