/*
 * documents — which documents a batch was made of, for whoever has to look at them.
 *
 * A document is named by its source (index into data.train) and its index in the source's shards,
 * from 0. Ranges are sorted and do not overlap.
 *
 * Ownership: the caller frees what it is handed. Threads: any.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "worker/train/corpus.h"

struct document_range {
    uint32_t source;
    int64_t first;
    int64_t last;
};

/* Of the batch of step. Free *out with documents_free. */
MUST_USE enum status documents_of_batch(struct document_range **out, size_t *count,
                                        const struct corpus *corpus, int64_t step,
                                        struct error *err);
void documents_free(struct document_range *ranges);

/* "data.train[0] 12-15, 40; data.train[1] 7" as far as it fits in text[size]; then " …". */
void documents_print(char *text, size_t size, const struct document_range *ranges, size_t count);

/* [{"source": 0, "first": 12, "last": 15}, …] of at most DOCUMENTS_RECORDED ranges; a new
 * reference. */
#define DOCUMENTS_RECORDED 512
json_t *documents_to_json(const struct document_range *ranges, size_t count);
