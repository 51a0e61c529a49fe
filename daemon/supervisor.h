/*
 * supervisor — the life of jobs: starts attempts when slots are free, watches their shims, finds
 * out how they ended, tries again, and after a restart of the daemon takes up where it was.
 *
 * The order of a launch is a contract: attempt_starting is committed → the shim is spawned → it
 * holds its lock and has written shim.json → attempt_started. A daemon that is killed between any
 * two leaves enough for the next to find out the truth: no attempt runs twice, no job is lost.
 *
 * Invariants: side effects (spawning, signals) follow the commit of the event that intends them.
 *             What is in memory is rebuilt from queue and attempt folders by supervisor_start.
 * Ownership:  borrows queue, metrics and loop, which outlive it.
 * Threads:    the loop's; slow work goes to the pool as messages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "daemon/ingest.h"
#include "daemon/metrics.h"
#include "daemon/queue.h"
#include "daemon/scheduler.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"

struct supervisor;

struct supervisor_config {
    char state_folder[PATH_BYTES_MAX];
    char socket_path[PATH_BYTES_MAX];
    char worker_path[PATH_BYTES_MAX];
    char program_path[PATH_BYTES_MAX]; /* our own executable: it is the shim, too */
    struct slot_set slots;
};

/* Has rank 0 of an attempt told what to do at its next step boundary ("stop", "checkpoint"); false
 * when it is not connected. */
typedef bool supervisor_control_fn(void *context, int64_t job, int attempt, const char *action);

struct supervisor_callbacks {
    ingest_record_fn *on_record; /* every new record of attempts that are under way */
    supervisor_control_fn *on_control;
    void *context; /* of both */
};

MUST_USE enum status supervisor_create(struct supervisor **out, uv_loop_t *loop,
                                       struct queue *queue, struct metrics *metrics,
                                       const struct supervisor_config *config,
                                       const struct supervisor_callbacks *callbacks,
                                       struct error *err);

/* Takes up the attempts that have not ended, begins to schedule. */
MUST_USE enum status supervisor_start(struct supervisor *supervisor, struct error *err);
/* Closes its handles and leaves all attempts alone. Memory goes with supervisor_destroy, once the
 * loop has run the close callbacks. */
void supervisor_stop(struct supervisor *supervisor);
void supervisor_destroy(struct supervisor *supervisor); /* NULL is fine */

/* ---- Around the loop's transaction ---- */

/* Before the commit: appends the intentions to start what fits. */
void supervisor_plan(struct supervisor *supervisor);
/* After it: does what was intended. */
void supervisor_committed(struct supervisor *supervisor);
/* Instead: forgets what did not become durable; it is tried again in a while. */
void supervisor_rolled_back(struct supervisor *supervisor);

/* ---- Requests ---- */

/* There is a new job in the queue. */
void supervisor_wake(struct supervisor *supervisor);
/* Asks for a job to be cancelled; *state is where it is then: a worker that is connected is told to
 * stop at its next step boundary, with a checkpoint; it, or else the whole tree at once, is taken
 * down by signals. A job that has ended otherwise is STATUS_CONFLICT. */
MUST_USE enum status supervisor_cancel(struct supervisor *supervisor, const struct job *job,
                                       int64_t uid, enum job_state *state, struct error *err);
/* Puts a failed or cancelled job back into the queue. */
MUST_USE enum status supervisor_resume(struct supervisor *supervisor, const struct job *job,
                                       int64_t uid, struct error *err);

int supervisor_slots_total(const struct supervisor *supervisor);
int supervisor_slots_free(const struct supervisor *supervisor);
const char *supervisor_state_folder(const struct supervisor *supervisor);

/* ---- Rank 0's connection ---- */

/* Checks the token; *offset is up to which byte we have the run's records. */
MUST_USE enum status supervisor_attach(struct supervisor *supervisor, int64_t job, int attempt,
                                       const char *token, int64_t *offset, struct error *err);
void supervisor_detach(struct supervisor *supervisor, int64_t job, int attempt);
/* Lines of records.jsonl; *known is up to which byte we have them then. */
MUST_USE enum status supervisor_report(struct supervisor *supervisor, int64_t job, int attempt,
                                       int64_t offset, const json_t *lines, int64_t *known,
                                       struct error *err);
