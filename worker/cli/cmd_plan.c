/*
 * remora-worker plan — what a job will need, before it runs: bytes, FLOPs, and time at the speed of
 * this machine.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/spec/spec.h"
#include "proto/spec/train_spec.h"
#include "worker/cli/commands.h"
#include "worker/method/cost.h"
#include "worker/method/learner.h"
#include "worker/text/tokenizer.h"

/* Steps reach about this share of what their products alone would (deploy/results/engine.md). */
#define EFFICIENCY 0.8
/* A product this tall runs at full speed. */
#define ROWS_MAX   1024
#define MEASURE_NS 300000000

struct plan {
    json_t *spec_json;
    struct train_spec spec;
    int64_t vocab_size;
    struct backend *backend;
    struct learner *learner;
    size_t available;  /* bytes of this machine */
    double flop_micro; /* of a micro-batch: what is needed, */
    double flop_again; /* and what recomputation adds */
    double flop_per_s; /* measured, of one rank */
};

/* --- reading ---------------------------------------------------------------------------------- */

static enum status read_vocabulary(struct plan *plan, struct error *err)
{
    struct tokenizer *tokenizer = NULL;

    plan->vocab_size = plan->spec.model.tokenizer_vocab_size;
    if (plan->spec.model.tokenizer == NULL) {
        return STATUS_OK; /* it is still to be trained, with that many pieces at the most */
    }
    enum status status = tokenizer_load(&tokenizer, plan->spec.model.tokenizer, err);
    if (!status) {
        plan->vocab_size = tokenizer_vocab_size(tokenizer);
    }
    tokenizer_destroy(tokenizer);
    return status;
}

static enum status open_learner(struct plan *plan, struct error *err)
{
    struct learner_options options;

    enum status status =
        backend_cpu_create(&plan->backend, (int)plan->spec.launch.threads_per_rank, err);
    if (!status) {
        status = learner_options_from_spec(&options, &plan->spec, plan->vocab_size,
                                           plan->backend->has_bf16, err);
    }
    if (!status) {
        options.purpose = LEARNER_PURPOSE_PLAN;
        status = learner_create(&plan->learner, &options, plan->backend, err);
    }
    return status;
}

/* --- measuring -------------------------------------------------------------------------------- */

/* The speed of the first product of the list, with at most ROWS_MAX rows. */
static enum status measure(struct plan *plan, const struct cost *cost, struct error *err)
{
    struct gemm_shape shape = cost->products[0].shape;
    void *memory[3] = {NULL};
    const struct backend_table *op = plan->backend->op;

    shape.m = shape.m < ROWS_MAX ? shape.m : ROWS_MAX;
    const size_t size[3] = {
        (size_t)(shape.m * shape.n) * sizeof(float),
        (size_t)(shape.m * shape.k) * dtype_bytes(shape.operands),
        (size_t)(shape.k * shape.n) * dtype_bytes(shape.operands),
    };
    enum status status = STATUS_OK;
    for (int i = 0; i < 3 && !status; i++) {
        status = backend_allocate(plan->backend, &memory[i], size[i], err);
    }
    int64_t best_ns = INT64_MAX;
    const int64_t start_ns = sys_monotonic_ns();
    while (!status && sys_monotonic_ns() - start_ns < MEASURE_NS) {
        const int64_t before_ns = sys_monotonic_ns();
        op->gemm(plan->backend, memory[0], memory[1], memory[2], &shape);
        const int64_t took_ns = sys_monotonic_ns() - before_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
        status = backend_finish(plan->backend, err);
    }
    plan->flop_per_s = 2e9 * (double)shape.m * (double)shape.n * (double)shape.k / (double)best_ns;
    for (int i = 0; i < 3; i++) {
        backend_release(plan->backend, memory[i], size[i]);
    }
    return status;
}

static double tokens_per_micro(const struct plan *plan)
{
    return (double)(plan->spec.batch.micro * plan->spec.data.sequence_length);
}

static double tokens_per_step(const struct plan *plan)
{
    return (double)(plan->spec.batch.global * plan->spec.data.sequence_length);
}

static double micros_per_rank(const struct plan *plan)
{
    return (double)plan->spec.batch.global /
           (double)(plan->spec.batch.micro * plan->spec.launch.ranks);
}

static double step_seconds(const struct plan *plan)
{
    return micros_per_rank(plan) * (plan->flop_micro + plan->flop_again) /
           (plan->flop_per_s * EFFICIENCY);
}

/* --- telling ---------------------------------------------------------------------------------- */

static size_t bytes_per_rank(const struct plan *plan)
{
    return learner_memory(plan->learner)->bytes_total;
}

