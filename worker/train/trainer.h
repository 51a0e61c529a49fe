/*
 * trainer — the steps of a run, on every rank of its world.
 *
 * Each step, in this order: gradients of the rank's micro-batches → their sum over ranks → clip and
 * optimizer (unless loss or norm are not finite: guard.h) → merge (if due) → effective weights →
 * evaluation (if due) → records appended → checkpoint (if due; the records are durable first) →
 * report to the daemon. A kill between any two leaves a run that resumes with the same bits: the
 * state is a function of the last checkpoint and of the steps since.
 *
 * Work is shared by place: a rank has contiguous parts (lanes.h) of the global batch and of the
 * validation sequences. All ranks hold the same parameters and take the same decisions; rank 0
 * alone writes files and talks to the daemon.
 *
 * Ownership: the caller owns the trainer and everything that it points to. Threads: the one that
 * opened the world.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"
#include "proto/spec/train_spec.h"
#include "worker/method/method.h"
#include "worker/optim/schedule.h"
#include "worker/train/corpus.h"
#include "worker/train/guard.h"
#include "worker/train/lanes.h"
#include "worker/train/patience.h"
#include "worker/train/records.h"
#include "worker/train/reporter.h"
#include "worker/train/run_folder.h"

struct backend;
struct checkpoint;
struct dist;
struct learner;
struct overlap;
struct store;

/* X(constant, name): why a run ends, as its end record and its last checkpoint say. */
#define RUN_END_LIST(X)  \
 X(NONE, "")             \
 X(STEPS, "steps")       \
 X(PATIENCE, "patience") \
 X(MAX_TIME, "max_time") \
 X(REQUEST, "request")

enum run_end {
#define X(constant, name) RUN_END_##constant,
    RUN_END_LIST(X)
#undef X
};
const char *run_end_name(enum run_end end);
/* False for a name that is none. */
bool run_end_from_name(enum run_end *out, const char *name);

/* What changes from step to step beside the learner's state; part of every checkpoint. */
struct progress {
    int64_t step;     /* the last one done; 0: none */
    int64_t tokens;   /* trained on so far */
    double loss;      /* of the last step that had a finite one */
    double seconds;   /* of training, up to where this attempt began */
    enum run_end end; /* PATIENCE or MAX_TIME once stop said so; nothing follows */
    struct patience patience;
    struct digest receipt; /* of all steps so far: SHA-256(previous receipt, step, bits of loss,
                              learning rate and gradient norm, batch_sum): equal receipts,
                              equal runs */
    bool is_resumed;       /* it began with a checkpoint */
};

/* What people and the daemon asked for; the same on all ranks once a step exchanged it. */
struct request {
    bool stop;       /* checkpoint and end, cleanly */
    bool checkpoint; /* write one now */
    bool time_is_up; /* stop.max_time, by rank 0's clock */
};

struct trainer {
    struct dist *dist;
    const struct train_spec *spec;
    const struct corpus *corpus;
    struct backend *backend;
    struct learner *learner;
    struct overlap *overlap; /* NULL: gradients are summed after the backward pass */
    struct schedule schedule;
    struct lanes lanes;
    int64_t steps; /* N */
    struct progress progress;
    struct guard guard;
    struct request request;
    int64_t start_ns; /* when this attempt began to train */
    uint32_t *tokens; /* [micro][T + 1]: a micro-batch */
    size_t
        shard_firsts[RANKS_MAX]; /* where the shards of all ranks are, while they are exchanged */
    size_t shard_counts[RANKS_MAX];
    struct checkpoint *resumed_from; /* open until its moments were shared; else NULL */

    /* Rank 0's. */
    struct run_folder folder;
    struct store *store;
    json_t *identity; /* what every checkpoint says about its run; snapshot.h */
    struct records records;
    struct reporter *reporter;
    double step_s_smooth; /* seconds a step takes, smoothed; 0: none yet */
    double report_ms;     /* that the last report took */
    int64_t told_ns;      /* when people were last told */
};

/* What a step did. */
struct step_report {
    int64_t step;
    double loss;
    double lr;
    double grad_norm;
    uint32_t batch_sum; /* checksum of the token ids, in their places in the global batch */
    double seconds;
    bool is_skipped; /* nothing was updated: the loss or the norm is not finite */
    bool has_spike;
    struct loss_spike spike;
    bool has_merged;
    struct merge_report merge;
};

struct evaluation {
    double loss;
    int64_t tokens;
    double spectrum[LINEAR_COUNT]; /* evaluate.spectrum, on rank 0 */
};

enum run_outcome { RUN_OUTCOME_SUCCEEDED, RUN_OUTCOME_STOPPED };
const char *run_outcome_name(enum run_outcome outcome);

/* Trains from progress.step to the end, or until a stop is asked for; a run that is not resumed
 * begins with an evaluation and a checkpoint of step 0. Collective. *together tells of a failure
 * whether all ranks return it (a loss that is not finite, a full disk) or this one alone (then the
 * others wait in a sum, and only dist_abort ends them). A run that `stop` ended before stays as it
 * is. */
MUST_USE enum status trainer_run(struct trainer *trainer, enum run_outcome *outcome, bool *together,
                                 struct error *err);

/* Seconds of training up to now, over all attempts. */
double trainer_seconds(const struct trainer *trainer);

/* The parts, in order of a step. Collective but for the recording, which is rank 0's. */
MUST_USE enum status trainer_step(struct trainer *trainer, struct step_report *report,
                                  bool *together, struct error *err);
MUST_USE enum status trainer_evaluate(struct trainer *trainer, struct evaluation *out,
                                      struct error *err);

/* Appends what the step did. */
MUST_USE enum status trainer_record_step(struct trainer *trainer, const struct step_report *report,
                                         struct error *err);
MUST_USE enum status trainer_record_evaluation(struct trainer *trainer, int64_t step,
                                               const struct evaluation *evaluation,
                                               struct error *err);
MUST_USE enum status trainer_record_start(struct trainer *trainer, struct error *err);
MUST_USE enum status trainer_record_end(struct trainer *trainer, enum run_outcome outcome,
                                        enum run_end end, struct error *err);
/* A line for people that is no failure; also on stderr. */
MUST_USE enum status trainer_record_warning(struct trainer *trainer, const char *message,
                                            struct error *err);
/* What failed on that rank. Best effort: the run is ending already. */
void trainer_record_error(struct trainer *trainer, const struct error *what, int rank);
