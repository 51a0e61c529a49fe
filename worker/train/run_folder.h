/*
 * run_folder — the folder of a run: what it trains on and everything that it leaves.
 *
 *   spec.json        the canonical spec; a folder is of one spec for ever, `launch` apart
 *   inputs.json      digests of what the spec names, taken at submit or at the first attempt
 *   pinned.json      what `auto` and the machine decided at the first attempt
 *   tokenizer.model  a copy, so that the run can be exported when its source is gone
 *   records.jsonl    records.h
 *   checkpoints/     proto/store
 *   run.lock         held by the attempt that trains: two never write one run
 *
 * Ownership: the caller owns the struct. Threads: one; rank 0's.
 */
#pragma once

#include <jansson.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"

struct run_folder {
    int lock_fd; /* -1: closed */
    char path[PATH_BYTES_MAX];
};
#define RUN_FOLDER_EMPTY ((struct run_folder){.lock_fd = -1})

/* Makes the folder where it is missing and locks it; STATUS_BUSY while another attempt holds it. */
MUST_USE enum status run_folder_open(struct run_folder *folder, const char *path,
                                     struct error *err);
void run_folder_close(struct run_folder *folder);

/* The folder becomes that of spec, or already is: else STATUS_CONFLICT names the first field that
 * differs. */
MUST_USE enum status run_folder_set_spec(const struct run_folder *folder, json_t *spec,
                                         struct error *err);

/* Compares what spec names with the digests in inputs.json; the first attempt writes that from
 * submitted (what the daemon recorded, NULL: taken now). STATUS_CONFLICT names what changed. */
MUST_USE enum status run_folder_check_inputs(const struct run_folder *folder, const json_t *spec,
                                             json_t *submitted, struct error *err);

/* The first attempt writes pins. A later one appends to *differences what is not as it was then
 * ("isa avx512 → avx2, "), empty when all is. */
MUST_USE enum status run_folder_pin(const struct run_folder *folder, json_t *pins,
                                    struct bytes *differences, struct error *err);

/* The word that the first attempt pinned under key; "" where nothing is pinned yet. */
MUST_USE enum status run_folder_pinned(const struct run_folder *folder, const char *key, char *out,
                                       size_t size, struct error *err);

/* Copies the tokenizer's model unless it is there. */
MUST_USE enum status run_folder_keep_tokenizer(const struct run_folder *folder, const char *path,
                                               struct error *err);
