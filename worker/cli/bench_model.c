/*
 * Steps of a model, each with one micro-batch: what every operation takes of them, and how the
 * whole compares with the time that its matrix products alone would take (cost.h) at the speed that
 * a program without our code reaches, measured in turns with the steps.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "proto/spec/presets.h"
#include "proto/spec/train_spec.h"
#include "worker/cli/bench.h"
#include "worker/method/learner.h"
#include "worker/ops/profile.h"

/* Of every product per round; with the fewest rounds, 3, that is 12. */
#define REPETITIONS_PER_ROUND 4
/* Fresh memory that is touched to see what that takes. */
#define TOUCH_BYTES (256 * MIB)

struct bench {
    struct learner_options options;
    const char *model; /* preset */
    long long threads;
    long long steps;
    struct backend *backend;
    struct learner *learner;
    struct profile *profile;
    struct bench_rates *rates;
    struct cost cost;
    uint32_t *tokens; /* [micro, T + 1] */
    double ready_s;   /* from nothing to the first step */
    double touch_s;   /* of which: the first touch of as much memory as the plan has */
    double first_step_s;
    double step_s;                                     /* the best */
    struct profile_entry entries[PROFILE_ENTRIES_MAX]; /* of that step */
    int64_t entry_count;
    double products_s;  /* that the products alone would take */
    double cpu_s;       /* seconds measured, */
    double other_cpu_s; /* and what other processes used of the processor in them */
};

/* --- options ---------------------------------------------------------------------------------- */

static enum status refuse(struct error *err, const char *option, const char *value,
                          const char *hint)
{
    (void)error_set(err, STATUS_INVALID, "--%s: '%s' is not known", option, value);
    error_set_hint(err, "%s", hint);
    return STATUS_INVALID;
}

static enum status read_model(struct bench *bench, const struct command_line *line,
                              struct error *err)
{
    long long vocabulary = 0;

    bench->model = command_text(line, "model", "llama-250m");
    const struct model_preset *preset = model_preset_find(bench->model);
    if (preset == NULL) {
        return refuse(err, "model", bench->model, "presets are listed in remora-spec(5)");
    }
    bench->options.config = (struct model_config){
        .hidden_size = preset->hidden_size,
        .intermediate_size = preset->intermediate_size,
        .num_hidden_layers = preset->num_hidden_layers,
        .num_attention_heads = preset->num_attention_heads,
        .num_key_value_heads = preset->num_attention_heads,
        .head_dim = preset->hidden_size / preset->num_attention_heads,
        .rms_norm_eps = 1e-6,
        .rope_theta = 10000.0,
        .initializer_range = 0.02,
    };
    enum status status =
        command_int(line, "vocabulary", 2, VOCAB_SIZE_MAX, 32000, &vocabulary, err);
    bench->options.config.vocab_size = vocabulary;
    return status;
}

/* The method's own fields as they are without more in a spec; what merges, never does here. */
static enum status read_method(struct bench *bench, const struct command_line *line,
                               struct error *err)
{
    const char *name = command_text(line, "method", "mora");
    const char *op = command_text(line, "operator", "sharing");
    enum method_name method = 0;
    enum mora_operator which = 0;
    long long r = 0;

    while (method < METHOD_NAME_COUNT && strcmp(method_name_text(method), name) != 0) {
        method++;
    }
    if (method == METHOD_NAME_COUNT) {
        return refuse(err, "method", name,
                      "there are: full, lora, lora_plus, asylora, dora, relora, mora, remora, "
                      "frozen");
    }
    while (which <= MORA_OPERATOR_ROTATION && strcmp(mora_operator_text(which), op) != 0) {
        which++;
    }
    if (which > MORA_OPERATOR_ROTATION) {
        return refuse(err, "operator", op, "there are: sharing, truncation, decoupling, rotation");
    }
    bench->options.method = method_spec_default(method);
    bench->options.method.op = which;
    bench->options.method.merge_every = method_has_cycles(method) ? STEPS_MAX : 0;
    enum status status = command_int(line, "r", 1, HIDDEN_SIZE_MAX, 128, &r, err);
    bench->options.method.r = method_is_lora(method) || method_is_mora(method) ? r : 0;
    return status;
}

