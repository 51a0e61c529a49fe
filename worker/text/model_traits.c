#include "worker/text/model_traits.h"

#include <stdint.h>
#include <string.h>

#include "proto/base/reader.h"

#define SPACE       "\xe2\x96\x81" /* U+2581, how models write a space */
#define SPACE_BYTES 3

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

enum model_type { MODEL_TYPE_BPE = 2 };
enum piece_type { PIECE_TYPE_NORMAL = 1, PIECE_TYPE_USER_DEFINED = 4, PIECE_TYPE_UNUSED = 5 };

/* One field of a message: a number, or bytes in place. */
struct field {
    uint64_t number;
    uint64_t value;
    const uint8_t *data;
    size_t size;
};

static uint64_t read_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(reader);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return value;
        }
    }
    reader->failed = true;
    return 0;
}

/* False at the end of the message, and when it is malformed. */
static bool next_field(struct reader *reader, struct field *out)
{
    if (reader->failed || reader->offset == reader->size) {
        return false;
    }
    uint64_t tag = read_varint(reader);
    *out = (struct field){.number = tag >> 3};
    switch (tag & 7) {
    case WIRE_VARINT:
        out->value = read_varint(reader);
        break;
    case WIRE_64:
        out->value = reader_u64(reader);
        break;
    case WIRE_32:
        out->value = reader_u32(reader);
        break;
    case WIRE_BYTES:
        out->size = read_varint(reader);
        out->data = reader_raw(reader, out->size);
        break;
    default:
        reader->failed = true;
    }
    return !reader->failed;
}

static bool has_inner_space(const uint8_t *text, size_t size)
{
    bool was_other = false;
    for (size_t at = 0; at < size;) {
        bool is_space = size - at >= SPACE_BYTES && memcmp(text + at, SPACE, SPACE_BYTES) == 0;
        if (is_space && was_other) {
            return true;
        }
        was_other = !is_space;
        at += is_space ? SPACE_BYTES : 1;
    }
    return false;
}

static bool read_piece(struct model_traits *traits, const struct field *message)
{
    struct reader reader = reader_over(message->data, message->size);
    struct field field;
    struct field text = {0};
    uint64_t type = PIECE_TYPE_NORMAL;
    while (next_field(&reader, &field)) {
        if (field.number == 1) {
            text = field;
        } else if (field.number == 3) {
            type = field.value;
        }
    }
    if (type == PIECE_TYPE_USER_DEFINED) {
        traits->has_user_pieces = true;
    }
    if ((type == PIECE_TYPE_NORMAL || type == PIECE_TYPE_UNUSED) && text.data &&
        has_inner_space(text.data, text.size)) {
        traits->has_inner_space = true;
    }
    return reader_finished(&reader);
}

static bool read_trainer(struct model_traits *traits, const struct field *message)
{
    struct reader reader = reader_over(message->data, message->size);
    struct field field;
    while (next_field(&reader, &field)) {
        if (field.number == 3) {
            traits->is_bpe = field.value == MODEL_TYPE_BPE;
        } else if (field.number == 24) {
            traits->is_suffix_space = field.value != 0;
        } else if (field.number == 35) {
            traits->has_byte_fallback = field.value != 0;
        }
    }
    return reader_finished(&reader);
}

static bool read_normalizer(struct model_traits *traits, const struct field *message)
{
    struct reader reader = reader_over(message->data, message->size);
    struct field field;
    while (next_field(&reader, &field)) {
        if (field.number == 2) {
            traits->has_char_map = field.size > 0;
        } else if (field.number == 3) {
            traits->adds_space = field.value != 0;
        } else if (field.number == 4) {
            traits->removes_spaces = field.value != 0;
        } else if (field.number == 5) {
            traits->escapes_spaces = field.value != 0;
        }
    }
    return reader_finished(&reader);
}

bool model_traits_read(struct model_traits *out, const void *data, size_t size)
{
    struct reader reader = reader_over(data, size);
    struct field field;
    bool is_good = true;

    *out =
        (struct model_traits){.adds_space = true, .removes_spaces = true, .escapes_spaces = true};
    while (is_good && next_field(&reader, &field)) {
        if (field.number == 1) {
            is_good = read_piece(out, &field);
        } else if (field.number == 2) {
            is_good = read_trainer(out, &field);
        } else if (field.number == 3) {
            is_good = read_normalizer(out, &field);
        }
    }
    return is_good && reader_finished(&reader);
}

bool model_traits_splits_at_spaces(const struct model_traits *traits)
{
    return traits->is_bpe && traits->has_byte_fallback && !traits->is_suffix_space &&
           !traits->has_char_map && traits->adds_space && !traits->removes_spaces &&
           traits->escapes_spaces && !traits->has_user_pieces && !traits->has_inner_space;
}