static void print_text(const struct plan *plan)
{
    const struct learner_options *options = learner_options(plan->learner);
    const struct memory_plan *memory = learner_memory(plan->learner);

    (void)printf("%s: %s, %s, %" PRId64 " ranks x %" PRId64 " threads\n\n", plan->spec.name,
                 method_describe(learner_method(plan->learner)), dtype_name(options->dtype),
                 plan->spec.launch.ranks, plan->spec.launch.threads_per_rank);
    for (enum memory_kind kind = 0; kind < MEMORY_KIND_COUNT; kind++) {
        (void)printf("%-20s %10.1f MiB\n", memory_kind_name(kind),
                     (double)memory->bytes[kind] / (double)MIB);
    }
    (void)printf("%-20s %10.1f MiB; %.1f MiB are there\n", "a rank",
                 (double)bytes_per_rank(plan) / (double)MIB,
                 (double)plan->available / (double)MIB / (double)plan->spec.launch.ranks);
    (void)printf("\n%-20s %10.3f GFLOP, %.3f more by recomputation\n", "a token",
                 plan->flop_micro / tokens_per_micro(plan) * 1e-9,
                 plan->flop_again / tokens_per_micro(plan) * 1e-9);
    (void)printf("%-20s %10.1f GFLOP for %.0f tokens\n", "a step",
                 plan->flop_micro / tokens_per_micro(plan) * tokens_per_step(plan) * 1e-9,
                 tokens_per_step(plan));
    (void)printf("%-20s %10.1f s, %.0f tokens per s: products at %.0f GFLOP/s a rank as measured "
                 "now, %.0f %% of that in steps\n",
                 "expected", step_seconds(plan), tokens_per_step(plan) / step_seconds(plan),
                 plan->flop_per_s * 1e-9, EFFICIENCY * 100.0);
}

static json_t *bytes_json(const struct memory_plan *memory)
{
    json_t *bytes = json_object();

    for (enum memory_kind kind = 0; kind < MEMORY_KIND_COUNT; kind++) {
        (void)json_object_set_new(bytes, memory_kind_name(kind),
                                  json_integer((json_int_t)memory->bytes[kind]));
    }
    return bytes;
}

static enum status print_json(const struct plan *plan, struct error *err)
{
    struct bytes text = {0};
    const double per_token = plan->flop_micro / tokens_per_micro(plan);
    json_t *object = json_pack(
        "{s:s, s:o, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "dtype",
        dtype_name(learner_options(plan->learner)->dtype), "bytes",
        bytes_json(learner_memory(plan->learner)), "plan_bytes", (json_int_t)bytes_per_rank(plan),
        "ranks", (json_int_t)plan->spec.launch.ranks, "available_bytes",
        (json_int_t)plan->available, "flop_per_token", per_token, "recompute_flop_per_token",
        plan->flop_again / tokens_per_micro(plan), "flop_per_step",
        per_token * tokens_per_step(plan), "gemm_gflop_per_s", plan->flop_per_s * 1e-9, "step_s",
        step_seconds(plan), "tokens_per_s", tokens_per_step(plan) / step_seconds(plan));

    json_canonical(&text, object);
    enum status status = bytes_status(&text, "the plan", err);
    if (!status) {
        (void)printf("%s\n", text.data);
    }
    json_decref(object);
    bytes_deinit(&text);
    return status;
}

static enum status make(struct plan *plan, const struct command_line *line, struct error *err)
{
    struct cost cost;

    enum status status = spec_load(&plan->spec_json, command_argument(line, 0), NULL, 0, err);
    if (!status && spec_kind(plan->spec_json) != SPEC_KIND_TRAIN) {
        status = error_set(err, STATUS_INVALID, "'%s' is not a spec of kind train",
                           command_argument(line, 0));
    }
    if (!status) {
        status = train_spec_read(&plan->spec, plan->spec_json, err);
    }
    if (!status) {
        status = read_vocabulary(plan, err);
    }
    plan->available = memory_available_bytes();
    if (!status) {
        status = open_learner(plan, err);
    }
    if (status) {
        return status;
    }
    learner_cost(&cost, plan->learner);
    plan->flop_micro = cost_flop(&cost);
    plan->flop_again = learner_recompute_flop(plan->learner);
    return measure(plan, &cost, err);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct plan plan = {0};
    (void)exit_code;

    enum status status = make(&plan, line, err);
    if (!status && command_flag(line, "json")) {
        status = print_json(&plan, err);
    } else if (!status) {
        print_text(&plan);
    }
    if (!status) { /* all ranks are taken to run here, as the worker itself does */
        status = memory_plan_check(learner_memory(plan.learner),
                                   plan.available / (size_t)plan.spec.launch.ranks, err);
    }
    learner_destroy(plan.learner);
    backend_destroy(plan.backend);
    json_decref(plan.spec_json);
    return status;
}

static const struct command_option options[] = {
    {.name = "json", .help = "print one JSON object"},
};

const struct command command_plan = {
    .name = "plan",
    .usage = "SPEC [options]",
    .summary = "tells the memory, FLOPs and time that a job will take",
    .examples = "  remora-worker plan job.yaml\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
