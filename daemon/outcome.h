/*
 * outcome — how an attempt ended: first gathered from what it left (on the pool, since it waits
 * until every process is gone), then judged (a pure function).
 *
 * Threads: outcome_gather blocks and touches only what it is handed; outcome_judge is pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "daemon/attempt_files.h"
#include "daemon/job.h"
#include "proto/base/error.h"

#define OUTCOME_LINE_BYTES 512

/* What is known about an attempt whose shim is gone. */
struct outcome {
    struct exit_record exit;
    bool is_shim_lost; /* it vanished without an exit record */
    bool has_shim;     /* it had said who it was */
    struct process_identity shim;
    bool is_other_boot; /* … on an earlier boot of the machine */
    bool has_rank_error;
    struct error rank_error;            /* of the rank that failed first */
    char last_line[OUTCOME_LINE_BYTES]; /* of its output */
    size_t left;                        /* processes that are still alive: gather again */
};

/*
 * Kills what is left of the attempt's tree, waiting at most wait_ms for it to go; left tells how
 * many are still there, and then nothing else counts. Else reads what the attempt left behind,
 * writes exit.json where the shim could not (so that no late shim starts), removes its scratch.
 */
MUST_USE enum status outcome_gather(struct outcome *out, const char *attempt_folder,
                                    const char *attempt_id, int ranks, int wait_ms,
                                    struct error *err);

/* What follows for the attempt and for its job. */
struct verdict {
    enum attempt_state attempt_state;
    struct reason reason;
    bool counts;              /* against attempts_max */
    enum job_state job_state; /* QUEUED: try again */
};

/* job is as it was before the end, attempts_used without this attempt. */
void outcome_judge(struct verdict *out, const struct outcome *outcome, const struct job *job);
