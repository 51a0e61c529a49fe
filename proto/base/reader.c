#include "proto/base/reader.h"

struct reader reader_over(const void *data, size_t size)
{
    return (struct reader){.data = data, .size = size};
}

const uint8_t *reader_raw(struct reader *reader, size_t size)
{
    if (reader->failed || size > reader->size - reader->offset) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->data + reader->offset;
    reader->offset += size;
    return at;
}

/* count bytes, lowest first; 0 when fewer are left. */
static uint64_t read_little_endian(struct reader *reader, size_t count)
{
    const uint8_t *raw = reader_raw(reader, count);
    uint64_t value = 0;
    for (size_t i = 0; raw != NULL && i < count; i++) {
        value |= (uint64_t)raw[i] << (8 * i);
    }
    return value;
}

uint8_t reader_u8(struct reader *reader)
{
    return (uint8_t)read_little_endian(reader, 1);
}

uint16_t reader_u16(struct reader *reader)
{
    return (uint16_t)read_little_endian(reader, 2);
}

uint32_t reader_u32(struct reader *reader)
{
    return (uint32_t)read_little_endian(reader, 4);
}

uint64_t reader_u64(struct reader *reader)
{
    return read_little_endian(reader, 8);
}

bool reader_finished(const struct reader *reader)
{
    return !reader->failed && reader->offset == reader->size;
}
