/*
 * sealed — JSON files that carry the digest of themselves: the member "digest" is the SHA-256 of
 * the canonical form of the rest. A file that was torn, edited or flipped a bit does not open.
 */
#pragma once

#include <jansson.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"

/* Seals document (which gains the member "digest") and writes it as path, durably; is_new fails
 * with STATUS_CONFLICT when path is there. */
MUST_USE enum status sealed_write(const char *path, json_t *document, bool is_new,
                                  struct digest *digest, struct error *err);

/* *out is a new reference, without the member "digest". STATUS_CORRUPT names the file. */
MUST_USE enum status sealed_read(json_t **out, const char *path, struct digest *digest,
                                 struct error *err);
