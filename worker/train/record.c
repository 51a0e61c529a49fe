/*
 * record — what rank 0 writes down about a run, for the daemon and for people.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "worker/dist/dist.h"
#include "worker/method/learner.h"
#include "worker/ops/backend.h"
#include "worker/train/documents.h"
#include "worker/train/overlap.h"
#include "worker/train/trainer.h"

/* Weight of the newest step in the smoothed time of a step. */
#define SMOOTHING 0.1
/* People are told at most this often. */
#define TELL_NS ((int64_t)1000000000)

const char *run_outcome_name(enum run_outcome outcome)
{
    return outcome == RUN_OUTCOME_SUCCEEDED ? "succeeded" : "stopped";
}

static double smooth_step_time(struct trainer *trainer, double seconds)
{
    if (trainer->step_s_smooth == 0.0) {
        trainer->step_s_smooth = seconds;
    }
    trainer->step_s_smooth += SMOOTHING * (seconds - trainer->step_s_smooth);
    return trainer->step_s_smooth;
}

static void tell_step(struct trainer *trainer, const struct step_report *report,
                      double tokens_per_s, double eta_s)
{
    int64_t now_ns = sys_monotonic_ns();

    if (now_ns - trainer->told_ns < TELL_NS && report->step != trainer->steps) {
        return;
    }
    trainer->told_ns = now_ns;
    log_info("step %" PRId64 "/%" PRId64 "  loss %.4f  lr %.3g  grad norm %.3g  %.0f tokens/s  "
             "eta %.0f s",
             report->step, trainer->steps, report->loss, report->lr, report->grad_norm,
             tokens_per_s, eta_s);
}

static enum status record_numbers(struct trainer *trainer, const struct step_report *report,
                                  struct error *err)
{
    int64_t tokens = trainer->spec->batch.global * trainer->corpus->sequence_length;
    double tokens_per_s = (double)tokens / report->seconds;
    double eta_s =
        smooth_step_time(trainer, report->seconds) * (double)(trainer->steps - report->step);
    json_t *fields = json_pack("{s:I, s:I}", "tokens", (json_int_t)trainer->progress.tokens,
                               "batch_sum", (json_int_t)report->batch_sum);

    records_set_exact(fields, "loss", report->loss);
    records_set_exact(fields, "lr", report->lr);
    records_set_exact(fields, "grad_norm", report->grad_norm);
    json_set_real(fields, "tokens_per_s", tokens_per_s);
    json_set_real(fields, "eta_s", eta_s);
    json_set_real(fields, "step_ms", report->seconds * 1e3);
    json_set_real(fields, "report_ms", trainer->report_ms);
    tell_step(trainer, report, tokens_per_s, eta_s);
    return records_append(&trainer->records, "step", report->step, fields, err);
}

/* Which of the two is not finite. */
static const char *skip_cause(const struct step_report *report)
{
    return isfinite(report->loss) ? "grad_norm" : "loss";
}

/* Which documents a batch without an update was made of. */
static enum status record_skip(struct trainer *trainer, const struct step_report *report,
                               struct error *err)
{
    struct document_range *ranges = NULL;
    size_t count = 0;

    enum status status = documents_of_batch(&ranges, &count, trainer->corpus, report->step, err);
    if (status) {
        return status;
    }
    json_t *fields =
        json_pack("{s:s, s:I, s:I, s:o, s:I}", "cause", skip_cause(report), "skipped",
                  (json_int_t)trainer->guard.skipped, "skipped_in_row",
                  (json_int_t)trainer->guard.skipped_in_row, "documents",
                  documents_to_json(ranges, count), "document_ranges", (json_int_t)count);
    documents_free(ranges);
    log_warn("step %" PRId64 "  skipped: the %s is not finite (%" PRId64 " in a row)", report->step,
             skip_cause(report), trainer->guard.skipped_in_row);
    return records_append(&trainer->records, "step_skipped", report->step, fields, err);
}

static enum status record_spike(struct trainer *trainer, const struct step_report *report,
                                struct error *err)
{
    json_t *fields = json_object();

    json_set_real(fields, "loss", report->loss);
    json_set_real(fields, "mean", report->spike.mean);
    json_set_real(fields, "deviation", report->spike.deviation);
    json_set_real(fields, "z", report->spike.z);
    log_warn("step %" PRId64 "  loss %.4f is %.1f deviations above %.4f", report->step,
             report->loss, report->spike.z, report->spike.mean);
    return records_append(&trainer->records, "loss_spike", report->step, fields, err);
}

