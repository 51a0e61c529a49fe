/*
 * step — one optimizer step over all ranks, and the evaluation between steps.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "proto/base/sys.h"
#include "worker/dist/dist.h"
#include "worker/method/learner.h"
#include "worker/model/param_shard.h"
#include "worker/ops/backend.h"
#include "worker/train/overlap.h"
#include "worker/train/process.h"
#include "worker/train/trainer.h"

/* What a rank brings to a step beside its gradients; then the sum over all. */
struct share {
    double loss_sum;
    double batch_sum;
};

/* A checksum of the token ids that were trained on, place by place of the global batch: that of
 * the sequences from first on, to be added up modulo 2^32. */
static uint32_t sum_batch(const uint32_t *tokens, int64_t first, int64_t count, int64_t row)
{
    uint32_t sum = 0;

    for (int64_t i = 0; i < count * row; i++) {
        sum += tokens[i] * (uint32_t)(first * row + i + 1);
    }
    return sum;
}

/* One lane of the global batch, micro-batch by micro-batch: adds up gradients in the learner's
 * buffer, the sum of the losses and the checksum. */
static enum status accumulate_lane(struct trainer *trainer, int64_t step, int64_t lane,
                                   double *loss_sum, uint32_t *batch_sum, struct error *err)
{
    const int64_t micro = trainer->spec->batch.micro;
    const int64_t row = trainer->corpus->sequence_length + 1;
    const int64_t batch = trainer->spec->batch.global;
    const int64_t end = lanes_start(&trainer->lanes, lane + 1, batch);
    const double targets = (double)batch * (double)trainer->corpus->sequence_length;
    const bool is_last = lane + 1 == trainer->lanes.first + trainer->lanes.own;

    *loss_sum = 0.0;
    for (int64_t i = lanes_start(&trainer->lanes, lane, batch); i < end; i += micro) {
        enum status status = corpus_batch(trainer->corpus, step, i, micro, trainer->tokens, err);
        if (status) {
            return status;
        }
        if (trainer->overlap != NULL && is_last && i + micro >= end) {
            overlap_start(trainer->overlap, trainer->lanes.own - 1);
        }
        *loss_sum +=
            learner_forward_backward(trainer->learner, trainer->tokens, micro, 1.0 / targets);
        *batch_sum += sum_batch(trainer->tokens, i, micro, row);
    }
    return STATUS_OK;
}

/* This rank's lanes of the global batch, added by pairs. */
static enum status accumulate(struct trainer *trainer, int64_t step, struct share *share,
                              struct error *err)
{
    const struct lanes *lanes = &trainer->lanes;
    double losses[SPEC_LANES];
    uint32_t batch_sum = 0;

    learner_zero_grads(trainer->learner);
    for (int64_t i = 0; i < lanes->own; i++) {
        enum status status =
            accumulate_lane(trainer, step, lanes->first + i, &losses[i], &batch_sum, err);
        if (status) {
            return status;
        }
        if (i + 1 < lanes->own) {
            learner_end_lane(trainer->learner, i);
        }
    }
    share->loss_sum = dist_add_pairs(losses, (size_t)lanes->own, 1);
    share->batch_sum = (double)batch_sum;
    return backend_finish(trainer->backend, err);
}

/* The gradients' sum over this rank's lanes and all ranks; or the rest of it, where the backward
 * pass has begun with it. */
static enum status sum_gradients(struct trainer *trainer, struct error *err)
{
    int64_t count = 0;
    float *grads = learner_grads(trainer->learner, &count);

    if (trainer->overlap != NULL) {
        return overlap_finish(trainer->overlap, err);
    }
    learner_join_lane(trainer->learner, trainer->lanes.own - 1, 0, count);
    enum status status = backend_finish(trainer->backend, err);
    return status ? status : dist_sum(trainer->dist, grads, (size_t)count, err);
}

