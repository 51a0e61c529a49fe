/*
 * queue — the durable queue: an append-only log of events in queue.db with the jobs and attempts
 * that follow from it.
 *
 * Invariants: an event and its effect on the tables are one transaction. Changes gather in one
 *             transaction until queue_commit (once per loop iteration); reads see them before.
 *             After a failed change only queue_rollback is possible. A job has at most one
 *             unfinished attempt.
 * Ownership:  the caller owns the queue. Rows are copied out.
 * Threads:    one thread per queue; the daemon's is its loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/event.h"
#include "daemon/job.h"
#include "proto/base/bytes.h"
#include "proto/base/error.h"

struct queue;

/* Opens or creates the file at path. */
MUST_USE enum status queue_open(struct queue **out, const char *path, struct error *err);
/* Drops what is not committed. NULL is fine. */
void queue_close(struct queue *queue);

/* Appends an event about a job (attempt 0: as a whole), begins the transaction when none is open,
 * applies the event to the tables. data is taken over, NULL is a failed allocation. */
MUST_USE enum status queue_append(struct queue *queue, enum event_type type, int64_t job,
                                  int attempt, json_t *data, struct error *err);
/* Keeps a document (canonical JSON) under its digest; once is enough. */
MUST_USE enum status queue_put_document(struct queue *queue, const char *digest, const char *body,
                                        struct error *err);
/* Durable when it returns STATUS_OK. Nothing to commit is fine. */
MUST_USE enum status queue_commit(struct queue *queue, struct error *err);
void queue_rollback(struct queue *queue);
/* Whether a change failed since the last commit or rollback; *err is then its error. */
bool queue_has_failed(const struct queue *queue, struct error *err);

/* Whether there is nothing that a rollback would undo. */
bool queue_is_committed(const struct queue *queue);

/* The id that the next submitted job gets. */
MUST_USE enum status queue_next_job(struct queue *queue, int64_t *out, struct error *err);
/* seq of the newest event, uncommitted ones included; 0 when there is none. */
int64_t queue_last_seq(const struct queue *queue);

/* STATUS_NOT_FOUND with a hint when there is none. */
MUST_USE enum status queue_get_job(struct queue *queue, struct job *out, int64_t id,
                                   struct error *err);
/* reference is an id or a name; a name that several jobs have is STATUS_CONFLICT listing ids. */
MUST_USE enum status queue_find_job(struct queue *queue, struct job *out, const char *reference,
                                    struct error *err);
MUST_USE enum status queue_get_attempt(struct queue *queue, struct attempt *out, int64_t job,
                                       int number, struct error *err);
/* Appends the document's text to *out. */
MUST_USE enum status queue_get_document(struct queue *queue, struct bytes *out, const char *digest,
                                        struct error *err);

/* Called per row; returning anything but STATUS_OK ends the walk with it. Must not change the
 * queue nor start the same walk again. */
typedef enum status queue_job_fn(void *context, const struct job *job, struct error *err);
typedef enum status queue_attempt_fn(void *context, const struct attempt *attempt,
                                     struct error *err);
typedef enum status queue_event_fn(void *context, const struct event *event, struct error *err);

/* Newest first; only jobs below id before (0: all), at most limit, and only those that are not in a
 * final state or ended at ended_since_ms or later. */
MUST_USE enum status queue_each_job(struct queue *queue, int64_t before, int64_t ended_since_ms,
                                    int64_t limit, queue_job_fn *each, void *context,
                                    struct error *err);
/* In the order of the queue. */
MUST_USE enum status queue_each_queued(struct queue *queue, queue_job_fn *each, void *context,
                                       struct error *err);
/* The attempts of a job by number, or, with job 0, all that have not ended. */
MUST_USE enum status queue_each_attempt(struct queue *queue, int64_t job, queue_attempt_fn *each,
                                        void *context, struct error *err);
/* Events with seq ≥ from_seq, of one job or (job 0) of all, at most limit, in order. */
MUST_USE enum status queue_each_event(struct queue *queue, int64_t job, int64_t from_seq,
                                      int64_t limit, queue_event_fn *each, void *context,
                                      struct error *err);
/* counts[state] of all jobs. */
MUST_USE enum status queue_count_states(struct queue *queue, int64_t counts[JOB_STATE_COUNT],
                                        struct error *err);

/* Replays all events into an empty database and compares its tables with ours: STATUS_CORRUPT names
 * the first difference. */
MUST_USE enum status queue_verify(struct queue *queue, struct error *err);
