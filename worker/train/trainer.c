#include "worker/train/trainer.h"

#include <assert.h>

#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "worker/dist/dist.h"
#include "worker/train/snapshot.h"

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
 * checkpoint continues is always told. All ranks learn how it went. */
static enum status checkpoint(struct trainer *trainer, enum status recorded, bool *together,
                              struct error *err)
{
    enum status status = recorded;

    if (is_root(trainer) && !status) {
        status = records_sync(&trainer->records, err);
        status = status ? status : snapshot_save(trainer, err);
    }
    *together = true;
    trainer->request.checkpoint = false;
    return dist_agree(trainer->dist, status, NULL, err);
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
    if (is_root(trainer)) {
        status = trainer_record_evaluation(trainer, 0, &evaluation, err);
    }
    return checkpoint(trainer, status, together, err);
}

static void report(struct trainer *trainer)
{
    int64_t start_ns = sys_monotonic_ns();

    reporter_poll(trainer->reporter);
    trainer->report_ms = (double)(sys_monotonic_ns() - start_ns) * 1e-6;
}

/* One step and all that its boundary asks for. */
static enum status advance(struct trainer *trainer, bool *together, struct error *err)
{
    const struct evaluation *evaluated = NULL;
    struct evaluation evaluation;
    struct step_report step;

    enum status status = trainer_step(trainer, &step, together, err);
    if (status) {
        return status;
    }
    *together = false;
    if (is_due(trainer, trainer->spec->evaluate.every)) {
        status = trainer_evaluate(trainer, &evaluation, err);
        if (status) {
            return status;
        }
        evaluated = &evaluation;
    }
    if (is_root(trainer)) {
        status = trainer_record_step(trainer, &step, evaluated, err);
    }
    if (is_due(trainer, trainer->spec->checkpoint.every) || trainer->request.stop ||
        trainer->request.checkpoint) {
        status = checkpoint(trainer, status, together, err);
    }
    if (!status) {
        report(trainer);
    }
    return status;
}

enum status trainer_run(struct trainer *trainer, enum run_outcome *outcome, bool *together,
                        struct error *err)
{
    enum status status = STATUS_OK;

    assert(trainer->progress.step <= trainer->steps);
    *together = false;
    if (!trainer->progress.is_resumed) {
        status = begin(trainer, together, err);
    }
    report(trainer);
    while (!status && trainer->progress.step < trainer->steps && !trainer->request.stop) {
        status = advance(trainer, together, err);
    }
    if (status) {
        return status;
    }
    *outcome =
        trainer->progress.step == trainer->steps ? RUN_OUTCOME_SUCCEEDED : RUN_OUTCOME_STOPPED;
    *together = false;
    if (is_root(trainer)) {
        status = trainer_record_end(trainer, *outcome, err);
        report(trainer);
    }
    return status;
}
