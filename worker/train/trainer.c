#include "worker/train/trainer.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "worker/dist/dist.h"
#include "worker/train/documents.h"
#include "worker/train/snapshot.h"
#include "worker/train/spectra.h"

static const char *const run_end_names[] = {
#define X(constant, name) [RUN_END_##constant] = name,
    RUN_END_LIST(X)
#undef X
};

const char *run_end_name(enum run_end end)
{
    return run_end_names[end];
}

bool run_end_from_name(enum run_end *out, const char *name)
{
    for (size_t i = 0; i < sizeof run_end_names / sizeof run_end_names[0]; i++) {
        if (strcmp(name, run_end_names[i]) == 0) {
            *out = (enum run_end)i;
            return true;
        }
    }
    return false;
}

double trainer_seconds(const struct trainer *trainer)
{
    return trainer->progress.seconds + (double)(sys_monotonic_ns() - trainer->start_ns) * 1e-9;
}

/* Every so many steps, and at the last one; 0 is only there. */
static bool is_due(const struct trainer *trainer, int64_t every)
{
    int64_t step = trainer->progress.step;

    return step == trainer->steps || (every > 0 && step % every == 0);
}

static bool is_root(const struct trainer *trainer)
{
    return dist_rank(trainer->dist) == 0;
}

/* Rank 0 writes a checkpoint of the step just done, once its records are on the disk: what a
 * checkpoint continues is always told. The others bring what only they have. All ranks learn how it
 * went. */
static enum status checkpoint(struct trainer *trainer, enum status recorded, bool *together,
                              struct error *err)
{
    enum status status = recorded;

    if (is_root(trainer) && !status) {
        status = records_sync(&trainer->records, err);
    }
    status = snapshot_save(trainer, status, err);
    *together = true;
    trainer->request.checkpoint = false;
    return dist_agree(trainer->dist, status, NULL, err);
}

/* Rank 0's: the evaluation, with what only it measures. */
static enum status record_evaluation(struct trainer *trainer, struct evaluation *evaluation,
                                     struct error *err)
{
    enum status status = trainer->spec->evaluate.spectrum
                             ? spectra_count(trainer, evaluation->spectrum, err)
                             : STATUS_OK;

    return status ? status
                  : trainer_record_evaluation(trainer, trainer->progress.step, evaluation, err);
}

/* The state before the first step is evaluated and kept like any other. */
static enum status begin(struct trainer *trainer, bool *together, struct error *err)
{
    struct evaluation evaluation;

    *together = false;
    enum status status = trainer_evaluate(trainer, &evaluation, err);
    if (status) {
        return status;
    }
    (void)patience_take(&trainer->progress.patience, trainer->spec, 0, evaluation.loss);
    if (is_root(trainer)) {
        status = record_evaluation(trainer, &evaluation, err);
    }
    return checkpoint(trainer, status, together, err);
}

static void report(struct trainer *trainer)
{
    int64_t start_ns = sys_monotonic_ns();

    reporter_poll(trainer->reporter);
    trainer->report_ms = (double)(sys_monotonic_ns() - start_ns) * 1e-6;
}

static bool is_at_end(const struct trainer *trainer)
{
    return trainer->progress.step == trainer->steps || trainer->progress.end != RUN_END_NONE;
}

/* Evaluates where that is due and lets stop.patience see it; *evaluation is NULL where not. */
static enum status evaluate(struct trainer *trainer, struct evaluation *out,
                            struct evaluation **evaluation, struct error *err)
{
    struct progress *progress = &trainer->progress;

    *evaluation = NULL;
    if (!is_due(trainer, trainer->spec->evaluate.every) && progress->end == RUN_END_NONE) {
        return STATUS_OK;
    }
    enum status status = trainer_evaluate(trainer, out, err);
    if (status) {
        return status;
    }
    *evaluation = out;
    const bool is_exhausted =
        patience_take(&progress->patience, trainer->spec, progress->step, out->loss);
    if (is_exhausted && !is_at_end(trainer)) {
        progress->end = RUN_END_PATIENCE;
    }
    return STATUS_OK;
}