/* Adds up gradients and shares over ranks; what one rank was asked for, all learn here. */
static enum status exchange(struct trainer *trainer, struct share *share, struct error *err)
{
    struct reporter_control control = reporter_take_control(trainer->reporter);
    const double max_time_s = trainer->spec->stop.max_time_s;
    const bool time_is_up =
        dist_rank(trainer->dist) == 0 && max_time_s > 0.0 && trainer_seconds(trainer) >= max_time_s;
    double shared[5] = {
        share->loss_sum,
        share->batch_sum,
        process_stop_requested() || control.stop ? 1.0 : 0.0,
        control.checkpoint ? 1.0 : 0.0,
        time_is_up ? 1.0 : 0.0,
    };

    enum status status = sum_gradients(trainer, err);
    if (!status) {
        status = dist_sum_doubles(trainer->dist, shared, 5, err);
    }
    if (!status) {
        share->loss_sum = shared[0];
        share->batch_sum = fmod(shared[1], 0x1p32);
        trainer->request.stop |= shared[2] > 0.0;
        trainer->request.checkpoint |= shared[3] > 0.0;
        trainer->request.time_is_up |= shared[4] > 0.0;
    }
    return status;
}

/* ZeRO-1: every rank has updated its part of the parameters; all get all of it. */
static enum status share_update(struct trainer *trainer, struct error *err)
{
    const struct param_table *table = learner_params(trainer->learner);
    enum status status = STATUS_OK;

    learner_stage_update(trainer->learner);
    for (enum param_shard_part part = 0; part < PARAM_SHARD_PARTS && !status; part++) {
        for (int rank = 0; rank < table->shard_world; rank++) {
            int64_t first = 0;
            int64_t count = 0;
            param_shard_range(table, rank, part, &first, &count);
            trainer->shard_firsts[rank] = (size_t)first;
            trainer->shard_counts[rank] = (size_t)count;
        }
        status = dist_gather(trainer->dist, table->grads, trainer->shard_firsts,
                             trainer->shard_counts, err);
    }
    learner_take_update(trainer->learner);
    return status;
}

/* One NaN for all: which one a sum gives is up to the compiler. */
static double canonical(double value)
{
    return isnan(value) ? (double)NAN : value;
}

/* Clips and applies the gradients, unless the loss or their norm is not finite. */
static enum status update(struct trainer *trainer, struct step_report *report, struct error *err)
{
    enum status status = STATUS_OK;

    report->grad_norm = (double)NAN;
    if (isfinite(report->loss)) {
        status = learner_update(trainer->learner, report->lr, trainer->spec->optimizer.clip_norm,
                                &report->grad_norm, err);
        report->grad_norm = canonical(report->grad_norm);
    }
    if (status) {
        return status;
    }
    report->is_skipped = !isfinite(report->grad_norm);
    if (!report->is_skipped && learner_params(trainer->learner)->shard_world > 1) {
        status = share_update(trainer, err);
        if (status) {
            return status;
        }
    }
    if (!report->is_skipped) {
        trainer->progress.loss = report->loss;
        report->has_spike = guard_take_loss(&trainer->guard, report->loss, &report->spike);
    } else {
        guard_take_skip(&trainer->guard);
    }
    return STATUS_OK;
}

static enum status merge(struct trainer *trainer, struct merge_report *report, struct error *err)
{
    enum status status = corpus_validation(trainer->corpus, 0, 1, trainer->tokens, err);

    if (status) {
        return status;
    }
    status = learner_merge(trainer->learner, trainer->tokens, trainer->corpus->sequence_length,
                           report, err);
    if (!status && learner_params(trainer->learner)->shard_world > 1) {
        double counts[2] = {(double)report->moments_nonzero_before,
                            (double)report->moments_nonzero_after};
        status = dist_sum_doubles(trainer->dist, counts, 2, err);
        report->moments_nonzero_before = (int64_t)counts[0];
        report->moments_nonzero_after = (int64_t)counts[1];
    }
    return status;
}

