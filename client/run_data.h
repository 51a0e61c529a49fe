/*
 * run_data — the text of `remora run`: which files, what their digest is, and their preparation,
 * which is kept in a folder named by that digest, so that the same text is prepared once.
 *
 *   FOLDER/NAME.yaml                    the spec
 *   FOLDER/remora-prepared/1f2e3d4c5b6a/  train/ validation/ tokenizer.model prepare.json
 *
 * FOLDER is where the data is, or the current folder where that one cannot be written.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/limits.h"

#define RUN_KEY_DIGITS 12

struct run_data {
    json_t *files;      /* sorted absolute paths, no doubles */
    int64_t file_bytes; /* on disk */
    int64_t text_bytes; /* estimated */
    int64_t vocab_size; /* to be trained */
    double validation_fraction;
    char folder[PATH_BYTES_MAX]; /* where the spec goes */
    char prepared[64];           /* of the prepared data, below folder */
};

/* Finds the files that the patterns match and takes their digests. vocab_size 0 chooses one. */
MUST_USE enum status run_data_open(struct run_data *out, const char *const *patterns,
                                   size_t pattern_count, int64_t vocab_size, struct error *err);
void run_data_close(struct run_data *data);

/* Prepares with remora-worker unless that has been done. *exit_code is the worker's; what went
 * wrong there it has said itself. */
MUST_USE enum status run_data_prepare(const struct run_data *data, bool *was_ready, int *exit_code,
                                      struct error *err);

/* Tokens of the prepared data. */
MUST_USE enum status run_data_tokens(const struct run_data *data, int64_t *train,
                                     int64_t *validation, struct error *err);
