/*
 * checkpoint_path — finds the checkpoint that a person means.
 *
 *   …/manifests/000000000100-000001.json   that one
 *   RUN, RUN/checkpoints                   the newest that verifies
 *   RUN@STEP, RUN/checkpoints@STEP         that of a step
 *
 * Ownership: the caller closes what was found. Threads: any.
 */
#pragma once

#include "proto/base/error.h"
#include "proto/base/limits.h"

struct checkpoint;
struct store;

struct found_checkpoint {
    struct store *store;
    struct checkpoint *checkpoint;
    char run_folder[PATH_BYTES_MAX]; /* the folder that checkpoints/ lies in */
};

/* STATUS_NOT_FOUND says what text could have been. */
MUST_USE enum status checkpoint_path_open(struct found_checkpoint *out, const char *text,
                                          struct error *err);
void found_checkpoint_close(struct found_checkpoint *found);