static void take_receipt(struct progress *progress, const struct step_report *report)
{
    uint8_t text[DIGEST_BYTES + 5 * sizeof(uint64_t)];
    uint64_t words[5] = {(uint64_t)report->step, 0, 0, 0, report->batch_sum};

    memcpy(&words[1], &report->loss, sizeof words[1]);
    memcpy(&words[2], &report->lr, sizeof words[2]);
    memcpy(&words[3], &report->grad_norm, sizeof words[3]);
    memcpy(text, progress->receipt.bytes, DIGEST_BYTES);
    for (size_t i = 0; i < sizeof words; i++) {
        text[DIGEST_BYTES + i] = (uint8_t)(words[i / 8] >> (8 * (i % 8)));
    }
    digest_of(&progress->receipt, text, sizeof text);
}

enum status trainer_step(struct trainer *trainer, struct step_report *report, bool *together,
                         struct error *err)
{
    int64_t start_ns = sys_monotonic_ns();
    int64_t step = trainer->progress.step + 1;
    int64_t tokens = trainer->spec->batch.global * trainer->corpus->sequence_length;
    struct share share;

    *together = false;
    *report = (struct step_report){.step = step};
    enum status status = accumulate(trainer, step, &share, err);
    if (!status) {
        status = exchange(trainer, &share, err);
    }
    if (status) {
        return status;
    }
    /* From here on all ranks have the same numbers and come to the same end. */
    *together = true;
    report->batch_sum = (uint32_t)share.batch_sum;
    report->loss = canonical(share.loss_sum / (double)tokens);
    report->lr = schedule_lr(&trainer->schedule, step - 1);
    status = update(trainer, report, err);
    if (status) {
        return status;
    }
    if (learner_merge_due(trainer->learner, step, trainer->steps)) {
        report->has_merged = true;
        status = merge(trainer, &report->merge, err);
    } else {
        learner_write_weights(trainer->learner);
    }
    if (!status) {
        status = backend_finish(trainer->backend, err);
    }
    if (status) {
        return error_wrap(err, "step %" PRId64, step);
    }
    trainer->progress.step = step;
    trainer->progress.tokens += tokens;
    take_receipt(&trainer->progress, report);
    report->seconds = (double)(sys_monotonic_ns() - start_ns) * 1e-9;
    return STATUS_OK;
}

static enum status evaluate_lane(struct trainer *trainer, int64_t lane, double *loss_sum,
                                 struct error *err)
{
    const int64_t total = trainer->corpus->validation_sequences;
    const int64_t end = lanes_start(&trainer->lanes, lane + 1, total);
    const int64_t micro = trainer->spec->batch.micro;

    *loss_sum = 0.0;
    for (int64_t i = lanes_start(&trainer->lanes, lane, total); i < end;) {
        const int64_t count = end - i < micro ? end - i : micro;
        enum status status = corpus_validation(trainer->corpus, i, count, trainer->tokens, err);
        if (status) {
            return status;
        }
        *loss_sum += learner_loss(trainer->learner, trainer->tokens, count);
        i += count;
    }
    return STATUS_OK;
}

enum status trainer_evaluate(struct trainer *trainer, struct evaluation *out, struct error *err)
{
    const struct lanes *lanes = &trainer->lanes;
    double losses[SPEC_LANES];
    enum status status = STATUS_OK;

    for (int64_t i = 0; i < lanes->own && !status; i++) {
        status = evaluate_lane(trainer, lanes->first + i, &losses[i], err);
    }
    if (!status) {
        status = backend_finish(trainer->backend, err);
    }
    if (status) {
        return status;
    }
    double loss_sum = dist_add_pairs(losses, (size_t)lanes->own, 1);
    status = dist_sum_doubles(trainer->dist, &loss_sum, 1, err);
    out->tokens = trainer->corpus->validation_sequences * trainer->corpus->sequence_length;
    out->loss = loss_sum / (double)out->tokens;
    return status;
}
