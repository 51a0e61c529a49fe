/*
 * job — what a job and an attempt are to the daemon: states, reasons, and which move is allowed.
 *
 * States and reasons are separate: the state says where a job is, the reason why it is there, with
 * evidence (what was seen) and a hint (the next command to type).
 *
 * Threads: plain data, no state of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/limits.h"

/* X(constant, name, is_final). PAUSED has its place, but nothing leads to it yet. */
#define JOB_STATE_LIST(X)        \
 X(QUEUED, "queued", false)      \
 X(STARTING, "starting", false)  \
 X(RUNNING, "running", false)    \
 X(STOPPING, "stopping", false)  \
 X(PAUSED, "paused", false)      \
 X(SUCCEEDED, "succeeded", true) \
 X(FAILED, "failed", true)       \
 X(CANCELLED, "cancelled", true)

enum job_state {
#define X(constant, name, is_final) JOB_STATE_##constant,
    JOB_STATE_LIST(X)
#undef X
        JOB_STATE_COUNT
};

#define ATTEMPT_STATE_LIST(X)                                                      \
 X(STARTING, "starting")   /* intended; the shim has not said yet that it lives */ \
 X(RUNNING, "running")     /* the shim lives, or did when last seen */             \
 X(SUCCEEDED, "succeeded") /* ended, by exit code 0 */                             \
 X(FAILED, "failed")       /* ended in any other way that nobody asked for */      \
 X(CANCELLED, "cancelled") /* ended because it was told to */

enum attempt_state {
#define X(constant, name) ATTEMPT_STATE_##constant,
    ATTEMPT_STATE_LIST(X)
#undef X
        ATTEMPT_STATE_COUNT
};

/* Why a job or an attempt is in its state. */
#define REASON_LIST(X)                                                                       \
 X(SUBMITTED, "submitted")                                                                   \
 X(RESUMED, "resumed")     /* by a person, after it had ended */                             \
 X(RETRY, "retry")         /* the last attempt failed and others are left */                 \
 X(LAUNCHING, "launching") /* the shim is being started */                                   \
 X(LAUNCHED, "launched")   /* the shim lives */                                              \
 X(CANCEL_REQUESTED, "cancel_requested")                                                     \
 X(CANCELLED, "cancelled") /* and verified: no process is left */                            \
 X(COMPLETED, "completed")                                                                   \
 X(INVALID_JOB, "invalid_job")     /* the worker refused; trying again would not help */     \
 X(WORKER_FAILED, "worker_failed") /* exit code other than 0 */                              \
 X(WORKER_KILLED, "worker_killed") /* by a signal */                                         \
 X(LAUNCH_FAILED, "launch_failed") /* the shim, mpirun or the worker could not be started */ \
 X(SHIM_LOST, "shim_lost")         /* the shim vanished without an exit record */            \
 X(HOST_RESTARTED, "host_restarted")                                                         \
 X(NEVER_STARTED, "never_started") /* the daemon ended between its intention and the launch */

enum reason_type {
#define X(constant, name) REASON_##constant,
    REASON_LIST(X)
#undef X
        REASON_COUNT
};

#define REASON_EVIDENCE_BYTES 1024
#define REASON_HINT_BYTES     320

struct reason {
    enum reason_type type;
    char evidence[REASON_EVIDENCE_BYTES];
    char hint[REASON_HINT_BYTES];
};

#define JOB_KIND_BYTES    16
#define BOOT_ID_BYTES     40 /* a UUID as text, with the NUL and some room */
#define ATTEMPT_ID_BYTES  40
#define JOB_CPUS_MAX      SLOTS_MAX
#define JOB_TIME_NEVER_MS INT64_C(0)

/* Identity of a process: a pid alone is used again, the three together are not. */
struct process_identity {
    char boot_id[BOOT_ID_BYTES];
    int64_t pid;          /* 0: none */
    uint64_t start_ticks; /* field 22 of /proc/PID/stat */
};

struct job {
    int64_t id;
    char name[JOB_NAME_BYTES_MAX + 1];
    char kind[JOB_KIND_BYTES];
    enum job_state state;
    struct reason reason;
    char spec_digest[DIGEST_HEX_BYTES];
    char inputs_digest[DIGEST_HEX_BYTES];
    int64_t uid;
    int slots;
    int attempts_max;
    int attempts_used;
    int attempt; /* number of the newest; 0: none yet */
    int64_t queued_seq;
    int64_t submitted_ms;
    int64_t started_ms; /* JOB_TIME_NEVER_MS until the first attempt */
    int64_t ended_ms;   /* JOB_TIME_NEVER_MS unless the state is final */
};

/* A short list of core numbers. */
struct cpu_list {
    int count;
    int cpus[JOB_CPUS_MAX];
};

struct attempt {
    int64_t job;
    int number;
    char id[ATTEMPT_ID_BYTES];
    enum attempt_state state;
    struct reason reason;
    struct cpu_list cpus;
    struct process_identity shim; /* pid 0 until it started */
    int64_t started_ms;
    int64_t ended_ms;
    int exit_code;        /* -1: none */
    int signal;           /* 0: none */
    int64_t resumed_from; /* -1: not yet known, or from the beginning */
    bool is_run_started;
    int64_t checkpoint_step; /* -1: none */
    int64_t evaluation_step; /* -1: none */
    int64_t guard_step;      /* of the last skipped step or loss spike; -1: none */
};

const char *job_state_name(enum job_state state);
/* False when there is no state of that name. */
bool job_state_from_name(enum job_state *out, const char *name);
bool job_state_is_final(enum job_state state);
/* Whether a job in state from may go to state to. */
bool job_state_allows(enum job_state from, enum job_state to);

const char *attempt_state_name(enum attempt_state state);
bool attempt_state_from_name(enum attempt_state *out, const char *name);
bool attempt_state_is_final(enum attempt_state state);

const char *reason_name(enum reason_type type);
/* A reason of a newer version reads as REASON_LAUNCHED's neighbour in meaning: false. */
bool reason_from_name(enum reason_type *out, const char *name);

/* Fills *out; evidence may be empty, hint is set apart. */
void reason_set(struct reason *out, enum reason_type type, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reason_set_hint(struct reason *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether a worker that ends with this exit code would only end so again (bad spec, missing or
 * damaged input, no permission …): such a job fails at once. */
bool exit_code_is_hopeless(int exit_code);
