/*
 * half — IEEE 754 binary16, in which others store weights. Widening is exact; rounding is to
 * nearest, ties to even, as everyone else's.
 */
#pragma once

#include <stdint.h>
#include <string.h>

static inline float half_widen(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = (half >> 10) & 0x1F;
    uint32_t mantissa = half & 0x3FF;
    uint32_t bits = sign;
    float value;

    if (exponent == 0x1F) { /* infinity, or a NaN with its payload */
        bits |= 0x7F800000 | mantissa << 13;
    } else if (exponent != 0) {
        bits |= (exponent + 112) << 23 | mantissa << 13;
    } else if (mantissa != 0) { /* subnormal here, normal there */
        uint32_t shift = 0;
        while ((mantissa & 0x400) == 0) {
            mantissa <<= 1;
            shift++;
        }
        bits |= (113 - shift) << 23 | (mantissa & 0x3FF) << 13;
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint16_t half_round(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7FFFFFFF;

    if (magnitude > 0x7F800000) { /* stays a NaN */
        return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
    }
    if (magnitude >= 0x477FF000) { /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7C00);
    }
    if (magnitude < 0x33000000) { /* less than half of the smallest */
        return sign;
    }
    const uint32_t exponent = magnitude >> 23;
    const uint32_t significand = (magnitude & 0x7FFFFF) | 0x800000;
    const uint32_t dropped = exponent < 113 ? 126 - exponent : 13;
    const uint32_t kept =
        exponent < 113 ? significand >> dropped : (magnitude - ((uint32_t)112 << 23)) >> 13;
    const uint32_t rest = significand & (((uint32_t)1 << dropped) - 1);
    const uint32_t middle = (uint32_t)1 << (dropped - 1);
    const uint32_t up = rest > middle || (rest == middle && (kept & 1));

    return (uint16_t)(sign | (kept + up)); /* a carry into the exponent is what it should be */
}
