/*
 * tokenizer — text to token ids and back, by SentencePiece (Kudo & Richardson 2018), whose
 * exceptions and types stay behind this face.
 *
 * Trained vocabularies are byte-pair encodings (Sennrich et al. 2016) as LLaMA has them: byte
 * fallback, identity normalisation, a space in front of the text, digits split, ids 0 <unk>,
 * 1 <s>, 2 </s>. The same texts in the same order give the same bytes of the model.
 *
 * Invariants: encode adds neither BOS nor EOS; every id is in 0 … vocab_size - 1; texts are valid
 *             UTF-8 (anything else encodes as U+FFFD).
 * Ownership:  the caller owns the tokenizer.
 * Threads:    encode and decode may run on any number of threads at once.
 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/digest.h"
#include "proto/base/error.h"

/* The smallest vocabulary that can be trained: 256 bytes, 3 control symbols, and room for a few
 * characters. */
#define TOKENIZER_VOCAB_SIZE_MIN 272

struct tokenizer;

/* Ids of one text. The caller owns it (token_list_deinit); encode empties it first and keeps its
 * capacity. A zeroed struct is an empty list. */
struct token_list {
    uint32_t *tokens;
    size_t count;
    size_t capacity;
};

void token_list_deinit(struct token_list *list);

/* Reads a SentencePiece model file. CORRUPT when it is none, UNSUPPORTED when it has no EOS. */
MUST_USE enum status tokenizer_load(struct tokenizer **out, const char *path, struct error *err);

/* The same from the file's bytes; name stands for the path in messages. */
MUST_USE enum status tokenizer_load_bytes(struct tokenizer **out, const void *data, size_t size,
                                          const char *name, struct error *err);

/* NULL is fine. */
void tokenizer_destroy(struct tokenizer *tokenizer);

uint32_t tokenizer_vocab_size(const struct tokenizer *tokenizer);
uint32_t tokenizer_eos_id(const struct tokenizer *tokenizer);
/* SHA-256 of the model file's bytes. */
const struct digest *tokenizer_digest(const struct tokenizer *tokenizer);

/* True when each word of a text may be encoded by itself without its space, see encoder.h. */
bool tokenizer_splits_at_spaces(const struct tokenizer *tokenizer);

MUST_USE enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text,
                                      size_t size, struct token_list *out, struct error *err);

/* Appends the text of these ids; control symbols give nothing. INVALID for an id outside the
 * vocabulary. */
MUST_USE enum status tokenizer_decode(const struct tokenizer *tokenizer, const uint32_t *tokens,
                                      size_t count, struct bytes *out, struct error *err);

/* One text of the corpus to train on. */
struct tokenizer_sample {
    const char *text;
    size_t size;
};

/* Trains a vocabulary of at most vocab_size pieces and appends the model file's bytes to out. A
 * small corpus gives fewer pieces; the caller learns how many by loading the model. LIMIT when
 * vocab_size is too small for the characters of the corpus. */
MUST_USE enum status tokenizer_train(struct bytes *out, const struct tokenizer_sample *samples,
                                     size_t sample_count, uint32_t vocab_size, struct error *err);

#ifdef __cplusplus
}
#endif
