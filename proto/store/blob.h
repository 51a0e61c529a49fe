/*
 * blob — bytes stored under their digest, one file each: <folder>/ab/<64 hex digits>.
 *
 *   offset  width
 *   0       8      magic "RMRABLOB"
 *   8       u16    version, 1
 *   10      u16    codec: 0 raw, 1 zstd, 2 planes16, 3 planes32 (blob_codec.h)
 *   12      u32    0
 *   16      u64    bytes of the content, at most CHUNK_BYTES
 *   24      u64    bytes of the payload, which is the rest of the file
 *   32      32     SHA-256 of the content: the address
 *   64             payload
 *
 * A file appears under its address with all bytes on disk, or not at all; the entry in its folder
 * is durable only after blob_folders_sync.
 *
 * Ownership: create hands out, destroy takes back (NULL is fine). Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "proto/store/blob_codec.h"

#define BLOB_HEADER_BYTES 64

/* What a blob is, as a manifest tells it. */
struct blob_facts {
    struct digest digest;
    enum blob_codec codec;
    uint64_t stored_bytes; /* of the file */
};

/* A folder of blobs and the buffers to write and read them: three chunks and zstd's state. */
struct blob_folder;

MUST_USE enum status blob_folder_create(struct blob_folder **out, const char *path,
                                        struct error *err);
void blob_folder_destroy(struct blob_folder *folder);

/* out[PATH_BYTES_MAX] */
MUST_USE enum status blob_path(char *out, const struct blob_folder *folder,
                               const struct digest *digest, struct error *err);

/* Writes data[size], size in 1…CHUNK_BYTES, under digest, which is its own, packed by codec where
 * that makes it smaller; a file that is there is replaced. */
MUST_USE enum status blob_write(struct blob_folder *folder, const struct digest *digest,
                                enum blob_codec codec, const void *data, size_t size,
                                struct blob_facts *facts, struct error *err);

/* Reads the blob of exactly size content bytes into dst[size] and checks all of it. Missing, torn
 * or altered is STATUS_CORRUPT, naming the file. facts may be NULL. */
MUST_USE enum status blob_read(struct blob_folder *folder, const struct digest *digest, void *dst,
                               size_t size, struct blob_facts *facts, struct error *err);

/* As blob_read from a file's bytes; name is for messages. */
MUST_USE enum status blob_unpack(struct blob_coder *coder, const struct digest *digest, void *dst,
                                 size_t size, const uint8_t *file, size_t file_bytes,
                                 const char *name, struct blob_facts *facts, struct error *err);

/* As blob_read into a buffer of the folder's own. */
MUST_USE enum status blob_verify(struct blob_folder *folder, const struct digest *digest,
                                 size_t size, struct blob_facts *facts, struct error *err);

/* Makes sure that a blob from an earlier process is on disk and that its entry will be. */
MUST_USE enum status blob_adopt(struct blob_folder *folder, const struct digest *digest,
                                struct error *err);

/* Makes durable the entries of all that was written or adopted since the last time. */
MUST_USE enum status blob_folders_sync(struct blob_folder *folder, struct error *err);

/* Told of each blob; false removes it. */
typedef bool blob_keep_fn(void *context, const struct digest *digest);

/* Removes blobs that keep does not want, and what was left aside. */
MUST_USE enum status blob_sweep(struct blob_folder *folder, blob_keep_fn *keep, void *context,
                                struct error *err);
