#include "worker/method/learner.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "proto/base/checked.h"
#include "proto/base/sys.h"
#include "proto/spec/train_spec.h"
#include "worker/method/learner_internal.h"

static enum status refuse(struct error *err, const char *field, double value, const char *message)
{
    (void)error_set(err, STATUS_INVALID, "%s: %g %s", field, value, message);
    error_set_field(err, "%s", field);
    return STATUS_INVALID;
}

static enum status validate_optimizer(const struct adamw_options *options, struct error *err)
{
    if (!(options->beta1 >= 0.0 && options->beta1 < 1.0)) {
        return refuse(err, "optimizer.betas[0]", options->beta1, "is not in 0 … 1 (excluded)");
    }
    if (!(options->beta2 >= 0.0 && options->beta2 < 1.0)) {
        return refuse(err, "optimizer.betas[1]", options->beta2, "is not in 0 … 1 (excluded)");
    }
    if (!(options->eps > 0.0 && isfinite(options->eps))) {
        return refuse(err, "optimizer.eps", options->eps, "is not a positive number");
    }
    if (!(options->weight_decay >= 0.0 && isfinite(options->weight_decay))) {
        return refuse(err, "optimizer.weight_decay", options->weight_decay,
                      "is not a number from 0 up");
    }
    return STATUS_OK;
}

enum status learner_options_from_spec(struct learner_options *out, const struct train_spec *spec,
                                      int64_t vocab_size, struct error *err)
{
    *out = (struct learner_options){
        .method = spec->method,
        .optimizer = {.beta1 = spec->optimizer.betas[0],
                      .beta2 = spec->optimizer.betas[1],
                      .eps = spec->optimizer.eps,
                      .weight_decay = spec->optimizer.weight_decay},
        .seed = spec->seed,
        .micro = spec->batch.micro,
        .sequence_length = spec->data.sequence_length,
        .shard_world = spec->launch.zero == 1 ? (int)spec->launch.ranks : 1,
        .lanes = spec->compute.deterministic == COMPUTE_DETERMINISTIC_WORLD
                     ? SPEC_LANES / spec->launch.ranks
                     : 1,
        .purpose = LEARNER_PURPOSE_TRAIN,
    };
    enum status status = model_config_from_spec(&out->config, spec, vocab_size, err);
    return status ? status : validate_optimizer(&out->optimizer, err);
}

/* Asks for every tensor of the learner; run twice, see memory_plan.h. */
static void layout(struct learner *learner)
{
    const bool trains = learner->options.purpose == LEARNER_PURPOSE_TRAIN;
    const int64_t N = learner->options.micro * learner->options.sequence_length;

    param_table_layout(&learner->table, &learner->memory, trains);
    for (int64_t i = 0; trains && i < LEARNER_LANE_SUMS_MAX; i++) {
        learner->lane_sum[i] =
            memory_plan_floats(&learner->memory, MEMORY_KIND_GRADIENTS,
                               learner->options.lanes >> i > 1 ? learner->table.grad_floats : 0);
    }
    if (trains) {
        model_layout(learner->model, &learner->memory);
    }
    method_layout(learner->method, &learner->memory, trains ? N : 0);
}

/* Everything but tensors. */
static enum status create_parts(struct learner *learner, struct error *err)
{
    const struct learner_options *options = &learner->options;

    const struct param_training training = method_training(&options->method);

    enum status status = param_table_init(&learner->table, &options->config, &training, err);
    if (!status) {
        status = method_create(&learner->method, &options->method, options->seed, &learner->table,
                               &options->config, learner->backend, err);
    }
    learner->table.shard_rank = options->shard_rank;
    learner->table.shard_world = options->shard_world;
    if (!status && options->purpose == LEARNER_PURPOSE_TRAIN) {
        const struct model_options model_options = {.config = &options->config,
                                                    .table = &learner->table,
                                                    .backend = learner->backend,
                                                    .micro = options->micro,
                                                    .sequence_length = options->sequence_length};
        status = model_create(&learner->model, &model_options, err);
        if (!status) {
            method_attach(learner->method, learner->model);
        }
    }
    return status;
}

static enum status validate_batch(const struct learner_options *options, struct error *err)
{
    int64_t tokens = 0;
    int64_t floats = 0;
    const int64_t widest = options->config.intermediate_size + options->config.hidden_size +
                           model_config_qkv_rows(&options->config);