static enum status read_compute(struct bench *bench, const struct command_line *line,
                                struct error *err)
{
    const char *backend = command_text(line, "backend", "cpu");
    const char *dtype = command_text(line, "dtype", "auto");
    const char *recompute = command_text(line, "recompute", "none");
    enum compute_dtype type = COMPUTE_DTYPE_AUTO;

    if (strcmp(backend, "cpu") != 0) {
        (void)error_set(err, STATUS_UNSUPPORTED, "--backend: '%s' is not in this build", backend);
        error_set_hint(err, "this version computes on the CPU only: use cpu");
        return STATUS_UNSUPPORTED;
    }
    if (!compute_dtype_of(&type, dtype)) {
        return refuse(err, "dtype", dtype, "there are: auto, bf16, fp32");
    }
    if (!compute_recompute_of(&bench->options.recompute, recompute)) {
        return refuse(err, "recompute", recompute, "there are: none, attention, layer");
    }
    enum status status = command_int(line, "threads", 1, THREADS_PER_RANK_MAX, bench_core_count(),
                                     &bench->threads, err);
    if (!status) {
        status = backend_cpu_create(&bench->backend, (int)bench->threads, err);
    }
    if (!status) {
        const bool is_bf16 =
            type == COMPUTE_DTYPE_BF16 || (type == COMPUTE_DTYPE_AUTO && bench->backend->has_bf16);
        bench->options.dtype = is_bf16 ? DTYPE_BF16 : DTYPE_FP32;
    }
    return status;
}

static enum status read_options(struct bench *bench, const struct command_line *line,
                                struct error *err)
{
    long long micro = 0;
    long long sequence_length = 0;

    bench->options = (struct learner_options){
        .optimizer = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .purpose = LEARNER_PURPOSE_TRAIN,
        .memory_limit_bytes = memory_available_bytes(),
    };
    enum status status = read_model(bench, line, err);
    if (!status) {
        status = read_method(bench, line, err);
    }
    if (!status) {
        status = read_compute(bench, line, err);
    }
    if (!status) {
        status = command_int(line, "micro", 1, 65536, 8, &micro, err);
    }
    if (!status) {
        status = command_int(line, "sequence-length", 2, 1048576, 512, &sequence_length, err);
    }
    if (!status) {
        status = command_int(line, "steps", 3, 1000, 3, &bench->steps, err);
    }
    bench->options.micro = micro;
    bench->options.sequence_length = sequence_length;
    return status;
}

/* --- measuring -------------------------------------------------------------------------------- */

static double seconds_since(int64_t start_ns)
{
    return (double)(sys_monotonic_ns() - start_ns) * 1e-9;
}

/* Seconds that the first touch of a byte takes, by a sample. */
static double measure_touch(void)
{
    unsigned char *memory =
        mmap(NULL, TOUCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return 0.0;
    }
    (void)madvise(memory, TOUCH_BYTES, MADV_HUGEPAGE);
    const int64_t start_ns = sys_monotonic_ns();
    for (size_t i = 0; i < TOUCH_BYTES; i += 4096) {
        memory[i] = 1;
    }
    const double seconds = seconds_since(start_ns);
    (void)munmap(memory, TOUCH_BYTES);
    return seconds / (double)TOUCH_BYTES;
}

/* Seconds that all cores were busy since boot, stolen ones included; 0 where that is not told. */
static double busy_seconds(void)
{
    unsigned long long t[8] = {0};
    FILE *file = fopen("/proc/stat", "re");
    int count = 0;

    if (file != NULL) {
        count = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2],
                       &t[3], &t[4], &t[5], &t[6], &t[7]);
        (void)fclose(file);
    }
    return count == 8
               ? (double)(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]) / (double)sysconf(_SC_CLK_TCK)
               : 0.0;
}

