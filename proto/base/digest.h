/*
 * digest — SHA-256 (libcrypto), the address of everything that is stored by content.
 * Written as 64 lower-case hex digits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

#define DIGEST_BYTES     32
#define DIGEST_HEX_BYTES 65 /* with the NUL */

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

struct digest_stream; /* owned by the caller through create/destroy */

MUST_USE enum status digest_stream_create(struct digest_stream **out, struct error *err);
void digest_stream_update(struct digest_stream *stream, const void *data, size_t size);
/* Gives the digest of all so far and starts anew. */
void digest_stream_finish(struct digest_stream *stream, struct digest *out);
void digest_stream_destroy(struct digest_stream *stream);

void digest_of(struct digest *out, const void *data, size_t size);
MUST_USE enum status digest_of_file(struct digest *out, const char *path, struct error *err);
void digest_to_hex(char out[DIGEST_HEX_BYTES], const struct digest *digest);
bool digest_from_hex(struct digest *out, const char *hex);
bool digest_equal(const struct digest *a, const struct digest *b);
