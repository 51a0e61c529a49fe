#include "daemon/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Length by the first byte; 0: no sequence starts so. Overlong forms start with C0, C1. */
static int expected_length(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return 2;
    }
    if (first >= 0xe0 && first <= 0xef) {
        return 3;
    }
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* The second byte excludes overlong forms, surrogates and what is above U+10FFFF. */
static bool second_fits(uint8_t first, uint8_t second)
{
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

int text_sequence_length(const char *data, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)data;
    int length = expected_length(bytes[0]);

    for (int i = 1; i < length; i++) {
        if ((size_t)i >= size) {
            return -1;
        }
        if (i == 1 ? !second_fits(bytes[0], bytes[1]) : (bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

size_t text_append_utf8(struct bytes *out, const char *data, size_t size, bool is_last)
{
    size_t offset = 0;

    while (offset < size) {
        int length = text_sequence_length(data + offset, size - offset);
        if (length < 0 && !is_last) {
            break;
        }
        if (length > 0 && data[offset] != '\0') { /* JSON's readers do not like NUL either */
            bytes_append(out, data + offset, (size_t)length);
            offset += (size_t)length;
        } else {
            bytes_append_text(out, REPLACEMENT);
            offset++;
        }
    }
    return offset;
}

void text_copy_printable(char *out, size_t size, const char *text)
{
    size_t used = 0;
    size_t left = strlen(text);

    while (left > 0) {
        int length = text_sequence_length(text, left);
        bool is_plain = length > 1 || (length == 1 && (uint8_t)*text >= 0x20 && *text != 0x7f);
        size_t bytes = length > 0 ? (size_t)length : 1;
        if (used + bytes + 1 > size) {
            break;
        }
        if (is_plain) {
            memcpy(out + used, text, bytes);
        } else {
            out[used] = ' ';
        }
        used += bytes;
        text += bytes;
        left -= bytes;
    }
    out[used] = '\0';
}

void text_trim(char *text)
{
    size_t size = strlen(text);

    for (size_t back = 1; back <= 3 && back <= size; back++) {
        if (text_sequence_length(text + size - back, back) < 0) {
            text[size - back] = '\0';
            return;
        }
    }
}