static double used_seconds(int who)
{
    struct rusage usage;

    (void)getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static enum status open_learner(struct bench *bench, struct error *err)
{
    const double touch_s = measure_touch(); /* before there is anything else in memory */
    const int64_t start_ns = sys_monotonic_ns();
    const struct model_config *config = &bench->options.config;
    const int64_t count = bench->options.micro * (bench->options.sequence_length + 1);

    bench->tokens = sys_calloc((size_t)count, sizeof *bench->tokens);
    if (bench->tokens == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for tokens");
    }
    for (int64_t i = 0; i < count; i++) {
        bench->tokens[i] = rng_below(1, rng_stream(RNG_PURPOSE_TEST, 0, 0), (uint64_t)i,
                                     (uint32_t)config->vocab_size);
    }
    enum status status = learner_create(&bench->learner, &bench->options, bench->backend, err);
    if (status) {
        return status;
    }
    bench->ready_s = seconds_since(start_ns);
    bench->touch_s = touch_s * (double)learner_memory(bench->learner)->bytes_mapped;
    return profile_attach(&bench->profile, bench->backend, err);
}

/* As the step loop has it, on one rank with one micro-batch. */
static enum status step(struct bench *bench, double *seconds, struct error *err)
{
    const double targets = (double)(bench->options.micro * bench->options.sequence_length);
    const int64_t start_ns = sys_monotonic_ns();
    double norm = 0.0;

    learner_zero_grads(bench->learner);
    (void)learner_forward_backward(bench->learner, bench->tokens, bench->options.micro,
                                   1.0 / targets);
    enum status status = learner_update(bench->learner, 1e-4, 1.0, &norm, err);
    if (!status && bench->options.method.name != METHOD_NAME_FROZEN) {
        learner_write_weights(bench->learner);
    }
    if (!status) {
        status = backend_finish(bench->backend, err);
    }
    *seconds = seconds_since(start_ns);
    return status;
}

static void keep_entries(struct bench *bench)
{
    const struct profile_entry *entries = profile_entries(bench->profile, &bench->entry_count);

    memcpy(bench->entries, entries, (size_t)bench->entry_count * sizeof entries[0]);
}

/* A step, then the products, in turns. */
static enum status measure(struct bench *bench, struct error *err)
{
    enum status status = step(bench, &bench->first_step_s, err);

    for (long long i = 0; !status && i < bench->steps; i++) {
        double seconds = 0.0;
        profile_clear(bench->profile);
        status = step(bench, &seconds, err);
        if (!status && (i == 0 || seconds < bench->step_s)) {
            bench->step_s = seconds;
            keep_entries(bench);
        }
        if (!status) {
            status = bench_rates_run(bench->rates, REPETITIONS_PER_ROUND, err);
        }
    }
    for (int64_t i = 0; i < bench->cost.count; i++) {
        bench->products_s += bench->cost.products[i].count * bench->cost.products[i].needed *
                             bench_rates_seconds(bench->rates, i);
    }
    return status;
}

/* --- telling ---------------------------------------------------------------------------------- */

static double tokens_per_s(const struct bench *bench, double seconds)
{
    return (double)(bench->options.micro * bench->options.sequence_length) / seconds;
}

static int by_time(const void *a, const void *b)
{
    const int64_t x = ((const struct profile_entry *)a)->ns;
    const int64_t y = ((const struct profile_entry *)b)->ns;
    return (x < y) - (x > y);
}

static void print_operations(const struct bench *bench)
{
    double rest_s = bench->step_s;

    (void)printf("\n%-32s %6s %9s %7s %9s\n", "operation", "calls", "ms", "share", "GFLOP/s");
    for (int64_t i = 0; i < bench->entry_count; i++) {
        const struct profile_entry *entry = &bench->entries[i];
        const double seconds = (double)entry->ns * 1e-9;
        rest_s -= seconds;
        (void)printf("%-32s %6" PRId64 " %9.1f %6.1f%%", entry->name, entry->calls, seconds * 1e3,
                     100.0 * seconds / bench->step_s);
        (void)printf(entry->flop > 0.0 ? " %9.0f\n" : "\n", entry->flop / seconds * 1e-9);
    }
    (void)printf("%-32s %6s %9.1f %6.1f%%\n", "everything else", "", rest_s * 1e3,
                 100.0 * rest_s / bench->step_s);
}

static void print_products(const struct bench *bench)
{
    (void)printf("\n%-24s %-20s %7s %9s %9s\n", "product that is needed", "shape", "calls", "ms",
                 "GFLOP/s");
    for (int64_t i = 0; i < bench->cost.count; i++) {
        const struct cost_product *product = &bench->cost.products[i];
        const double seconds = product->needed * bench_rates_seconds(bench->rates, i);
        char shape[48];
        (void)snprintf(shape, sizeof shape, "%" PRId64 "x%" PRId64 "x%" PRId64, product->shape.m,
                       product->shape.n, product->shape.k);
        (void)printf("%-24s %-20s %7.0f %9.1f %9.0f\n", product->name, shape, product->count,
                     product->count * seconds * 1e3, cost_call_flop(product) / seconds * 1e-9);
    }
}

static void print_text(const struct bench *bench)
{
    const struct learner_options *options = &bench->options;
    const double bound = tokens_per_s(bench, bench->products_s);
    const double reached = tokens_per_s(bench, bench->step_s);

    (void)printf("%s, %s, %s, %" PRId64 " x %" PRId64 " tokens, %d threads, %s, %s\n", bench->model,
                 method_describe(learner_method(bench->learner)), dtype_name(options->dtype),
                 options->micro, options->sequence_length, bench->backend->threads,
                 bench->backend->isa, bench->backend->gemm_library);
    print_operations(bench);
    print_products(bench);
    (void)printf("\nstep                %9.3f s, the best of %lld (the first %.3f s)\n",
                 bench->step_s, bench->steps, bench->first_step_s);
    (void)printf("tokens              %9.1f per s\n", reached);
    (void)printf(
        "GEMM-bound          %9.1f per s: %.1f GFLOP in %.3f s, each product the best of %" PRId64
        "\n",
        bound, cost_flop(&bench->cost) * 1e-9, bench->products_s,
        bench_rates_repetitions(bench->rates));
    (void)printf("ratio               %9.3f\n", reached / bound);
    (void)printf("memory              %9.2f GiB at most, %.2f planned\n",
                 (double)memory_peak_bytes() / (double)GIB,
                 (double)learner_memory(bench->learner)->bytes_total / (double)GIB);
    (void)printf("ready               %9.2f s, of which about %.2f for the first touch of memory\n",
                 bench->ready_s, bench->touch_s);
    (void)printf("other processes     %9.2f cores\n", bench->other_cpu_s / bench->cpu_s);
}

static json_t *operations_json(const struct bench *bench)
{
    json_t *list = json_array();

    for (int64_t i = 0; i < bench->entry_count; i++) {
        const struct profile_entry *entry = &bench->entries[i];
        const double seconds = (double)entry->ns * 1e-9;
        (void)json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:f, s:f}", "name",
                                                    entry->name, "calls", (json_int_t)entry->calls,
                                                    "s", seconds, "gflop", entry->flop * 1e-9,
                                                    "gflop_per_s", entry->flop / seconds * 1e-9));
    }
    return list;
}

