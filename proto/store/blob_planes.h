/*
 * blob_planes — little-endian numbers as planes of bytes, and back.
 *
 * A number x of 16 or 32 bits is turned left by one bit, which brings its sign down to the end, and
 * byte k of the result, the most significant first, goes to plane k:
 *
 *     bf16   sEEEEEEE EMMMMMMM  ->  EEEEEEEE | MMMMMMMs
 *     fp32   sEEEEEEE EMMMMMMM MMMMMMMM MMMMMMMM  ->  EEEEEEEE | MMMMMMMM | MMMMMMMM | MMMMMMMs
 *
 * So plane 0 is the exponent, of which neighbours in a tensor have few; the mantissas and signs of
 * trained numbers are close to noise. Every pattern of bits comes back.
 *
 * Planes are count bytes each; the numbers need no alignment. No overlap. Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void blob_planes_split16(uint8_t *const planes[2], const void *numbers, size_t count);
void blob_planes_join16(void *numbers, const uint8_t *const planes[2], size_t count);

void blob_planes_split32(uint8_t *const planes[4], const void *numbers, size_t count);
void blob_planes_join32(void *numbers, const uint8_t *const planes[4], size_t count);
