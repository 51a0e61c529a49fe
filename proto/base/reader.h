/*
 * reader — a cursor over bytes from outside whose first failure sticks: a decoder is a list of
 * fields and one question at the end (reader_finished). Little-endian. Nothing is copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const uint8_t *data;
    size_t size;
    size_t offset;
    bool failed;
};

struct reader reader_over(const void *data, size_t size);
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
/* size bytes in place; NULL and failed when fewer are left. */
const uint8_t *reader_raw(struct reader *reader, size_t size);
/* True when nothing failed and nothing is left over. */
bool reader_finished(const struct reader *reader);