    if (options->micro < 1 || options->sequence_length < 1) {
        (void)error_set(err, STATUS_INVALID, "batch.micro and data.sequence_length start at 1");
        error_set_field(err, "batch.micro");
        return STATUS_INVALID;
    }
    if (!checked_mul_i64(options->micro, options->sequence_length, &tokens) ||
        !checked_mul_i64(tokens, 4 * widest, &floats) || tokens > INT32_MAX) {
        (void)error_set(err, STATUS_LIMIT,
                        "batch.micro: %lld sequences of %lld tokens are too many",
                        (long long)options->micro, (long long)options->sequence_length);
        error_set_field(err, "batch.micro");
        return STATUS_LIMIT;
    }
    return STATUS_OK;
}

static enum status validate(const struct learner_options *options, struct error *err)
{
    enum status status = model_config_validate(&options->config, err);
    if (!status) {
        status = validate_optimizer(&options->optimizer, err);
    }
    if (!status && options->purpose == LEARNER_PURPOSE_TRAIN) {
        status = validate_batch(options, err);
    }
    return status;
}

enum status learner_create(struct learner **out, const struct learner_options *options,
                           struct backend *backend, struct error *err)
{
    enum status status = validate(options, err);
    if (status) {
        return status;
    }
    struct learner *learner = sys_calloc(1, sizeof *learner);
    if (learner == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the learner");
    }
    learner->options = *options;
    learner->options.lanes = options->lanes == 0 ? 1 : options->lanes;
    learner->options.shard_world = options->shard_world == 0 ? 1 : options->shard_world;
    assert(learner->options.lanes <= 1 << LEARNER_LANE_SUMS_MAX);
    learner->adamw.options = options->optimizer;
    learner->backend = backend;

    status = create_parts(learner, err);
    if (status) {
        goto fail;
    }
    layout(learner);
    status = memory_plan_allocate(&learner->memory, options->memory_limit_bytes, err);
    if (status) {
        goto fail;
    }
    layout(learner);
    assert(memory_plan_complete(&learner->memory));
    param_table_initialise(&learner->table, &learner->options.config, options->seed);
    status = method_initialise(learner->method, err);
    if (status) {
        goto fail;
    }
    if (learner->model != NULL) {
        method_write_weights(learner->method);
    }
    status = backend_finish(backend, err);
    if (status) {
        goto fail;
    }
    *out = learner;
    return STATUS_OK;
fail:
    learner_destroy(learner);
    return status;
}

void learner_destroy(struct learner *learner)
{
    if (learner == NULL) {
        return;
    }
    method_destroy(learner->method);
    model_destroy(learner->model);
    param_table_deinit(&learner->table);
    memory_plan_deinit(&learner->memory);
    free(learner);
}

const struct learner_options *learner_options(const struct learner *learner)
{
    return &learner->options;
}

const struct param_table *learner_params(const struct learner *learner)
{
    return &learner->table;
}

const struct memory_plan *learner_memory(const struct learner *learner)
{
    return &learner->memory;
}

struct model *learner_model(const struct learner *learner)
{
    return learner->model;
}

struct method *learner_method(const struct learner *learner)
{
    return learner->method;
}

float *learner_grads(const struct learner *learner, int64_t *count)
{
    *count = param_table_grad_floats(&learner->table);
    return learner->table.grads;
}

void learner_zero_grads(struct learner *learner)
{
    learner->backend->op->zero(learner->backend, learner->table.grads,
                               param_table_grad_floats(&learner->table));
}

double learner_forward_backward(struct learner *learner, const uint32_t *tokens, int64_t B,
                                double grad_scale)
{
    return model_forward_backward(learner->model, tokens, B, learner->options.sequence_length,
                                  grad_scale);
}

double learner_loss(struct learner *learner, const uint32_t *tokens, int64_t B)
{
    return model_loss(learner->model, tokens, B, learner->options.sequence_length);
}

enum status learner_update(struct learner *learner, double lr, double clip_norm,
                           double *grad_norm_out, struct error *err)
{
    const double norm = grad_norm(&learner->table, learner->backend);

    *grad_norm_out = norm;
    enum status status = backend_finish(learner->backend, err);
    if (status) {
        return status;
    }
    if (!isfinite(norm)) {
        return STATUS_OK;
    }
    adamw_step(&learner->adamw, &learner->table, learner->backend, lr,
               clip_factor(norm, clip_norm));
    return backend_finish(learner->backend, err);
}

void learner_write_weights(struct learner *learner)
{
    method_write_weights(learner->method);
}

bool learner_merge_due(const struct learner *learner, int64_t step, int64_t steps)
{
    return method_merge_due(learner->method, step, steps);
}
