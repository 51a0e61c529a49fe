#include "worker/method/learner.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
                                      int64_t vocab_size, bool has_bf16, struct error *err)
{
    const bool wants_bf16 = spec->compute.dtype == COMPUTE_DTYPE_BF16 ||
                            (spec->compute.dtype == COMPUTE_DTYPE_AUTO && has_bf16);

    *out = (struct learner_options){
        .method = spec->method,
        .dtype = wants_bf16 ? DTYPE_BF16 : DTYPE_FP32,
        .recompute = spec->compute.recompute,
        .rounding = spec->compute.rounding,
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

static bool has_model(const struct learner *learner)
{
    return learner->options.purpose != LEARNER_PURPOSE_STATE;
}

/* Asks for every tensor of the learner; run twice, see memory_plan.h. */
static void layout(struct learner *learner)
{
    const bool trains = has_model(learner);
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
        status = method_create(&learner->method, &options->method, options->seed, options->dtype,
                               &learner->table, &options->config, learner->backend, err);
    }
    learner->table.shard_rank = options->shard_rank;
    learner->table.shard_world = options->shard_world;
    if (!status && has_model(learner)) {
        const struct model_options model_options = {.config = &options->config,
                                                    .table = &learner->table,
                                                    .backend = learner->backend,
                                                    .micro = options->micro,
                                                    .sequence_length = options->sequence_length,
                                                    .dtype = options->dtype,
                                                    .recompute = options->recompute};
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
    if (!status && options->purpose != LEARNER_PURPOSE_STATE) {
        status = validate_batch(options, err);
    }
    return status;
}

static void plan_step(struct learner *learner, const uint32_t *tokens)
{
    struct adamw adamw = learner->adamw; /* a copy: no step is taken */

    learner_zero_grads(learner);
    (void)learner_loss(learner, tokens, learner->options.micro);
    (void)learner_forward_backward(learner, tokens, learner->options.micro, 1.0);
    (void)grad_norm(&learner->table, learner->backend);
    adamw_step(&adamw, &learner->table, learner->backend, 0.0, 1.0);
    learner_write_weights(learner);
}

/* Goes through a step while the backend plans: makes every kernel and reserves its scratch memory,
 * so that the steps themselves allocate nothing, and counts that. */
static enum status plan_operations(struct learner *learner, struct error *err)
{
    const struct learner_options *options = &learner->options;

    uint32_t *tokens =
        sys_calloc((size_t)options->micro * ((size_t)options->sequence_length + 1), sizeof *tokens);
    if (tokens == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a micro-batch of tokens");
    }
    memory_plan_note(&learner->memory, MEMORY_KIND_PROGRAM, memory_resident_bytes());
    backend_plan(learner->backend, true);
    plan_step(learner, tokens);
    if (options->method.full_rank_steps > 0) {
        method_plan_adapters(learner->method, true);
        plan_step(learner, tokens);
        method_plan_adapters(learner->method, false);
    }
    method_plan_merge(learner->method);
    backend_plan(learner->backend, false);
    free(tokens);

    memory_plan_note(&learner->memory, MEMORY_KIND_SCRATCH,
                     backend_scratch_bytes(learner->backend));
    enum status status = backend_finish(learner->backend, err);
    return status ? status : memory_plan_check(&learner->memory, options->memory_limit_bytes, err);
}

/* True where no number has more digits than a bf16. */
static bool is_bf16_exact(const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if ((bits & 0xFFFF) != 0) {
            return false;
        }
    }
    return true;
}

void learner_choose_rounding(struct learner *learner)
{
    bool is_exact = learner->options.method.name != METHOD_NAME_FULL;

    for (int64_t i = 0; i < learner->table.model_count && is_exact; i++) {
        const struct param *param = &learner->table.params[i];
        is_exact = param->role != PARAM_ROLE_LINEAR || is_bf16_exact(param->value, param->elements);
    }
    learner->is_stochastic = learner->options.rounding == COMPUTE_ROUNDING_STOCHASTIC ||
                             (learner->options.rounding == COMPUTE_ROUNDING_AUTO && is_exact);
    learner->is_stochastic &= learner->options.dtype == DTYPE_BF16;
}

/* The tensors of a fresh run. */
static enum status start(struct learner *learner, struct error *err)
{
    param_table_initialise(&learner->table, &learner->options.config, learner->backend,
                           learner->options.seed);
    enum status status = method_initialise(learner->method, err);
    if (!status && learner->model != NULL) {
        model_start(learner->model);
        learner_choose_rounding(learner);
        learner_write_weights(learner);
    }
    return status ? status : backend_finish(learner->backend, err);
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
    if (learner->model != NULL) {
        status = plan_operations(learner, err);
    }
    if (!status && options->purpose != LEARNER_PURPOSE_PLAN) {
        status = start(learner, err);
    }
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
    const struct method_rounding rounding = {.is_stochastic = learner->is_stochastic,
                                             .seed = learner->options.seed,
                                             .step = learner->adamw.steps[ADAMW_GROUP_MODEL]};

    method_write_weights(learner->method, &rounding);
}

enum status learner_start_adapters(struct learner *learner, struct error *err)
{
    enum status status = method_initialise(learner->method, err);

    return status ? status : backend_finish(learner->backend, err);
}

bool learner_merge_due(const struct learner *learner, int64_t step, int64_t steps)
{
    return method_merge_due(learner->method, step, steps);
}
