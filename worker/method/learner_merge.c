#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "proto/base/sys.h"
#include "worker/method/learner_internal.h"

/* The logits of the probe sequence, before the merge and after it. */
struct probe {
    const uint32_t *tokens;
    int64_t T; /* 0: no probe */
    int64_t V;
    double *reference; /* [T,V] side path, in double */
    float *logits;     /* [T,V] effective weights */
};

static void probe_deinit(struct probe *probe)
{
    free(probe->reference);
    free(probe->logits);
}

/* Runs the state before the merge through the reference. */
static enum status probe_before(struct probe *probe, struct learner *learner, struct error *err)
{
    const struct model_ref reference = method_reference(learner->method);
    const size_t elements = (size_t)(probe->T * probe->V);

    if (probe->T == 0) {
        return STATUS_OK;
    }
    probe->reference = sys_calloc(elements, sizeof(double));
    probe->logits = sys_calloc(elements, sizeof(float));
    if (probe->reference == NULL || probe->logits == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the probe of the merge");
    }
    return model_ref_logits(probe->reference, &reference, probe->tokens, probe->T, err);
}

/* Runs the merged state through the model; *error_out is the relative distance of the logits. */
static enum status probe_after(struct probe *probe, struct learner *learner, double *error_out,
                               struct error *err)
{
    double difference_sq = 0.0;
    double reference_sq = 0.0;

    if (probe->T == 0) {
        return STATUS_OK;
    }
    model_logits(learner->model, probe->logits, probe->tokens, probe->T);
    enum status status = backend_finish(learner->backend, err);
    if (status) {
        return status;
    }
    for (int64_t i = 0; i < probe->T * probe->V; i++) {
        const double difference = (double)probe->logits[i] - probe->reference[i];
        difference_sq += difference * difference;
        reference_sq += probe->reference[i] * probe->reference[i];
    }
    *error_out = reference_sq > 0.0 ? sqrt(difference_sq / reference_sq) : sqrt(difference_sq);
    const double error_max = learner->options.dtype == DTYPE_BF16 ? LEARNER_PROBE_ERROR_MAX_BF16
                                                                  : LEARNER_PROBE_ERROR_MAX;
    if (!(*error_out <= error_max)) {
        return error_set(err, STATUS_CORRUPT,
                         "merge: the logits of the probe sequence are %.3g from those of the "
                         "reference before it, and %.0e is allowed",
                         *error_out, error_max);
    }
    return STATUS_OK;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

enum status learner_merge(struct learner *learner, const uint32_t *tokens, int64_t count,
                          struct merge_report *report, struct error *err)
{
    struct probe probe = {
        .tokens = tokens,
        .T = least(least(count, learner->options.sequence_length), LEARNER_PROBE_TOKENS_MAX),
        .V = learner->options.config.vocab_size};

    assert(learner->model != NULL);
    *report = (struct merge_report){.probe_tokens = probe.T};
    enum status status = probe_before(&probe, learner, err);
    if (!status) {
        status = method_merge(learner->method, &learner->adamw, report, err);
    }
    if (!status) {
        learner_write_weights(learner);
        status = probe_after(&probe, learner, &report->probe_error, err);
    }
    probe_deinit(&probe);
    return status;
}