static json_t *products_json(const struct bench *bench)
{
    json_t *list = json_array();

    for (int64_t i = 0; i < bench->cost.count; i++) {
        const struct cost_product *product = &bench->cost.products[i];
        const double seconds = product->needed * bench_rates_seconds(bench->rates, i);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:[I,I,I], s:f, s:f, s:f}", "name", product->name, "shape",
                            (json_int_t)product->shape.m, (json_int_t)product->shape.n,
                            (json_int_t)product->shape.k, "s", product->count * seconds, "gflop",
                            product->count * cost_call_flop(product) * 1e-9, "gflop_per_s",
                            cost_call_flop(product) / seconds * 1e-9));
    }
    return list;
}

static enum status print_json(const struct bench *bench, struct error *err)
{
    const struct learner_options *options = &bench->options;
    struct bytes text = {0};
    const double bound = tokens_per_s(bench, bench->products_s);
    const double reached = tokens_per_s(bench, bench->step_s);
    json_t *object = json_pack(
        "{s:s, s:s, s:s*, s:I, s:s, s:I, s:I, s:i, s:s, s:s}", "model", bench->model, "method",
        method_name_text(options->method.name), "operator",
        method_is_mora(options->method.name) ? mora_operator_text(options->method.op) : NULL, "r",
        (json_int_t)options->method.r, "dtype", dtype_name(options->dtype), "micro",
        (json_int_t)options->micro, "sequence_length", (json_int_t)options->sequence_length,
        "threads", bench->backend->threads, "isa", bench->backend->isa, "gemm_library",
        bench->backend->gemm_library);
    json_t *measured = json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:o, s:o}", "tokens_per_s",
        reached, "gemm_bound_tokens_per_s", bound, "ratio", reached / bound, "step_s",
        bench->step_s, "first_step_s", bench->first_step_s, "ready_s", bench->ready_s,
        "first_touch_s", bench->touch_s, "other_cores", bench->other_cpu_s / bench->cpu_s,
        "repetitions", (json_int_t)bench_rates_repetitions(bench->rates), "peak_rss_bytes",
        (json_int_t)memory_peak_bytes(), "plan_bytes",
        (json_int_t)learner_memory(bench->learner)->bytes_total, "ops", operations_json(bench),
        "products", products_json(bench));

    if (object == NULL || measured == NULL || json_object_update(object, measured)) {
        json_decref(object);
        object = NULL;
    }
    json_canonical(&text, object);
    enum status status = bytes_status(&text, "result", err);
    if (!status) {
        (void)printf("%s\n", text.data);
    }
    json_decref(measured);
    json_decref(object);
    bytes_deinit(&text);
    return status;
}

