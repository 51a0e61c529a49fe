/*
 * sample — the texts with the lowest keys, as many as fit into a number of bytes.
 *
 * With keys that are hashes of the texts this is an even draw that depends neither on the order of
 * the texts nor on how many there are ("bottom-k", Cohen & Kaplan 2007). A text longer than a
 * sixteenth of the limit is cut, so that no one text makes up the sample.
 *
 * Ownership: the caller owns the sample, which copies the texts. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "worker/text/tokenizer.h"

struct sample;

MUST_USE enum status sample_create(struct sample **out, size_t bytes_max, struct error *err);

/* NULL is fine. */
void sample_destroy(struct sample *sample);

/* Offers a text of valid UTF-8. */
MUST_USE enum status sample_offer(struct sample *sample, uint64_t key, const char *text,
                                  size_t size, struct error *err);

/* The texts by ascending key; ends the offering. They live as long as the sample. */
MUST_USE enum status sample_finish(struct sample *sample, const struct tokenizer_sample **texts,
                                   size_t *count, struct error *err);
