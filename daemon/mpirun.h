/*
 * mpirun — what the launcher must know about Open MPI, per major version; measured, not read.
 *
 * Threads: any; nothing is shared.
 */
#pragma once

#include <stdbool.h>

#include "proto/base/error.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"

/* The installed mpirun. */
struct mpirun {
    char path[PATH_BYTES_MAX];
    int major;            /* 4 or 5; a newer one is treated as 5 */
    bool can_copy_direct; /* process_vm_readv works here (some containers forbid it) */
};

/* Finds mpirun in PATH and asks its version; takes some 20 ms. STATUS_NOT_FOUND with a hint when it
 * is not there, STATUS_UNSUPPORTED when it is not Open MPI's or too old. */
MUST_USE enum status mpirun_probe(struct mpirun *out, struct error *err);

/* Reads "mpirun (Open MPI) 4.1.4"; false when it says anything else. */
bool mpirun_parse_version(const char *text, int *major);

/*
 * Appends mpirun's own words to argv, up to where the program goes:
 *  - no binding: mpirun would put every job on core 0; our ranks set their own affinity
 *  - more ranks than cores are allowed: the scheduler counts slots, not mpirun
 *  - no remote launcher: without ssh on the machine Open MPI 4 refuses even local jobs
 *  - its temporary files go to tmp_folder, its shared memory to shared_folder: mpirun leaves both
 *    behind when it is killed, so they have to be where they can be removed
 */
MUST_USE enum status mpirun_append_words(json_t *argv, const struct mpirun *mpirun, int ranks,
                                         const char *tmp_folder, const char *shared_folder,
                                         struct error *err);
