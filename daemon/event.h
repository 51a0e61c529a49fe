/*
 * event — one entry of the queue's append-only log. What each type carries stands at the top of
 * schemas/sql/0001_queue.sql.
 *
 * Ownership: an event owns its data; event_deinit releases it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/job.h"
#include "proto/base/error.h"
#include "proto/base/json.h"

#define EVENT_LIST(X)                            \
 X(JOB_SUBMITTED, "job_submitted")               \
 X(ATTEMPT_STARTING, "attempt_starting")         \
 X(ATTEMPT_STARTED, "attempt_started")           \
 X(ATTEMPT_ADOPTED, "attempt_adopted")           \
 X(RUN_STARTED, "run_started")                   \
 X(CHECKPOINT_COMMITTED, "checkpoint_committed") \
 X(EVALUATED, "evaluated")                       \
 X(STEP_SKIPPED, "step_skipped")                 \
 X(LOSS_SPIKE, "loss_spike")                     \
 X(ATTEMPT_ENDED, "attempt_ended")               \
 X(JOB_REQUEUED, "job_requeued")                 \
 X(JOB_STOPPING, "job_stopping")                 \
 X(JOB_SUCCEEDED, "job_succeeded")               \
 X(JOB_FAILED, "job_failed")                     \
 X(JOB_CANCELLED, "job_cancelled")               \
 X(JOB_RESUMED, "job_resumed")

enum event_type {
#define X(constant, name) EVENT_##constant,
    EVENT_LIST(X)
#undef X
        EVENT_COUNT
};

struct event {
    int64_t seq; /* 0 until appended */
    int64_t time_ms;
    int64_t job;
    int attempt; /* 0: about the job as a whole */
    enum event_type type;
    json_t *data; /* an object */
};

const char *event_type_name(enum event_type type);
bool event_type_from_name(enum event_type *out, const char *name);

/* As the protocol has it: {seq, time_ms, job, attempt, type, data}. New reference, NULL when memory
 * is out. */
json_t *event_to_json(const struct event *event);

/* {type, evidence, hint} and back; reading gives false for a type that this version lacks. */
json_t *reason_to_json(const struct reason *reason);
bool reason_from_json(struct reason *out, const json_t *json);

void event_deinit(struct event *event);
