/*
 * attempt_files — what an attempt leaves on disk: the contract between daemon, shim and worker, and
 * what tells a restarted daemon the truth.
 *
 *   <state>/jobs/<job>/spec.json          canonical spec
 *   <state>/jobs/<job>/inputs.json        what it names, with digests
 *   <state>/jobs/<job>/run/               the run folder (the worker's)
 *   <state>/jobs/<job>/attempts/<n>/      the attempt folder:
 *       attempt.lock   held by the shim as long as it lives
 *       launch.json    what the shim is to run
 *       token          by which rank 0 proves which attempt it is (mode 0600)
 *       shim.json      who the shim is; written before it starts anything
 *       exit.json      how it ended; written when nothing of the attempt is alive
 *       output.log     stdout and stderr of all its processes
 *       rank-<r>.error.json   why a rank failed, in its own words
 *       tmp/           temporary files of Open MPI, removed at the end
 *
 * exit.json also fences: a shim that finds one does not start, so whoever holds the lock and
 * writes it has made sure that the attempt never runs (again).
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/job.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"

#define ATTEMPT_LOCK_FILE   "attempt.lock"
#define ATTEMPT_LAUNCH_FILE "launch.json"
#define ATTEMPT_TOKEN_FILE  "token"
#define ATTEMPT_SHIM_FILE   "shim.json"
#define ATTEMPT_EXIT_FILE   "exit.json"
#define ATTEMPT_OUTPUT_FILE "output.log"
#define ATTEMPT_TMP_FOLDER  "tmp"
#define TOKEN_HEX_BYTES     65 /* 256 random bits, with the NUL */

/* Each out[PATH_BYTES_MAX]. */
MUST_USE enum status job_folder_path(char *out, const char *state_folder, int64_t job,
                                     struct error *err);
MUST_USE enum status run_folder_path(char *out, const char *state_folder, int64_t job,
                                     struct error *err);
MUST_USE enum status attempt_folder_path(char *out, const char *state_folder, int64_t job,
                                         int attempt, struct error *err);

/* Takes attempt.lock without waiting: STATUS_BUSY when the shim lives. The lock goes with *fd,
 * which programs started from here do not inherit. */
MUST_USE enum status attempt_lock_take(int *fd, const char *folder, struct error *err);

/* Removes tmp/ and the folder of shared memory; what cannot be removed is the error. */
MUST_USE enum status attempt_scratch_remove(const char *folder, const char *shared_folder,
                                            struct error *err);

/* The attempt's control group as launch.json has it; "" when there is none. out[PATH_BYTES_MAX]. */
void attempt_cgroup_read(char *out, const char *folder, const char *attempt_id);

/* Each read gives STATUS_NOT_FOUND when the file is not there (yet). */
MUST_USE enum status shim_record_write(const char *folder, const char *attempt_id,
                                       const struct process_identity *shim, struct error *err);
MUST_USE enum status shim_record_read(const char *folder, struct process_identity *out,
                                      struct error *err);

struct exit_record {
    int exit_code;      /* of mpirun or the worker; -1: none, it was killed or never ran */
    int signal;         /* that killed it; 0: none */
    bool is_cancelled;  /* the shim was told to take it down before it had ended */
    bool never_started; /* written by a daemon in place of a shim that never came to be */
    int64_t ended_ms;
    char message[256]; /* why nothing could be started; else empty */
};

MUST_USE enum status exit_record_write(const char *folder, const struct exit_record *record,
                                       struct error *err);
MUST_USE enum status exit_record_read(const char *folder, struct exit_record *out,
                                      struct error *err);

/* out[TOKEN_HEX_BYTES] */
MUST_USE enum status token_create(const char *folder, char *out, struct error *err);
MUST_USE enum status token_read(const char *folder, char *out, struct error *err);

/* What the rank that failed first has said; false when none has. */
bool rank_error_read(const char *folder, int ranks, struct error *out);

/* The last line of output.log that is not blank, as valid UTF-8; "" when there is none. */
void output_last_line(const char *folder, char *out, size_t size);
