/*
 * shard_writer — writes a folder that shard_set reads.
 *
 *   create ─► append* ─► end_document ─► … ─► finish ─► destroy
 *
 * Whole or not at all: each file is written aside, made durable and renamed; the index comes last.
 * A writer that is destroyed before it has finished, or after a failure, removes what it wrote.
 * Memory is bounded by a file's document offsets.
 *
 * Ownership: the caller owns the writer. Threads: one at a time.
 */
#pragma once

#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"

struct shard_writer_options {
    uint32_t vocab_size;
    uint32_t eos_id; /* end_document appends it */
    struct digest tokenizer_digest;
    int64_t file_tokens_max; /* 0: SHARD_FILE_TOKENS */
};

struct shard_writer;

/* Makes the folder when there is none; one that already has an index is CONFLICT. */
MUST_USE enum status shard_writer_create(struct shard_writer **out, const char *folder,
                                         const struct shard_writer_options *options,
                                         struct error *err);

/* Adds tokens to the current document, beginning it when none is open. Each must be below
 * vocab_size, or the call is INVALID and the writer good for destroy only. */
MUST_USE enum status shard_writer_append(struct shard_writer *writer, const uint32_t *tokens,
                                         int64_t count, struct error *err);

/* Closes the document with EOS; a document without tokens gets its EOS alone. */
MUST_USE enum status shard_writer_end_document(struct shard_writer *writer, struct error *err);

int64_t shard_writer_token_count(const struct shard_writer *writer);
int64_t shard_writer_document_count(const struct shard_writer *writer);

/* Closes the last file and writes the index. A stream without tokens is INVALID: no reader could
 * draw a sequence from it. digest may be NULL. */
MUST_USE enum status shard_writer_finish(struct shard_writer *writer, struct digest *digest,
                                         struct error *err);

/* NULL is fine. */
void shard_writer_destroy(struct shard_writer *writer);