/* What all ranks return once too many steps in a row were skipped. */
static enum status give_up(const struct trainer *trainer, const struct step_report *report,
                           struct error *err)
{
    const double value = isfinite(report->loss) ? report->grad_norm : report->loss;
    struct document_range *ranges = NULL;
    char documents[400];
    size_t count = 0;

    enum status status = documents_of_batch(&ranges, &count, trainer->corpus, report->step, err);
    if (status) {
        return status;
    }
    documents_print(documents, sizeof documents, ranges, count);
    documents_free(ranges);
    (void)error_set(err, STATUS_INVALID,
                    "step %" PRId64 ": the %s is %s, and guard.max_skipped allows %" PRId64
                    " such steps in a row; its batch has documents %s",
                    report->step, isfinite(report->loss) ? "norm of the gradients" : "loss",
                    isnan(value) ? "not a number" : "infinite", trainer->guard.max_skipped,
                    documents);
    error_set_hint(err, "lower optimizer.lr, lengthen schedule.warmup or set optimizer.clip_norm; "
                        "the last checkpoint is from before");
    return STATUS_INVALID;
}

/* One step and all that its boundary asks for; *is_plain when that was nothing but its record. */
static enum status advance(struct trainer *trainer, bool *is_plain, bool *together,
                           struct error *err)
{
    struct evaluation *evaluated = NULL;
    struct evaluation evaluation;
    struct step_report step;

    enum status status = trainer_step(trainer, &step, together, err);
    if (status) {
        return status;
    }
    *is_plain = !step.has_merged && !step.is_skipped && !step.has_spike;
    *together = false;
    if (trainer->request.time_is_up && !is_at_end(trainer)) {
        trainer->progress.end = RUN_END_MAX_TIME;
    }
    status = evaluate(trainer, &evaluation, &evaluated, err);
    if (status) {
        return status;
    }
    *is_plain &= evaluated == NULL;
    if (is_root(trainer)) {
        status = trainer_record_step(trainer, &step, err);
        if (!status && evaluated != NULL) {
            status = record_evaluation(trainer, evaluated, err);
        }
    }
    if (!status && guard_is_exhausted(&trainer->guard)) {
        *together = true;
        return give_up(trainer, &step, err);
    }
    if (is_due(trainer, trainer->spec->checkpoint.every) || is_at_end(trainer) ||
        trainer->request.stop || trainer->request.checkpoint) {
        *is_plain = false;
        status = checkpoint(trainer, status, together, err);
    }
    return status;
}

static enum run_end why_ended(const struct trainer *trainer)
{
    if (trainer->progress.end != RUN_END_NONE) {
        return trainer->progress.end;
    }
    return trainer->progress.step == trainer->steps ? RUN_END_STEPS : RUN_END_REQUEST;
}

enum status trainer_run(struct trainer *trainer, enum run_outcome *outcome, bool *together,
                        struct error *err)
{
    enum status status = STATUS_OK;
    double allocations = 0.0;

    assert(trainer->progress.step <= trainer->steps);
    *together = false;
    trainer->start_ns = sys_monotonic_ns();
    if (!trainer->progress.is_resumed) {
        status = begin(trainer, together, err);
    }
    report(trainer);
    for (bool is_first = true; !status && !is_at_end(trainer) && !trainer->request.stop;
         is_first = false) {
        const uint64_t before = sys_allocations();
        bool is_plain = false;
        status = advance(trainer, &is_plain, together, err);
        allocations += is_plain && !is_first ? (double)(sys_allocations() - before) : 0.0;
        if (!status) {
            report(trainer);
        }
    }
    if (!status) {
        status = dist_sum_doubles(trainer->dist, &allocations, 1, err);
    }
    if (status) {
        return status;
    }
    trainer->allocations = (int64_t)allocations;
    const enum run_end end = why_ended(trainer);
    *outcome = end == RUN_END_REQUEST ? RUN_OUTCOME_STOPPED : RUN_OUTCOME_SUCCEEDED;
    *together = false;
    if (is_root(trainer)) {
        status = trainer_record_end(trainer, *outcome, end, err);
        report(trainer);
    }
    return status;
}
