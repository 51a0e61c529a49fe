/*
 * stream — the bytes of an input file, decompressed on the way: gzip (any number of members), zstd
 * (any number of frames) or as they are, as the file's first bytes tell, whatever its name says.
 *
 * A compressed file that ends in the middle, or has garbage behind its last member, is CORRUPT.
 * Messages name the file. Memory is bounded by two blocks and the decoder's window (zstd: 128 MiB
 * at most, larger windows are refused).
 *
 * Ownership: the caller owns the stream. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

struct stream;

/* Opens the file and decodes the first block. */
MUST_USE enum status stream_open(struct stream **out, const char *path, struct error *err);

/* The first block, not consumed: empty only when the file is. Allowed before the first next. */
void stream_peek(const struct stream *stream, const char **data, size_t *size);

/* The next block, valid until the next call; size 0 at the end. */
MUST_USE enum status stream_next(struct stream *stream, const char **data, size_t *size,
                                 struct error *err);

/* Bytes of the file, as they lie on disk, that were read so far. */
int64_t stream_bytes_read(const struct stream *stream);

/* NULL is fine. */
void stream_close(struct stream *stream);
