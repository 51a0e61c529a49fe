/*
 * safetensors — Hugging Face's file of tensors, written and read.
 *
 *   offset 0      u64  header size N, at most SAFETENSORS_HEADER_BYTES_MAX
 *   offset 8      N    header: JSON {"<name>": {"dtype", "shape", "data_offsets": [begin, end)},
 *                      "__metadata__": {"<key>": "<text>"}}, padded with spaces to 8 bytes
 *   offset 8 + N  data: tensors back to back in the order of their offsets, nothing between or
 *                 behind
 *
 * The writer streams: the list of tensors comes first, so that the header can be written, then the
 * data in the order of the list, in pieces of any size. Beside what a caller says, "__metadata__"
 * gets "sha256.<name>" for every tensor: the digest of its data. The file appears whole or not at
 * all, with the data on disk. Tensors are written in the order that they were added, each beginning
 * at a multiple of its element size: one that would not is refused, so larger elements come first.
 *
 * The reader trusts nothing: every name, type, shape and offset is checked before use, the offsets
 * must tile the data without a gap or overlap, and errors name the file and the tensor. A symbolic
 * link is no file. What it allocates is at most SAFETENSORS_MEMORY_RATIO times the header, which is
 * no larger than the file.
 *
 * Ownership: create/open hands out, destroy/close takes back (NULL is fine). Names and metadata
 *            that a reader hands out live as long as the reader.
 * Threads:   one at a time per writer or reader.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "proto/tensors/tensor.h"

/* In front of a tensor's name: the key of its digest in "__metadata__". */
#define SAFETENSORS_DIGEST_PREFIX "sha256."

/* Bytes that are allocated per byte of a header, at most: parsed JSON is large, and a header that
 * is nothing but values is not one of tensors. */
#define SAFETENSORS_MEMORY_RATIO 64
/* Bytes of a piece of safetensors_reader_stream; a multiple of every element's size. */
#define SAFETENSORS_PIECE_BYTES ((size_t)1 << 20)

struct safetensors_writer;
struct safetensors_reader;

MUST_USE enum status safetensors_writer_create(struct safetensors_writer **out, const char *path,
                                               struct error *err);
/* A text pair for "__metadata__" ("format": "pt" is what Transformers looks for). Before the first
 * write. */
MUST_USE enum status safetensors_writer_metadata(struct safetensors_writer *writer, const char *key,
                                                 const char *value, struct error *err);
/* Announces the next tensor. Before the first write; STATUS_CONFLICT for a name that was there. */
MUST_USE enum status safetensors_writer_add(struct safetensors_writer *writer, const char *name,
                                            enum tensor_dtype dtype,
                                            const struct tensor_shape *shape, struct error *err);
/* The next bytes of data, in the order of the tensors that were added. The first call opens the
 * file. */
MUST_USE enum status safetensors_writer_write(struct safetensors_writer *writer, const void *data,
                                              size_t size, struct error *err);
/* Makes the file appear, durably; STATUS_INVALID when bytes are missing. Ends the writing. */
MUST_USE enum status safetensors_writer_finish(struct safetensors_writer *writer,
                                               struct error *err);
/* Without a finish before it nothing of the file stays. */
void safetensors_writer_destroy(struct safetensors_writer *writer);

MUST_USE enum status safetensors_reader_open(struct safetensors_reader **out, const char *path,
                                             struct error *err);
size_t safetensors_reader_count(const struct safetensors_reader *reader);
/* In the order of their data. */
const struct tensor_info *safetensors_reader_tensor(const struct safetensors_reader *reader,
                                                    size_t index);
/* The tensor with that name, or NULL; its index into *index_out when that is not NULL. */
const struct tensor_info *safetensors_reader_find(const struct safetensors_reader *reader,
                                                  const char *name, size_t *index_out);
/* The text of a "__metadata__" key, or NULL. */
const char *safetensors_reader_metadata(const struct safetensors_reader *reader, const char *key);
/* Of the header: where it has the digests of all data, that says what the file is. */
const struct digest *safetensors_reader_digest(const struct safetensors_reader *reader);
/* size bytes of the tensor's data from offset on, into dst. */
MUST_USE enum status safetensors_reader_read(struct safetensors_reader *reader, size_t index,
                                             size_t offset, void *dst, size_t size,
                                             struct error *err);
/* Gets the next size bytes of a tensor, whole elements. */
typedef enum status safetensors_piece_fn(void *context, const void *data, size_t size,
                                         struct error *err);
/* Hands all of the tensor's data to take, in order, and compares them with the digest that the file
 * has of them, where it has one: STATUS_CORRUPT, after the last piece, when they are others. take
 * may be NULL. */
MUST_USE enum status safetensors_reader_stream(struct safetensors_reader *reader, size_t index,
                                               safetensors_piece_fn *take, void *context,
                                               struct error *err);
void safetensors_reader_close(struct safetensors_reader *reader);
