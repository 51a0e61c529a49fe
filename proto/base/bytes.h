/*
 * bytes — a growable buffer of bytes or text. data is always NUL-terminated behind size when not
 * NULL. Failure sticks: after memory was out (or size_max passed) every append is a no-op and
 * bytes_failed is true, so a writer asks once at the end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

struct bytes {
    char *data;
    size_t size;
    size_t capacity;
    size_t size_max; /* 0: no limit */
    bool failed;
    bool is_over_limit; /* why it failed, if not for lack of memory */
};

void bytes_append(struct bytes *bytes, const void *data, size_t size);
void bytes_append_text(struct bytes *bytes, const char *text);
void bytes_append_char(struct bytes *bytes, char c);
void bytes_printf(struct bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Little-endian integers. */
void bytes_append_u16(struct bytes *bytes, uint16_t value);
void bytes_append_u32(struct bytes *bytes, uint32_t value);
void bytes_append_u64(struct bytes *bytes, uint64_t value);
/* Room for at least extra more bytes behind size (for reading into); false when memory is out. */
MUST_USE bool bytes_reserve(struct bytes *bytes, size_t extra);
/* Drops the first count bytes. */
void bytes_consume(struct bytes *bytes, size_t count);
static inline bool bytes_failed(const struct bytes *bytes)
{
    return bytes->failed;
}
/* STATUS_OK, or STATUS_NO_MEMORY / STATUS_LIMIT naming what. */
MUST_USE enum status bytes_status(const struct bytes *bytes, const char *what, struct error *err);
void bytes_clear(struct bytes *bytes); /* empties, keeps capacity */
void bytes_deinit(struct bytes *bytes);
