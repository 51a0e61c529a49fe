/*
 * ingest — from a run folder's records.jsonl into the metrics: by reading the file, or from lines
 * that the worker has sent. Both go by byte offsets, so what came twice counts once, and a gap is
 * filled from the file, which is the truth.
 *
 * Threads: one; the daemon's loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/metrics.h"
#include "proto/base/error.h"
#include "proto/base/json.h"

/* Called for each new record, in order. */
typedef void ingest_record_fn(void *context, int64_t job, const json_t *record);

struct ingest {
    struct metrics *metrics;
    ingest_record_fn *on_record; /* may be NULL */
    void *context;
};

/* At most about this much is read at once, so that the loop answers in between. */
#define INGEST_SLICE_BYTES (256 * KIB)

/* Reads on from where the metrics are, one slice of run_folder's records. *is_at_end tells that
 * there was no more. A missing file is an empty one; a file that has become shorter (power was lost
 * before it was on the disk) is read again from its start. */
MUST_USE enum status ingest_file(const struct ingest *ingest, int64_t job, const char *run_folder,
                                 bool *is_at_end, struct error *err);

/* Takes the lines of an array of text; the first starts at offset. Lines that are known already are
 * passed over. *has_gap tells that bytes before offset are missing: read the file then. */
MUST_USE enum status ingest_lines(const struct ingest *ingest, int64_t job, int64_t offset,
                                  const json_t *lines, bool *has_gap, struct error *err);
