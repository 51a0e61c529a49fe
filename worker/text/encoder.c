#include "worker/text/encoder.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"

#define SLOT_COUNT      ((size_t)1 << 19) /* half of them are used at most */
#define WORDS_MAX       (SLOT_COUNT / 2)
#define WORD_BYTES_MAX  48
#define WORD_TOKENS_MAX 8

/* 96 bytes; the table has 48 MiB of address space, touched as it fills. */
struct word {
    uint8_t size; /* 0: free */
    uint8_t token_count;
    char text[WORD_BYTES_MAX];
    uint32_t tokens[WORD_TOKENS_MAX];
};

struct encoder {
    const struct tokenizer *tokenizer;
    struct word *words; /* [SLOT_COUNT], open addressing; NULL: encode text by text */
    size_t word_count;
    struct token_list word; /* scratch of one word */
    struct token_list text;
};

enum status encoder_create(struct encoder **out, const struct tokenizer *tokenizer,
                           struct error *err)
{
    struct encoder *encoder = sys_calloc(1, sizeof *encoder);
    if (!encoder) {
        return error_set(err, STATUS_NO_MEMORY, "encoder: out of memory");
    }
    encoder->tokenizer = tokenizer;
    if (tokenizer_splits_at_spaces(tokenizer)) {
        encoder->words = sys_calloc(SLOT_COUNT, sizeof *encoder->words);
        if (!encoder->words) {
            encoder_destroy(encoder);
            return error_set(err, STATUS_NO_MEMORY, "encoder: out of memory");
        }
    }
    *out = encoder;
    return STATUS_OK;
}

void encoder_destroy(struct encoder *encoder)
{
    if (!encoder) {
        return;
    }
    token_list_deinit(&encoder->word);
    token_list_deinit(&encoder->text);
    free(encoder->words);
    free(encoder);
}

/* FNV-1a over 8 bytes at a time, then over the rest; a last mix for the low bits. */
static uint64_t hash_of(const char *text, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325U ^ size;
    while (size >= sizeof hash) {
        uint64_t part;
        memcpy(&part, text, sizeof part);
        hash = (hash ^ part) * 0x9e3779b97f4a7c15U;
        hash ^= hash >> 32;
        text += sizeof part;
        size -= sizeof part;
    }
    for (; size > 0; size--) {
        hash = (hash ^ (uint8_t)*text++) * 0x100000001b3U;
    }
    return hash ^ hash >> 29;
}

/* The slot that holds the word, or the free one where it belongs. */
static struct word *find_slot(struct encoder *encoder, const char *text, size_t size)
{
    size_t at = hash_of(text, size) & (SLOT_COUNT - 1);
    while (encoder->words[at].size != 0 &&
           (encoder->words[at].size != size || memcmp(encoder->words[at].text, text, size) != 0)) {
        at = (at + 1) & (SLOT_COUNT - 1);
    }
    return &encoder->words[at];
}

static void remember(struct encoder *encoder, struct word *slot, const char *text, size_t size)
{
    if (encoder->word_count == WORDS_MAX || encoder->word.count > WORD_TOKENS_MAX) {
        return;
    }
    encoder->word_count++;
    slot->size = (uint8_t)size;
    slot->token_count = (uint8_t)encoder->word.count;
    memcpy(slot->text, text, size);
    memcpy(slot->tokens, encoder->word.tokens, encoder->word.count * sizeof *slot->tokens);
}

static enum status append(struct token_list *list, const uint32_t *tokens, size_t count,
                          struct error *err)
{
    if (list->count + count > list->capacity) {
        size_t capacity = 2 * (list->count + count) + 1024;
        uint32_t *grown = sys_realloc(list->tokens, capacity * sizeof *grown);
        if (!grown) {
            return error_set(err, STATUS_NO_MEMORY, "tokens of a text: out of memory");
        }
        list->tokens = grown;
        list->capacity = capacity;
    }
    memcpy(list->tokens + list->count, tokens, count * sizeof *tokens);
    list->count += count;
    return STATUS_OK;
}

/* Adds the tokens of " word": the tokenizer puts the space in front by itself. */
static enum status encode_word(struct encoder *encoder, const char *text, size_t size,
                               struct error *err)
{
    struct word *slot = NULL;
    if (size <= WORD_BYTES_MAX) {
        slot = find_slot(encoder, text, size);
        if (slot->size != 0) {
            return append(&encoder->text, slot->tokens, slot->token_count, err);
        }
    }
    enum status status = tokenizer_encode(encoder->tokenizer, text, size, &encoder->word, err);
    if (status) {
        return status;
    }
    if (slot) {
        remember(encoder, slot, text, size);
    }
    return append(&encoder->text, encoder->word.tokens, encoder->word.count, err);
}

/* Where the word that starts at text ends: at the first space that follows another character and
 * has something behind it. A lone space at the end stays with its word, since the tokenizer puts no
 * space in front of nothing. */
static size_t word_end(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && text[at] == ' ') {
        at++;
    }
    const char *space = at < size ? memchr(text + at, ' ', size - at) : NULL;
    if (!space || space + 1 == text + size) {
        return size;
    }
    return (size_t)(space - text);
}

/* The character that models write for a space, itself in a text, joins the spaces around it to runs
 * that may be one piece. */
static bool has_space_mark(const char *text, size_t size)
{
    static const char mark[] = "\xe2\x96\x81";
    return memmem(text, size, mark, sizeof mark - 1) != NULL;
}

enum status encoder_encode(struct encoder *encoder, const char *text, size_t size,
                           const struct token_list **out, struct error *err)
{
    *out = &encoder->text;
    if (!encoder->words || has_space_mark(text, size)) {
        return tokenizer_encode(encoder->tokenizer, text, size, &encoder->text, err);
    }
    encoder->text.count = 0;
    for (size_t at = 0; at < size;) {
        size_t word_size = word_end(text + at, size - at);
        enum status status = encode_word(encoder, text + at, word_size, err);
        if (status) {
            return status;
        }
        at += word_size + 1; /* the space that the tokenizer puts back */
    }
    return STATUS_OK;
}
