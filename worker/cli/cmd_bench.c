/*
 * remora-worker bench — how fast this machine is at what training consists of.
 */
#include <sched.h>
#include <string.h>

#include "worker/cli/bench.h"
#include "worker/cli/commands.h"

int bench_core_count(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set)) {
        return 1;
    }
    return CPU_COUNT(&set);
}

static enum status run_bench(const struct command_line *line, int *exit_code, struct error *err)
{
    (void)exit_code;
    if (command_argument_count(line) == 0) {
        return bench_model(line, err);
    }
    if (strcmp(command_argument(line, 0), "gemm") == 0) {
        return bench_gemm(line, err);
    }
    if (strcmp(command_argument(line, 0), "store") == 0) {
        return bench_store(line, err);
    }
    enum status status =
        error_set(err, STATUS_INVALID, "no benchmark '%s'", command_argument(line, 0));
    error_set_hint(err, "there are: gemm, store; without a name, steps of a model are measured");
    return status;
}

static const struct command_option options[] = {
    {.name = "model", .value = "PRESET", .help = "model (llama-250m)"},
    {.name = "method",
     .value = "NAME",
     .help = "a method of job specs, or frozen: the measure of adapters (mora)"},
    {.name = "r", .value = "N", .help = "rank, or parameter budget, of adapters (128)"},
    {.name = "operator",
     .value = "NAME",
     .help = "of mora and remora: sharing, truncation, decoupling or rotation (sharing)"},
    {.name = "dtype", .value = "NAME", .help = "operands of products: auto, bf16 or fp32 (auto)"},
    {.name = "micro", .value = "N", .help = "sequences of a step (8)"},
    {.name = "sequence-length", .value = "N", .help = "tokens of a sequence (512)"},
    {.name = "vocabulary", .value = "N", .help = "pieces of the vocabulary (32000)"},
    {.name = "recompute", .value = "NAME", .help = "none, attention or layer (none)"},
    {.name = "backend", .value = "NAME", .help = "cpu (cpu)"},
    {.name = "steps", .value = "N", .help = "steps to measure, of which the best counts (3)"},
    {.name = "threads", .value = "N", .help = "threads (all cores that this process may use)"},
    {.name = "seconds", .value = "N", .help = "gemm: measure that long (1)"},
    {.name = "checkpoint", .value = "CKPT", .help = "store: RUN, RUN@STEP or a manifest's path"},
    {.name = "json", .help = "print one JSON object"},
};

const struct command command_bench = {
    .name = "bench",
    .usage = "[gemm | store] [options]",
    .summary = "measures training steps against what this machine can multiply",
    .examples = "  remora-worker bench --model llama-250m --method mora --r 128\n"
                "  remora-worker bench --method frozen --dtype fp32 --json\n"
                "  remora-worker bench gemm --seconds 5 --threads 1 --json\n"
                "  remora-worker bench store --checkpoint runs/full\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 0,
    .argument_max = 1,
    .run = run_bench,
};
