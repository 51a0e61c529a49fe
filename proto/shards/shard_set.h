/*
 * shard_set — a folder of shards, read as one stream of tokens.
 *
 *   FOLDER/shards.json    the index, written last: a folder without it is not finished
 *   FOLDER/00000.tokens   see shard.h
 *   FOLDER/00001.tokens   …
 *
 * The index is canonical JSON: {"format": "remora-shards", "version": 1, "token_bytes",
 * "vocab_size", "eos_id", "tokenizer_digest", "tokens", "documents", "digest",
 * "files": [{"name", "tokens", "documents", "bytes", "digest"}, …]}. The set's digest is the
 * SHA-256 of the files' 32-byte digests in order, each of which covers its file's tokens: equal
 * digests, equal streams (in equal files). Opening checks the index against every file's header.
 *
 * A sequence of length T is T + 1 consecutive tokens: sequence j has tokens j*T … j*T + T, so that
 * its T inputs and T targets overlap by one with the next one's.
 *
 * Ownership: the caller owns the set. Pointers that it hands out live until it is closed.
 * Threads:   any number may read an open set.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"

#define SHARD_SET_INDEX   "shards.json"
#define SHARD_SET_VERSION 1

struct shard_set;

/* NOT_FOUND without an index, CORRUPT when a file is missing, damaged or not the indexed one. */
MUST_USE enum status shard_set_open(struct shard_set **out, const char *folder, struct error *err);

/* NULL is fine. */
void shard_set_close(struct shard_set *set);

int64_t shard_set_token_count(const struct shard_set *set);
int64_t shard_set_document_count(const struct shard_set *set);
/* Whole sequences of this length: (tokens - 1) / sequence_length. */
int64_t shard_set_sequence_count(const struct shard_set *set, int64_t sequence_length);
uint32_t shard_set_vocab_size(const struct shard_set *set);
uint32_t shard_set_eos_id(const struct shard_set *set);
size_t shard_set_file_count(const struct shard_set *set);
const struct digest *shard_set_digest(const struct shard_set *set);
const struct digest *shard_set_tokenizer_digest(const struct shard_set *set);

/* out[count] <- the stream's tokens first … first + count - 1. INVALID when they are not all in the
 * stream, CORRUPT when one is outside the vocabulary. */
MUST_USE enum status shard_set_read(const struct shard_set *set, int64_t first, int64_t count,
                                    uint32_t *out, struct error *err);

/* out[sequence_length + 1] <- sequence index. */
MUST_USE enum status shard_set_read_sequence(const struct shard_set *set, int64_t index,
                                             int64_t sequence_length, uint32_t *out,
                                             struct error *err);

/* Index, from 0, of the document that token, which is in the stream, belongs to. */
int64_t shard_set_document_at(const struct shard_set *set, int64_t token);

/* Reads every byte of every file; the first fault is named with its file and field. */
MUST_USE enum status shard_set_verify(const struct shard_set *set, struct error *err);

/* Only the set's digest, from the index and the files' headers: what a spec records of its shards.
 */
MUST_USE enum status shard_set_digest_of(struct digest *out, const char *folder, struct error *err);