/* Of the layer whose updates were looked at; targets only. */
static void set_ranks(json_t *fields, const struct merge_report *merge)
{
    static const char *const keys[LINEAR_COUNT] = {
        [LINEAR_Q] = "rank_q_proj",       [LINEAR_K] = "rank_k_proj",
        [LINEAR_V] = "rank_v_proj",       [LINEAR_O] = "rank_o_proj",
        [LINEAR_GATE] = "rank_gate_proj", [LINEAR_UP] = "rank_up_proj",
        [LINEAR_DOWN] = "rank_down_proj",
    };
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        if (merge->ranks[linear] >= 0) {
            (void)json_object_set_new(fields, keys[linear],
                                      json_integer((json_int_t)merge->ranks[linear]));
            (void)json_object_set_new(fields, "rank_layer",
                                      json_integer((json_int_t)merge->rank_layer));
        }
    }
}

/* "q_proj 45, k_proj >= 64": what the sketch cannot tell apart is at least so much. */
static void tell_ranks(int64_t step, const struct merge_report *merge)
{
    char text[256] = "";
    size_t used = 0;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        const bool is_full = merge->ranks[linear] == merge->ranks_max[linear];
        if (merge->ranks[linear] >= 0 && used < sizeof text) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s%" PRId64,
                                     used == 0 ? "" : ", ", method_target_text((int)linear),
                                     is_full ? ">= " : "", merge->ranks[linear]);
        }
    }
    if (used > 0) {
        log_info("step %" PRId64 "  rank of the updates of layer %" PRId64 ": %s", step,
                 merge->rank_layer, text);
    }
}

static enum status record_merge(struct trainer *trainer, int64_t step,
                                const struct merge_report *merge, struct error *err)
{
    const int64_t zeroed = merge->moments_nonzero_before - merge->moments_nonzero_after;
    const double percent = merge->moments_nonzero_before == 0
                               ? 0.0
                               : 100.0 * (double)zeroed / (double)merge->moments_nonzero_before;
    json_t *fields =
        json_pack("{s:I, s:s, s:s, s:I, s:I, s:b, s:I}", "cycle", (json_int_t)merge->cycle,
                  "group_kind", merge->group_kind, "next_kind", merge->next_kind,
                  "moments_nonzero_before", (json_int_t)merge->moments_nonzero_before,
                  "moments_nonzero_after", (json_int_t)merge->moments_nonzero_after, "w_eff_equal",
                  merge->w_eff_equal, "probe_tokens", (json_int_t)merge->probe_tokens);

    json_set_real(fields, "moments_zeroed_percent", percent);
    json_set_real(fields, "probe_error", merge->probe_error);
    set_ranks(fields, merge);
    log_info("step %" PRId64 "  merged cycle %" PRId64 " (%s), next %s; zeroed %.2f %% of %" PRId64
             " moments; weights equal, logits %.1e apart",
             step, merge->cycle, merge->group_kind, merge->next_kind, percent,
             merge->moments_nonzero_before, merge->probe_error);
    tell_ranks(step, merge);
    return records_append(&trainer->records, "merge", step, fields, err);
}

enum status trainer_record_evaluation(struct trainer *trainer, int64_t step,
                                      const struct evaluation *evaluation, struct error *err)
{
    json_t *fields = json_pack("{s:I}", "tokens", (json_int_t)evaluation->tokens);

    records_set_exact(fields, "loss", evaluation->loss);
    json_set_real(fields, "perplexity", exp(evaluation->loss));
    if (trainer->spec->evaluate.spectrum) {
        json_t *counts = json_object();
        for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
            json_set_real(counts, linear_name(linear), evaluation->spectrum[linear]);
        }
        (void)json_object_set_new(fields, "spectrum", counts);
    }
    log_info("step %" PRId64 "  validation loss %.4f  perplexity %.2f", step, evaluation->loss,
             exp(evaluation->loss));
    return records_append(&trainer->records, "evaluation", step, fields, err);
}

enum status trainer_record_step(struct trainer *trainer, const struct step_report *report,
                                struct error *err)
{
    enum status status = record_numbers(trainer, report, err);

    if (!status && report->is_skipped) {
        status = record_skip(trainer, report, err);
    }
    if (!status && report->has_spike) {
        status = record_spike(trainer, report, err);
    }
    if (!status && report->has_merged) {
        status = record_merge(trainer, report->step, &report->merge, err);
    }
    return status;
}

