#include "proto/base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/checked.h"
#include "proto/base/sys.h"

#define CAPACITY_MIN 64

bool bytes_reserve(struct bytes *bytes, size_t extra)
{
    if (bytes->failed) {
        return false;
    }
    size_t needed = 0; /* with the NUL */
    if (!checked_add(bytes->size, extra, &needed) || !checked_add(needed, 1, &needed)) {
        bytes->failed = true;
        return false;
    }
    if (needed <= bytes->capacity) {
        return true;
    }
    size_t doubled = 0;
    size_t capacity = needed < CAPACITY_MIN ? CAPACITY_MIN : needed;
    if (checked_mul(bytes->capacity, 2, &doubled) && doubled > capacity) {
        capacity = doubled;
    }
    char *data = sys_realloc(bytes->data, capacity);
    if (data == NULL) {
        bytes->failed = true;
        return false;
    }
    data[bytes->size] = '\0';
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

void bytes_append(struct bytes *bytes, const void *data, size_t size)
{
    if (bytes->size_max != 0 &&
        (bytes->size > bytes->size_max || size > bytes->size_max - bytes->size)) {
        bytes->is_over_limit = bytes->is_over_limit || !bytes->failed;
        bytes->failed = true;
        return;
    }
    if (!bytes_reserve(bytes, size)) {
        return;
    }
    if (size > 0) {
        memcpy(bytes->data + bytes->size, data, size);
    }
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
}

void bytes_append_text(struct bytes *bytes, const char *text)
{
    bytes_append(bytes, text, strlen(text));
}

void bytes_append_char(struct bytes *bytes, char c)
{
    bytes_append(bytes, &c, 1);
}

void bytes_printf(struct bytes *bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);

    size_t size = length < 0 ? 0 : (size_t)length;
    bool fits = bytes->size_max == 0 ||
                (bytes->size <= bytes->size_max && size <= bytes->size_max - bytes->size);
    if (length < 0 || !fits) {
        bytes->is_over_limit = bytes->is_over_limit || (!fits && !bytes->failed);
        bytes->failed = true;
    } else if (bytes_reserve(bytes, size)) {
        (void)vsnprintf(bytes->data + bytes->size, size + 1, format, again);
        bytes->size += size;
    }
    va_end(again);
}

/* The low count bytes of value, lowest first. */
static void append_little_endian(struct bytes *bytes, uint64_t value, size_t count)
{
    uint8_t raw[8];
    for (size_t i = 0; i < count; i++) {
        raw[i] = (uint8_t)(value >> (8 * i));
    }
    bytes_append(bytes, raw, count);
}

void bytes_append_u16(struct bytes *bytes, uint16_t value)
{
    append_little_endian(bytes, value, 2);
}

void bytes_append_u32(struct bytes *bytes, uint32_t value)
{
    append_little_endian(bytes, value, 4);
}

void bytes_append_u64(struct bytes *bytes, uint64_t value)
{
    append_little_endian(bytes, value, 8);
}

void bytes_consume(struct bytes *bytes, size_t count)
{
    assert(count <= bytes->size);
    if (count == 0) {
        return;
    }
    bytes->size -= count;
    memmove(bytes->data, bytes->data + count, bytes->size);
    bytes->data[bytes->size] = '\0';
}

enum status bytes_status(const struct bytes *bytes, const char *what, struct error *err)
{
    if (!bytes->failed) {
        return STATUS_OK;
    }
    if (bytes->is_over_limit) {
        return error_set(err, STATUS_LIMIT, "%s: more than %zu bytes", what, bytes->size_max);
    }
    return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", what);
}

void bytes_clear(struct bytes *bytes)
{
    bytes->size = 0;
    bytes->failed = false;
    bytes->is_over_limit = false;
    if (bytes->data != NULL) {
        bytes->data[0] = '\0';
    }
}

void bytes_deinit(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}
