/*
 * supervisor_private — what the parts of the supervisor share: supervisor.c (transaction,
 * requests), attempt_plan.c (who is next), attempt_start.c (launch), attempt_stop.c (cancel),
 * attempt_end.c (end), attempt_adopt.c (restart), run_progress.c (records).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "daemon/attempt_files.h"
#include "daemon/launcher.h"
#include "daemon/outcome.h"
#include "daemon/supervisor.h"

/*
 *   INTENDED ─commit─► PREPARING ─spawn─► WAITING ─shim.json─► RUNNING
 *                          │      adopted ──┴──────────────────► │
 *                          │ failed, cancelled   shim gone       │
 *                          └───────► GATHERING ◄─────────────────┘
 *                                           │ outcome known
 *                                        DRAINING ─records read─► ENDED ─commit─► CLOSING
 */
enum active_phase {
    ACTIVE_PHASE_INTENDED,  /* attempt_starting is appended */
    ACTIVE_PHASE_PREPARING, /* the pool makes folders and files */
    ACTIVE_PHASE_WAITING,   /* a shim lives and has not said yet who it is */
    ACTIVE_PHASE_RUNNING,
    ACTIVE_PHASE_GATHERING, /* the pool takes down what lives and looks at what it left */
    ACTIVE_PHASE_DRAINING,  /* the outcome is known; the last records are being read */
    ACTIVE_PHASE_ENDED,     /* attempt_ended is appended */
    ACTIVE_PHASE_CLOSING,   /* only its handles are left */
};

/* An attempt that has not ended. Freed when it is CLOSING and its last handle is closed. */
struct active {
    struct supervisor *supervisor;
    struct active *next;
    enum active_phase phase;
    int64_t job;
    int number;
    char id[ATTEMPT_ID_BYTES];
    int ranks;
    struct cpu_list cpus;
    char folder[PATH_BYTES_MAX];
    char run_folder[PATH_BYTES_MAX];
    char token[TOKEN_HEX_BYTES]; /* "" until known */

    /* attempt_started, attempt_adopted, the request to stop: appended, and committed. */
    bool is_start_appended;
    bool is_start_committed;
    bool is_adopt_appended;
    bool is_adopt_committed;
    bool is_stop_appended;
    bool is_stop_committed;
    int64_t signal_at_ms; /* loop time; a worker that was told to stop has until then */
    bool is_signalled;    /* the shim was told to take the tree down */

    pid_t child; /* the shim, when it is our own child; 0: adopted, or none was started */
    bool is_child_reaped;
    int64_t
        adopted_pid; /* the shim, when a daemon before us started it; 0: not found yet, or ours */
    int pidfd;       /* -1: none */
    int ready_fd;    /* -1: none, or done with */
    int fence_fd;    /* attempt.lock, held by us so that no late shim starts; -1: not */
    uv_poll_t exit_poll;
    uv_poll_t ready_poll;
    int open_handles;
    bool has_exit_poll;
    bool has_ready_poll;

    struct launch_work *launch_work; /* in the pool; NULL: none */
    struct gather_work *gather_work;
    struct error launch_error; /* why it could not be launched; status 0: it was, or is cancelled */
    struct outcome outcome;    /* from DRAINING on */
    bool is_run_forgotten;     /* its records are being read from the start again */

    bool is_attached; /* rank 0 is connected */
    int64_t reported_ms;
};

struct supervisor {
    uv_loop_t *loop;
    struct queue *queue;
    struct metrics *metrics;
    struct supervisor_config config;
    struct supervisor_callbacks callbacks;
    struct mpirun mpirun; /* major 0: not looked for yet */
    struct active *actives;
    bool is_plan_needed;
    int64_t retry_ms; /* loop time at which the first of the jobs that wait is due; 0: none does */
    bool is_stopped;
    uv_timer_t tick;     /* what waits for something outside is looked at again */
    uv_idle_t busy;      /* active while there are records to read */
    int64_t *stale_runs; /* jobs whose records are to be read, the last first */
    size_t stale_count;
};

/* How often files are looked at when nobody tells us, and failed steps are tried again. */
#define SUPERVISOR_TICK_MS 100

/* ---- supervisor.c ---- */
struct active *active_find(struct supervisor *supervisor, int64_t job, int attempt);
/* New, linked, in the phase INTENDED, its slots not taken yet. */
MUST_USE enum status active_create(struct active **out, struct supervisor *supervisor, int64_t job,
                                   int number, const char *id, int ranks,
                                   const struct cpu_list *cpus, struct error *err);
/* Closes all handles; the memory follows when they are closed. Slots are free from here on. */
void active_close(struct active *active);
void active_free_when_idle(struct active *active);
/* Lets the tick and the reading between other work run when, and only when, they are needed. */
void supervisor_update_timers(struct supervisor *supervisor);

/* ---- attempt_plan.c ---- */
/* The ranks of a job's spec; 0 for a kind that does not run under MPI. */
MUST_USE enum status job_ranks(struct supervisor *supervisor, const struct job *job, int *out,
                               struct error *err);

/* ---- attempt_start.c ---- */
void active_prepare(struct active *active);
/* Reads shim.json and appends attempt_started. */
MUST_USE enum status active_started(struct active *active, struct error *err);
/* Begins to watch the shim. Takes pidfd over, and closes it when that fails. */
MUST_USE enum status active_watch_exit(struct active *active, int pidfd, struct error *err);
void active_close_ready(struct active *active);

/* ---- attempt_stop.c ---- */
/* The request to stop is committed: tells the worker, or else the shim. */
void active_stop(struct active *active);
/* Tells the shim when the worker is not connected, or has not ended in the time it had. */
void active_signal_when_due(struct active *active);

/* ---- attempt_end.c ---- */
void active_exit_seen(struct active *active);
/* Has the pool find out how it ended. */
void active_gather(struct active *active);
/* For an attempt whose outcome is known: its records, then its end. */
void active_drain(struct active *active);
/* The end of an attempt that could not be launched: whatever came to be of it is taken down. */
void active_launch_failed(struct active *active, const struct error *why);
/* Appends attempt_ended and what follows for the job; at a failure it stays DRAINING. */
void active_finish(struct active *active);

/* ---- attempt_adopt.c ---- */
MUST_USE enum status supervisor_adopt_all(struct supervisor *supervisor, struct error *err);
/* Looks at the attempt folder of a WAITING attempt that is not our child. */
void active_adopt(struct active *active);
/* Appends attempt_adopted for an attempt that was found alive. */
MUST_USE enum status active_note_adopted(struct active *active, struct error *err);

/* ---- run_progress.c ---- */
/* One slice of the attempt's records; true at the end of the file. Failures are logged and count
 * as the end. */
bool active_read_records(struct active *active);
/* One slice of the newest stale run. */
void supervisor_read_stale(struct supervisor *supervisor);
