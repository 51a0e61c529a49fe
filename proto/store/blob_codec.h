/*
 * blob_codec — what a chunk of a tensor becomes in its blob.
 *
 *   raw        the bytes themselves
 *   zstd       one zstd frame
 *   planes16   numbers of 16 bits (bf16, fp16) as 2 planes of bytes, see blob_planes.h
 *   planes32   fp32 as 4 planes
 *
 * A payload of P planes, integers little-endian:
 *
 *   offset  width
 *   0       u32 × P   stored bytes of each plane, at most n = the content's bytes / P
 *   4 P               the planes, the most significant first: one zstd frame each, or the n bytes
 *                     themselves where n bytes are stored
 *                     the content's last bytes, fewer than P
 *
 * Ownership: create hands out, destroy takes back (NULL is fine). Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/tensors/tensor.h"

/* X(constant, name, value in the file) */
#define BLOB_CODEC_LIST(X)  \
 X(RAW, "raw", 0)           \
 X(ZSTD, "zstd", 1)         \
 X(PLANES16, "planes16", 2) \
 X(PLANES32, "planes32", 3)

enum blob_codec {
#define X(constant, name, value) BLOB_CODEC_##constant = (value),
    BLOB_CODEC_LIST(X)
#undef X
};

/* zstd's state and one chunk of planes. */
struct blob_coder;

const char *blob_codec_name(enum blob_codec codec);
bool blob_codec_from_name(enum blob_codec *out, const char *name);
/* False for a number that no codec has. */
bool blob_codec_from_number(enum blob_codec *out, uint16_t number);
/* The one that is worth trying for tensors of dtype. */
enum blob_codec blob_codec_for(enum tensor_dtype dtype);

MUST_USE enum status blob_coder_create(struct blob_coder **out, struct error *err);
void blob_coder_destroy(struct blob_coder *coder);

/* Room that blob_encode needs for size bytes. */
size_t blob_encode_bound(size_t size);

/* Packs data[size], at most CHUNK_BYTES, into payload as *codec says, or as raw bytes where that is
 * not smaller, which *codec then tells. The bytes of the payload. */
size_t blob_encode(struct blob_coder *coder, enum blob_codec *codec, uint8_t *payload,
                   const void *data, size_t size);

/* Unpacks a payload into the size bytes of dst, at most CHUNK_BYTES. STATUS_CORRUPT says what is
 * wrong, without a file's name; dst is then anything. */
MUST_USE enum status blob_decode(struct blob_coder *coder, enum blob_codec codec, void *dst,
                                 size_t size, const uint8_t *payload, size_t payload_bytes,
                                 struct error *err);
