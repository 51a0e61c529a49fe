/*
 * launcher — how an attempt becomes processes on this machine: which command, in which environment,
 * with which folders, and the start of its shim.
 *
 *   train:    mpirun … -n R remora-worker train <job>/spec.json --run <job>/run …
 *   prepare:  remora-worker prepare --spec <job>/spec.json …
 *
 * Threads: launch_prepare does I/O and runs on the pool; it touches only what it is handed.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "daemon/attempt_files.h"
#include "daemon/job.h"
#include "daemon/mpirun.h"
#include "proto/base/error.h"
#include "proto/base/json.h"

/* How long the processes of an attempt have between SIGTERM and SIGKILL. */
#define LAUNCH_GRACE_MS 5000

/* Everything about one launch. Plain data, filled before the pool gets it. */
struct launch {
    int64_t job;
    int attempt;
    char attempt_id[ATTEMPT_ID_BYTES];
    int ranks; /* 0: no MPI */
    struct cpu_list cpus;
    struct mpirun mpirun; /* unused when ranks is 0 */
    char worker[PATH_BYTES_MAX];
    char socket[PATH_BYTES_MAX];
    char job_folder[PATH_BYTES_MAX];
    char folder[PATH_BYTES_MAX];        /* of the attempt */
    char shared_folder[PATH_BYTES_MAX]; /* of Open MPI's shared memory */
    char *spec;                         /* canonical JSON, owned */
    char *inputs;                       /* owned */
    char token[TOKEN_HEX_BYTES];        /* out */
};

void launch_deinit(struct launch *launch);

/* *out is a new reference to the list of words. */
MUST_USE enum status launch_command(json_t **out, const struct launch *launch, struct error *err);

/* Where Open MPI keeps its shared memory for this attempt: /dev/shm, which is memory, or the
 * attempt's folder where there is none. out[PATH_BYTES_MAX]. */
MUST_USE enum status launch_shared_folder(char *out, const char *attempt_folder,
                                          const char *attempt_id, struct error *err);

/* Makes the folders and writes all files that the shim and the worker need. */
MUST_USE enum status launch_prepare(struct launch *launch, struct error *err);

/*
 * Starts the shim (program --shim …) as the leader of a session of its own. *pidfd is readable when
 * it has ended; *ready_fd gives one byte when it has taken its lock and written shim.json, then, or
 * instead when it failed, the end. After an error no shim lives, but it may have started a tree.
 */
MUST_USE enum status launch_spawn(const struct launch *launch, const char *program, pid_t *pid,
                                  int *pidfd, int *ready_fd, struct error *err);
