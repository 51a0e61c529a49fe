/*
 * model_traits — what a SentencePiece model file says of itself that its library does not tell.
 *
 * The file is a protocol buffer (sentencepiece_model.proto); the fields that we read:
 *
 *   ModelProto      1 pieces (repeated)        2 trainer_spec          3 normalizer_spec
 *   pieces          1 piece (text)             3 type (1 normal, 2 unknown, 3 control,
 *                                                      4 user defined, 5 unused, 6 byte)
 *   trainer_spec    3 model_type (1 unigram, 2 BPE)   24 treat_whitespace_as_suffix
 *                   35 byte_fallback
 *   normalizer_spec 2 precompiled_charsmap  3 add_dummy_prefix  4 remove_extra_whitespaces
 *                   5 escape_whitespaces (these three default to true)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct model_traits {
    bool is_bpe;
    bool has_byte_fallback;
    bool is_suffix_space; /* spaces belong to the word before them */
    bool has_char_map;    /* the text is normalised */
    bool adds_space;      /* in front of the text */
    bool removes_spaces;
    bool escapes_spaces;
    bool has_user_pieces; /* matched before anything else */
    bool has_inner_space; /* a piece has a space behind another character */
};

/* False when the bytes are not a well-formed message. */
bool model_traits_read(struct model_traits *out, const void *data, size_t size);

/*
 * True when each word of a text can be encoded by itself, its space in front: byte-pair merges join
 * neighbours into a piece of the vocabulary, and no piece reaches over the start of a word, so what
 * happens in one word never depends on another.
 */
bool model_traits_splits_at_spaces(const struct model_traits *traits);
