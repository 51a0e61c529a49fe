/*
 * What one field of a spec demands of another. Each rule is a function that reports at most one
 * problem; a problem's message begins with the path at fault, as the schema's do.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/checked.h"
#include "proto/base/limits.h"
#include "proto/spec/prepare_spec.h"
#include "proto/spec/spec.h"
#include "proto/spec/spec_internal.h"
#include "proto/spec/train_spec.h"

/* Fills err with "field: message". */
__attribute__((format(printf, 3, 4))) static enum status broken(struct error *err,
                                                                const char *field,
                                                                const char *format, ...)
{
    char message[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    (void)error_set(err, STATUS_INVALID, "%s: %s", field, message);
    error_set_field(err, "%s", field);
    return STATUS_INVALID;
}

/* ---- Train ---- */

/* One field gives the shape; none may where a checkpoint brings it. */
static enum status check_shape(const json_t *spec, struct error *err)
{
    const json_t *model = json_object_get(spec, "model");
    const bool has_preset = json_object_get(model, "preset") != NULL;
    const bool has_config = json_object_get(model, "config") != NULL;
    if (has_preset && has_config) {
        enum status status = broken(
            err, "model.config", "exactly one of preset, config is due, and preset is given, too");
        error_set_hint(err, "to replace preset, add -s model.preset=null");
        return status;
    }
    if (!has_preset && !has_config && json_object_get(model, "from") == NULL) {
        return broken(err, "model.preset",
                      "exactly one of preset, config is due, and none is given");
    }
    return STATUS_OK;
}

static enum status check_heads(const struct train_spec *spec, struct error *err)
{
    if (spec->model.hidden_size == 0) {
        return STATUS_OK; /* the checkpoint of model.from was checked */
    }
    const long long hidden_size = (long long)spec->model.hidden_size;
    const long long heads = (long long)spec->model.num_attention_heads;
    if (hidden_size % heads != 0) {
        return broken(err, "model.config.num_attention_heads",
                      "hidden_size %lld is not divisible by %lld heads", hidden_size, heads);
    }
    if (hidden_size / heads % 2 != 0) {
        enum status status = broken(err, "model.config.num_attention_heads",
                                    "hidden_size %lld / %lld heads gives the odd head_dim %lld",
                                    hidden_size, heads, hidden_size / heads);
        error_set_hint(err, "rotary embeddings turn pairs, so head_dim must be even");
        return status;
    }
    return STATUS_OK;
}

static enum status check_r(const struct train_spec *spec, struct error *err)
{
    if (spec->model.hidden_size == 0 || spec->method.r <= spec->model.hidden_size) {
        return STATUS_OK;
    }
    enum status status = broken(err, "method.r", "%lld is above the hidden_size %lld",
                                (long long)spec->method.r, (long long)spec->model.hidden_size);
    error_set_hint(err, "hidden_size / 6 = %lld keeps the paper's proportion",
                   (long long)(spec->model.hidden_size / 6));
    return status;
}

/* A field that only goes with some operators may not say anything else than its default. */
static enum status check_operator(const struct train_spec *spec, struct error *err)
{
    const struct method_spec *method = &spec->method;
    const bool is_sharing = method->op == MORA_OPERATOR_SHARING;
    const bool is_rotation = method->op == MORA_OPERATOR_ROTATION;
    const bool has_chunks = is_rotation || method->op == MORA_OPERATOR_DECOUPLING;
    const struct {
        const char *field;
        bool is_set;
        bool is_allowed;
        const char *with;
    } fields[] = {
        {"method.columns", method->columns != MORA_COLUMNS_MOD, is_sharing, "sharing"},
        {"method.rows", method->rows != MORA_ROWS_TILE, is_sharing, "sharing"},
        {"method.groups", method->groups != METHOD_GROUPS_PAPER, is_sharing, "sharing"},
        {"method.pad", method->pad != MORA_PAD_WRAP, is_sharing || has_chunks,
         "sharing, decoupling or rotation"},
        {"method.fold", method->fold, has_chunks, "decoupling or rotation"},
        {"method.pairing", method->pairing != MORA_PAIRING_HALF, is_rotation, "rotation"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (fields[i].is_set && !fields[i].is_allowed) {
            enum status status =
                broken(err, fields[i].field, "goes with the operator %s, and method.operator is %s",
                       fields[i].with, mora_operator_text(method->op));
            error_set_hint(err, "leave it out");
            return status;
        }
    }
    if (method_is_mora(method->name) && is_rotation && spec->model.intermediate_size < 2) {
        return broken(err, "method.operator", "rotation turns pairs, and intermediate_size is 1");
    }
    if (method->groups == METHOD_GROUPS_PERMUTED && method->pad != MORA_PAD_WRAP) {
        return broken(err, "method.pad", "permuted groups are not padded");
    }
    return STATUS_OK;
}

/* How often each of several sources would be seen in an epoch follows from their weights. */
static enum status check_epochs(const struct train_spec *spec, struct error *err)
{
    if (spec->epochs == 0.0 || spec->data.train_count == 1) {
        return STATUS_OK;
    }
    enum status status = broken(err, "epochs", "are of a single source, and data.train has %zu",
                                spec->data.train_count);
    error_set_hint(err, "give steps or tokens");
    return status;
}

static enum status check_batch(const struct train_spec *spec, struct error *err)
{
    const int64_t unit = spec->batch.micro * spec->launch.ranks; /* both are below 2^17 */
    if (spec->batch.global % unit == 0) {
        return STATUS_OK;
    }
    enum status status =
        broken(err, "batch.global",
               "%lld is not divisible by batch.micro × launch.ranks = %lld × %lld = %lld",
               (long long)spec->batch.global, (long long)spec->batch.micro,
               (long long)spec->launch.ranks, (long long)unit);
    const int64_t below = spec->batch.global / unit * unit;
    if (below > 0) {
        error_set_hint(err, "the nearest are %lld and %lld", (long long)below,
                       (long long)(below + unit));
    } else {
        error_set_hint(err, "the least is %lld", (long long)unit);
    }
    return status;
}

static enum status check_lanes(const struct train_spec *spec, struct error *err)
{
    const int64_t unit = SPEC_LANES * spec->batch.micro;
    if (spec->compute.deterministic != COMPUTE_DETERMINISTIC_WORLD) {
        return STATUS_OK;
    }
    if (SPEC_LANES % spec->launch.ranks != 0) {
        return broken(err, "launch.ranks",
                      "%lld, and compute.deterministic world has 4 lanes for 1, 2 or 4 ranks",
                      (long long)spec->launch.ranks);
    }
    if (spec->batch.global % unit == 0) {
        return STATUS_OK;
    }
    enum status status =
        broken(err, "batch.global",
               "%lld is not divisible by 4 lanes × batch.micro %lld = %lld, as "
               "compute.deterministic world needs",
               (long long)spec->batch.global, (long long)spec->batch.micro, (long long)unit);
    error_set_hint(err, "the next is %lld", (long long)((spec->batch.global / unit + 1) * unit));
    return status;
}

/* One step's tokens must be countable. */
static enum status check_step_tokens(const struct train_spec *spec, struct error *err)
{
    int64_t tokens = 0;
    if (checked_mul_i64(spec->batch.global, spec->data.sequence_length, &tokens) &&
        tokens <= JSON_INTEGER_MAX) {
        return STATUS_OK;
    }
    return broken(err, "batch.global", "%lld × data.sequence_length %lld tokens are too many",
                  (long long)spec->batch.global, (long long)spec->data.sequence_length);
}

static enum status check_slots(const struct train_spec *spec, struct error *err)
{
    const long long slots = (long long)(spec->launch.ranks * spec->launch.threads_per_rank);
    if (slots <= SLOTS_MAX) {
        return STATUS_OK;
    }
    return broken(
        err, "launch.ranks", "%lld × launch.threads_per_rank %lld = %lld is above the maximum %d",
        (long long)spec->launch.ranks, (long long)spec->launch.threads_per_rank, slots, SLOTS_MAX);
}

static enum status check_restarts(const struct train_spec *spec, struct error *err)
{
    const long long cycle = (long long)spec->schedule.restart_every;

    if (!train_spec_restarts(spec)) {
        return STATUS_OK;
    }
    if (cycle == 0) {
        enum status status = broken(
            err, "schedule.restart_every", "is missing: %s restarts, and method '%s' has no cycles",
            schedule_name_text(spec->schedule.name), method_name_text(spec->method.name));
        error_set_hint(err, "give it, or use cosine, or the method relora or remora");
        return status;
    }
    if (spec->schedule.warmup > spec->schedule.restart_every) {
        return broken(err, "schedule.warmup", "%lld is above the cycle of %lld steps",
                      (long long)spec->schedule.warmup, cycle);
    }
    if (spec->schedule.restart_warmup >= spec->schedule.restart_every) {
        return broken(err, "schedule.restart_warmup", "%lld is not below the cycle of %lld steps",
                      (long long)spec->schedule.restart_warmup, cycle);
    }
    if (spec->method.full_rank_steps > 0 && spec->schedule.warmup > spec->method.full_rank_steps) {
        return broken(err, "schedule.warmup", "%lld is above method.full_rank_steps %lld",
                      (long long)spec->schedule.warmup, (long long)spec->method.full_rank_steps);
    }
    return STATUS_OK;
}

/* A schedule that restarts has whole cycles behind the full-rank steps. */
static enum status check_whole_cycles(const struct train_spec *spec, int64_t steps,
                                      struct error *err)
{
    const int64_t first = spec->method.full_rank_steps;
    const int64_t cycle = spec->schedule.restart_every;

    if (!train_spec_restarts(spec) || cycle == 0 || (steps - first) % cycle == 0) {
        return STATUS_OK;
    }
    const char *field =
        cycle == spec->method.merge_every ? "method.merge_every" : "schedule.restart_every";
    const int64_t below = first + (steps - first) / cycle * cycle;
    enum status status =
        first == 0 ? broken(err, "steps", "%lld is not a multiple of %s %lld", (long long)steps,
                            field, (long long)cycle)
                   : broken(err, "steps",
                            "%lld less method.full_rank_steps %lld is not a multiple of %s %lld",
                            (long long)steps, (long long)first, field, (long long)cycle);
    error_set_hint(err, "%s has whole cycles; the nearest are %lld and %lld",
                   schedule_name_text(spec->schedule.name), (long long)below,
                   (long long)(below + cycle));
    return status;
}

enum status train_spec_check_steps(const struct train_spec *spec, int64_t steps, struct error *err)
{
    const int64_t cycle = spec->method.merge_every;
    if (steps > STEPS_MAX) {
        return broken(err, "steps", "%lld is above the maximum %lld", (long long)steps,
                      (long long)STEPS_MAX);
    }
    if (spec->method.full_rank_steps >= steps) {
        return broken(err, "method.full_rank_steps", "%lld is not below the number of steps %lld",
                      (long long)spec->method.full_rank_steps, (long long)steps);
    }
    if (cycle > steps) {
        return broken(err, "method.merge_every", "%lld is above the number of steps %lld",
                      (long long)cycle, (long long)steps);
    }
    if (spec->schedule.warmup >= steps) {
        return broken(err, "schedule.warmup", "%lld is not below the number of steps %lld",
                      (long long)spec->schedule.warmup, (long long)steps);
    }
    return check_whole_cycles(spec, steps, err);
}

static enum status check_steps(const struct train_spec *spec, struct error *err)
{
    return spec->steps ? train_spec_check_steps(spec, spec->steps, err) : STATUS_OK;
}

static bool has_files(const struct train_spec *spec)
{
    for (size_t i = 0; i < spec->data.train_count; i++) {
        if (spec->data.train[i].files.pattern_count > 0) {
            return true;
        }
    }
    return false;
}

/* What is only made together with shards cannot be asked for without files. */
static enum status check_prepared(const struct train_spec *spec, struct error *err)
{
    if (has_files(spec)) {
        return STATUS_OK;
    }
    enum status status = STATUS_OK;
    if (spec->model.tokenizer_vocab_size) {
        status = broken(err, "model.tokenizer", "is to be trained, but data.train names no files");
        error_set_hint(err, "name the tokenizer that the shards were made with");
    } else if (!spec->data.validation.shards) {
        status = broken(err, "data.validation.fraction",
                        "is a share of files, but data.train names none");
        error_set_hint(err, "name validation shards");
    }
    return status;
}

/* A tokenizer that is yet to be trained cannot have made shards. */
static enum status check_mixed_sources(const struct train_spec *spec, struct error *err)
{
    if (!spec->model.tokenizer_vocab_size) {
        return STATUS_OK;
    }
    for (size_t i = 0; i < spec->data.train_count; i++) {
        if (spec->data.train[i].shards) {
            char field[64];
            (void)snprintf(field, sizeof field, "data.train[%zu].shards", i);
            return broken(err, field, "cannot be used with a tokenizer that is yet to be trained");
        }
    }
    if (spec->data.validation.shards) {
        return broken(err, "data.validation.shards",
                      "cannot be used with a tokenizer that is yet to be trained");
    }
    return STATUS_OK;
}

typedef enum status rule_fn(const struct train_spec *spec, struct error *err);

static void add_problem(struct schema_problems *problems, const struct error *err)
{
    problems->total++;
    if (problems->count < SCHEMA_PROBLEMS_MAX) {
        problems->items[problems->count++] = *err;
    }
}

/* Counts a rule's problem, found says whether there is one; the first of all becomes the error. */
static enum status take_problem(enum status status, struct schema_problems *problems,
                                struct error *err, enum status found, const struct error *problem)
{
    if (!found) {
        return status;
    }
    add_problem(problems, problem);
    if (!status && err) {
        *err = *problem;
    }
    return status ? status : found;
}

static enum status check_train(const json_t *spec, struct schema_problems *problems,
                               struct error *err)
{
    static rule_fn *const rules[] = {
        check_heads, check_r,           check_operator, check_batch,
        check_lanes, check_step_tokens, check_slots,    check_restarts,
        check_steps, check_epochs,      check_prepared, check_mixed_sources,
    };
    struct train_spec train;
    struct error problem = {0};
    enum status status = train_spec_read(&train, spec, err);
    if (status) {
        return status;
    }
    status = take_problem(status, problems, err, check_shape(spec, &problem), &problem);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        status = take_problem(status, problems, err, rules[i](&train, &problem), &problem);
    }
    return status;
}

enum status spec_check_rules(const json_t *spec, struct schema_problems *problems,
                             struct error *err)
{
    switch (spec_kind(spec)) {
    case SPEC_KIND_TRAIN:
        return check_train(spec, problems, err);
    case SPEC_KIND_PREPARE:
        return STATUS_OK;
    }
    return STATUS_OK;
}
