#include "proto/store/blob_planes.h"

#include <string.h>

/* Numbers that are taken at a time: their 8 KiB and those of the planes stay in the first cache,
 * and each inner loop is one that compilers turn into vector instructions. */
#define BLOCK 2048

static size_t block_count(size_t count, size_t at)
{
    return count - at < BLOCK ? count - at : BLOCK;
}

void blob_planes_split16(uint8_t *const planes[2], const void *numbers, size_t count)
{
    uint16_t turned[BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t n = block_count(count, at);
        uint8_t *restrict high = planes[0] + at;
        uint8_t *restrict low = planes[1] + at;
        memcpy(turned, (const uint8_t *)numbers + at * sizeof *turned, n * sizeof *turned);
        for (size_t i = 0; i < n; i++) {
            high[i] = (uint8_t)(turned[i] >> 7);
        }
        for (size_t i = 0; i < n; i++) {
            low[i] = (uint8_t)(turned[i] << 1 | turned[i] >> 15);
        }
    }
}

void blob_planes_join16(void *numbers, const uint8_t *const planes[2], size_t count)
{
    uint16_t turned[BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t n = block_count(count, at);
        const uint8_t *restrict high = planes[0] + at;
        const uint8_t *restrict low = planes[1] + at;
        for (size_t i = 0; i < n; i++) {
            turned[i] = (uint16_t)(high[i] << 7 | low[i] >> 1 | low[i] << 15);
        }
        memcpy((uint8_t *)numbers + at * sizeof *turned, turned, n * sizeof *turned);
    }
}

void blob_planes_split32(uint8_t *const planes[4], const void *numbers, size_t count)
{
    uint32_t turned[BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t n = block_count(count, at);
        memcpy(turned, (const uint8_t *)numbers + at * sizeof *turned, n * sizeof *turned);
        for (size_t i = 0; i < n; i++) {
            turned[i] = turned[i] << 1 | turned[i] >> 31;
        }
        for (int k = 0; k < 4; k++) {
            const int shift = 24 - 8 * k;
            uint8_t *restrict plane = planes[k] + at;
            for (size_t i = 0; i < n; i++) {
                plane[i] = (uint8_t)(turned[i] >> shift);
            }
        }
    }
}

void blob_planes_join32(void *numbers, const uint8_t *const planes[4], size_t count)
{
    uint32_t turned[BLOCK];
    for (size_t at = 0; at < count; at += BLOCK) {
        const size_t n = block_count(count, at);
        const uint8_t *restrict first = planes[0] + at;
        const uint8_t *restrict second = planes[1] + at;
        const uint8_t *restrict third = planes[2] + at;
        const uint8_t *restrict last = planes[3] + at;
        for (size_t i = 0; i < n; i++) {
            turned[i] = (uint32_t)first[i] << 24 | (uint32_t)second[i] << 16 |
                        (uint32_t)third[i] << 8 | last[i];
        }
        for (size_t i = 0; i < n; i++) {
            turned[i] = turned[i] >> 1 | turned[i] << 31;
        }
        memcpy((uint8_t *)numbers + at * sizeof *turned, turned, n * sizeof *turned);
    }
}
