/*
 * bench — what the files of 'remora-worker bench' share.
 */
#pragma once

#include "proto/base/command.h"
#include "worker/method/cost.h"

/* Cores that this process may use. */
int bench_core_count(void);

/* Products of 512 x 512 x 512 in fp32 for a while. */
MUST_USE enum status bench_gemm(const struct command_line *line, struct error *err);
/* The store's codec on a checkpoint. */
MUST_USE enum status bench_store(const struct command_line *line, struct error *err);
/* Steps of a model. */
MUST_USE enum status bench_model(const struct command_line *line, struct error *err);

/*
 * bench_rates — the speed of whole matrix products, measured by remora-bench-gemm: a process that
 * has none of the worker's code, kept waiting while the worker computes.
 */
struct bench_rates;

/* Starts it from the folder of this program, for the products of cost. */
MUST_USE enum status bench_rates_create(struct bench_rates **out, const struct cost *cost,
                                        int threads, struct error *err);
/* Measures every product that many times more. */
MUST_USE enum status bench_rates_run(struct bench_rates *rates, int repetitions, struct error *err);
/* Ends the process; NULL is fine. */
void bench_rates_destroy(struct bench_rates *rates);

/* The best time of one call of the product with that index so far. */
double bench_rates_seconds(const struct bench_rates *rates, int64_t index);
int64_t bench_rates_repetitions(const struct bench_rates *rates);
/* Processor time that it has used. */
double bench_rates_cpu_s(const struct bench_rates *rates);
