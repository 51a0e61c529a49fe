/*
 * shard — one file of tokens: its format and its reader.
 *
 * A stream of tokens is cut into files of bounded size at any token; documents follow each other,
 * each closed by EOS. All integers are little-endian:
 *
 *   offset  bytes  field
 *        0      8  magic              "remoraTK"
 *        8      4  version            1
 *       12      4  token_bytes        2 (vocab_size <= 65536) or 4
 *       16      4  vocab_size         1 … VOCAB_SIZE_MAX; every token is below it
 *       20      4  eos_id             below vocab_size
 *       24      8  token_count        1 … SHARD_TOKENS_MAX
 *       32      8  document_count     documents that start in this file, <= token_count
 *       40     32  tokenizer_digest   SHA-256 of the tokenizer's file
 *       72     32  tokens_digest      SHA-256 of the token bytes
 *      104     32  documents_digest   SHA-256 of the bytes of the document offsets
 *      136     32  digest             SHA-256 of bytes 0…135: names the file and all in it
 *      168     24  reserved           zero
 *      192      …  tokens             token_count × token_bytes
 *        …    0–7  padding            zeros up to a multiple of 8
 *        …      …  document offsets   document_count × 8: index in this file of each document's
 *                                     first token, ascending. Tokens before the first one belong
 *                                     to a document that began in an earlier file.
 *
 * shard_open checks all but the two big digests and what they cover, in time that does not depend
 * on the file's size; shard_verify reads every byte.
 *
 * Ownership: the caller owns the shard. Its tokens are mapped, not read; a file of tokens is never
 *            rewritten in place, so the map stays whole while other folders are prepared.
 * Threads:   any number may read an open shard.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"

#define SHARD_MAGIC        "remoraTK"
#define SHARD_VERSION      1
#define SHARD_HEADER_BYTES 192
#define SHARD_DIGEST_AT    136 /* what stands before it is what the digest covers */

struct shard_header {
    uint32_t token_bytes;
    uint32_t vocab_size;
    uint32_t eos_id;
    int64_t token_count;
    int64_t document_count;
    struct digest tokenizer_digest;
    struct digest tokens_digest;
    struct digest documents_digest;
    struct digest digest; /* filled by shard_header_encode and _decode */
};

/* 2 where it can hold every token of a vocabulary of this size, else 4. */
uint32_t shard_token_bytes(uint32_t vocab_size);

/* Bytes of a file with this header. The header's counts must be within their limits. */
size_t shard_file_bytes(const struct shard_header *header);

/* Writes the header's bytes and sets header->digest. */
void shard_header_encode(uint8_t out[SHARD_HEADER_BYTES], struct shard_header *header);

/* Reads and checks a header; size is that of the buffer. CORRUPT names the field at fault; a newer
 * version is UNSUPPORTED. */
MUST_USE enum status shard_header_decode(struct shard_header *out, const void *data, size_t size,
                                         struct error *err);

struct shard;

/* Opens and maps the file. Messages name the file and the field. */
MUST_USE enum status shard_open(struct shard **out, const char *path, struct error *err);

/* NULL is fine. */
void shard_close(struct shard *shard);

/* Valid until the shard is closed. */
const struct shard_header *shard_header_of(const struct shard *shard);

/* out[count] <- tokens first … first + count - 1, which must exist (an assertion). A token outside
 * the vocabulary is CORRUPT: it would index past the embedding. */
MUST_USE enum status shard_read(const struct shard *shard, int64_t first, int64_t count,
                                uint32_t *out, struct error *err);

/* Index of the first token of document, 0 <= document < document_count. */
int64_t shard_document_start(const struct shard *shard, int64_t document);

/* Reads all: both digests, every token below vocab_size, padding zero, document offsets ascending
 * and inside the file. */
MUST_USE enum status shard_verify(const struct shard *shard, struct error *err);
