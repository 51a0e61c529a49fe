/*
 * records — the run folder's records.jsonl: what happened, one JSON object a line, append-only.
 *
 * The file is the truth about a run; the daemon reads it or is told its lines (reporter.h). Every
 * record has type, attempt, step and time_ms (Unix). A line is written by one write and counts once
 * its newline is there: a process killed in between leaves a torn tail, which records_open drops.
 * Records of steps that a later attempt repeats stay; the larger attempt supersedes them.
 *
 * Ownership: the caller owns the struct. Threads: one; rank 0's.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"

#define RECORDS_FILE "records.jsonl"

struct records {
    int fd; /* -1: closed */
    int attempt;
    int64_t size;      /* bytes of whole lines */
    struct bytes line; /* room for the next one */
    char path[PATH_BYTES_MAX];
};

/* Opens or creates RECORDS_FILE in folder, drops a torn tail. */
MUST_USE enum status records_open(struct records *records, const char *folder, int attempt,
                                  struct error *err);
void records_close(struct records *records);

/* Appends a record: fields (taken over; NULL is no memory) plus type, attempt, step and time. */
MUST_USE enum status records_append(struct records *records, const char *type, int64_t step,
                                    json_t *fields, struct error *err);

/* What was appended is on the disk when this returns. */
MUST_USE enum status records_sync(struct records *records, struct error *err);

/* Appends to *out whole lines from offset on, as many as fit in size_max bytes, at least one. */
MUST_USE enum status records_read(const struct records *records, int64_t offset, size_t size_max,
                                  struct bytes *out, struct error *err);

/* Sets key to value and key_bits to "0x…", the value's IEEE 754 bits, so that runs compare exactly.
 */
void records_set_exact(json_t *fields, const char *key, double value);