enum status trainer_record_start(struct trainer *trainer, struct error *err)
{
    bool is_resumed = trainer->progress.is_resumed;
    const struct param_table *params = learner_params(trainer->learner);
    int64_t tokens = trainer->spec->batch.global * trainer->corpus->sequence_length;
    json_t *fields = json_pack(
        "{s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}", "world", dist_world(trainer->dist), "threads",
        trainer->backend->threads, "steps", (json_int_t)trainer->steps, "parameters",
        (json_int_t)params->elements, "trainable", (json_int_t)params->trainable_elements,
        "sequence_length", (json_int_t)trainer->corpus->sequence_length, "batch_global",
        (json_int_t)trainer->spec->batch.global, "tokens_per_step", (json_int_t)tokens);

    (void)json_object_set_new(fields, "resumed_from",
                              is_resumed ? json_integer(trainer->progress.step) : json_null());
    (void)json_object_set_new(fields, "overlap", json_string(overlap_name(trainer->overlap)));
    (void)json_object_set_new(fields, "zero", json_integer((json_int_t)trainer->spec->launch.zero));
    (void)json_object_set_new(fields, "dtype",
                              json_string(dtype_name(learner_options(trainer->learner)->dtype)));
    (void)json_object_set_new(fields, "isa", json_string(trainer->backend->isa));
    (void)json_object_set_new(fields, "onednn", json_string(trainer->backend->gemm_library));
    log_info("%s, %" PRId64 " parameters (%" PRId64 " trained), %" PRId64 " steps of %" PRId64
             " tokens, %d ranks × %d threads, %s",
             trainer->spec->name, params->elements, params->trainable_elements, trainer->steps,
             tokens, dist_world(trainer->dist), trainer->backend->threads, trainer->backend->isa);
    log_info("%s", method_describe(learner_method(trainer->learner)));
    if (is_resumed) {
        log_info("resumed from step %" PRId64, trainer->progress.step);
    }
    return records_append(&trainer->records, "start", trainer->progress.step, fields, err);
}

/* Over the values of all tensors in the table's order; the moments are not parameters. */
static enum status digest_parameters(const struct trainer *trainer, char hex[DIGEST_HEX_BYTES],
                                     struct error *err)
{
    const struct param_table *params = learner_params(trainer->learner);
    struct digest_stream *stream = NULL;
    struct digest digest;

    enum status status = digest_stream_create(&stream, err);
    if (status) {
        return status;
    }
    for (int64_t i = 0; i < params->count; i++) {
        digest_stream_update(stream, params->params[i].value,
                             (size_t)params->params[i].elements * sizeof(float));
    }
    digest_stream_finish(stream, &digest);
    digest_stream_destroy(stream);
    digest_to_hex(hex, &digest);
    return STATUS_OK;
}

enum status trainer_record_end(struct trainer *trainer, enum run_outcome outcome, enum run_end end,
                               struct error *err)
{
    char parameters[DIGEST_HEX_BYTES];
    char receipt[DIGEST_HEX_BYTES];

    enum status status = digest_parameters(trainer, parameters, err);
    if (status) {
        return status;
    }
    digest_to_hex(receipt, &trainer->progress.receipt);
    json_t *fields =
        json_pack("{s:s, s:s, s:s, s:s}", "outcome", run_outcome_name(outcome), "reason",
                  run_end_name(end), "parameter_digest", parameters, "receipt", receipt);
    records_set_exact(fields, "final_loss", trainer->progress.loss);
    log_info("%s at step %" PRId64 " (%s), loss %.4f", run_outcome_name(outcome),
             trainer->progress.step, run_end_name(end), trainer->progress.loss);
    status = records_append(&trainer->records, "end", trainer->progress.step, fields, err);
    return status ? status : records_sync(&trainer->records, err);
}

enum status trainer_record_warning(struct trainer *trainer, const char *message, struct error *err)
{
    log_warn("%s", message);
    return records_append(&trainer->records, "warning", trainer->progress.step,
                          json_pack("{s:s}", "message", message), err);
}

void trainer_record_error(struct trainer *trainer, const struct error *what, int rank)
{
    json_t *fields =
        json_pack("{s:s, s:s, s:s, s:s, s:i}", "status", status_name(what->status), "message",
                  what->message, "field", what->field, "hint", what->hint, "rank", rank);

    if (records_append(&trainer->records, "error", trainer->progress.step, fields, NULL) ==
        STATUS_OK) {
        (void)!records_sync(&trainer->records, NULL);
    }
}
