/*
 * encoder — tokenises many texts, remembering the tokens of words it has seen.
 *
 * Gives exactly what tokenizer_encode gives. Where the model allows (tokenizer_splits_at_spaces) a
 * text is cut in front of each run of spaces and every word is looked up in a table first, which
 * is some ten times faster on prose; other models are encoded text by text.
 *
 * Ownership: the caller owns the encoder; the tokenizer must outlive it. Memory is bounded: a full
 *            table takes no more words.
 * Threads:   one at a time; use one encoder per thread.
 */
#pragma once

#include <stddef.h>

#include "proto/base/error.h"
#include "worker/text/tokenizer.h"

struct encoder;

MUST_USE enum status encoder_create(struct encoder **out, const struct tokenizer *tokenizer,
                                    struct error *err);

/* NULL is fine. */
void encoder_destroy(struct encoder *encoder);

/* The ids of this text, which is valid UTF-8; the list lives until the next call. */
MUST_USE enum status encoder_encode(struct encoder *encoder, const char *text, size_t size,
                                    const struct token_list **out, struct error *err);