static enum status measure_all(struct bench *bench, struct error *err)
{
    enum status status = open_learner(bench, err);

    if (!status) {
        learner_cost(&bench->cost, bench->learner);
        status = bench_rates_create(&bench->rates, &bench->cost, (int)bench->threads, err);
    }
    return status ? status : measure(bench, err);
}

static void deinit(struct bench *bench)
{
    bench_rates_destroy(bench->rates);
    profile_detach(bench->profile);
    learner_destroy(bench->learner);
    backend_destroy(bench->backend);
    free(bench->tokens);
}

enum status bench_model(const struct command_line *line, struct error *err)
{
    struct bench *bench = sys_calloc(1, sizeof *bench);
    if (bench == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a benchmark");
    }
    const int64_t start_ns = sys_monotonic_ns();
    const double busy_s = busy_seconds();

    enum status status = read_options(bench, line, err);
    if (!status) {
        status = measure_all(bench, err);
    }
    if (!status) {
        qsort(bench->entries, (size_t)bench->entry_count, sizeof bench->entries[0], by_time);
        bench->cpu_s = seconds_since(start_ns);
        bench->other_cpu_s =
            busy_seconds() - busy_s - used_seconds(RUSAGE_SELF) - bench_rates_cpu_s(bench->rates);
        status = command_flag(line, "json") ? print_json(bench, err) : STATUS_OK;
        if (!command_flag(line, "json")) {
            print_text(bench);
        }
    }
    deinit(bench);
    free(bench);
    return status;
}
