/*
 * metrics — what runs have recorded, arranged for reading: metrics.db, a cache of the run folders'
 * records.jsonl that is rebuilt whenever it is lost.
 *
 * A record is known by the byte offset of its line, so reading a line twice changes nothing. An
 * attempt's start record supersedes what earlier attempts wrote about later steps than the one it
 * resumed from; what is left is the effective curve.
 *
 * Invariants: the rows of a job and the offset up to which its file was read move in one
 *             transaction, open from the first change until metrics_commit.
 * Threads:    one thread; the daemon's loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/json.h"

struct metrics;

/* Opens or creates; what is damaged or of another version is replaced by an empty one, and
 * *was_replaced then says that the run folders are to be read again. */
MUST_USE enum status metrics_open(struct metrics **out, const char *path, bool *was_replaced,
                                  struct error *err);
void metrics_close(struct metrics *metrics); /* NULL is fine */

MUST_USE enum status metrics_commit(struct metrics *metrics, struct error *err);
void metrics_rollback(struct metrics *metrics);

/* Up to which byte the job's records.jsonl was taken. */
MUST_USE enum status metrics_offset(struct metrics *metrics, int64_t job, int64_t *out,
                                    struct error *err);

/* Takes the line (without its newline) that starts at offset, which must be metrics_offset's.
 * *record is a new reference to it, NULL for a line that is no record: such a one is passed over.
 */
MUST_USE enum status metrics_ingest(struct metrics *metrics, int64_t job, int64_t offset,
                                    const char *line, size_t size, json_t **record,
                                    struct error *err);

/* Forgets all about a job, whose file is then read from its start. */
MUST_USE enum status metrics_forget(struct metrics *metrics, int64_t job, struct error *err);

/* The newest step and the number of steps planned; 0 where not known yet. */
MUST_USE enum status metrics_progress(struct metrics *metrics, int64_t job, int64_t *step,
                                      int64_t *steps, struct error *err);

/* The effective record of this kind with the largest step; *out is a new reference, or NULL. */
MUST_USE enum status metrics_newest(struct metrics *metrics, int64_t job, const char *kind,
                                    json_t **out, struct error *err);

struct metrics_query {
    int64_t job;
    const char *kind;
    int64_t from_step;
    int64_t limit;    /* rows, at least 1 */
    size_t bytes_max; /* of records, about; at least one step is given */
    bool with_superseded;
};

/* Appends records to the array rows, by step. *next is the step to go on from, -1 at the end: a
 * step is never cut in two, so a page may be a few rows longer than both limits. */
MUST_USE enum status metrics_page(struct metrics *metrics, const struct metrics_query *query,
                                  json_t *rows, int64_t *next, struct error *err);
