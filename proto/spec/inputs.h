/*
 * inputs — the files and folders that a spec names, with digests: taken when a job is submitted,
 * compared when an attempt starts, so that a run never continues on other data than it began with.
 *
 * Written form, the content of inputs.json: an array, in the order of the spec's fields, of
 *   {"field": "data.train[0].shards", "kind": "shards", "path": "/data/train", "digest": "<hex>"}
 * kind is checkpoint (what a run begins with: the digest of its manifest), shards (a folder of
 * token shards: the digest of their headers, which hold those of their tokens; every byte is
 * verified against them), or file (tokenizer, text: SHA-256 of its bytes). All is read, at the
 * speed of the disk or of SHA-256, 1.7 GB/s. A pattern gives an entry for each file that it
 * matches, sorted by path.
 *
 * Threads: any. These read files: keep them off an event loop.
 */
#pragma once

#include <jansson.h>

#include "proto/base/error.h"

/* Files that one pattern may match; all of PubMed has about 1 500. */
#define SPEC_FILES_MAX 65536

/* *out is a new reference. spec is validated and its paths absolute. Something missing or
 * unreadable is an error naming the field. */
MUST_USE enum status spec_inputs(json_t **out, const json_t *spec, struct error *err);

/* Takes the digests again and compares with what spec_inputs gave before; STATUS_CONFLICT names the
 * first input that changed, appeared or went away. */
MUST_USE enum status spec_inputs_check(const json_t *spec, const json_t *inputs, struct error *err);

/* The files that a pattern (or plain path) matches, as a sorted array of text; none is
 * STATUS_NOT_FOUND naming field. */
MUST_USE enum status spec_glob(json_t **out, const char *pattern, const char *field,
                               struct error *err);
