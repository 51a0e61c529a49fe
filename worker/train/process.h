/*
 * process — what a training process does to itself: environment, cores, signals.
 *
 * Threads: the main one, before any other exists (process_stop_requested: any).
 */
#pragma once

#include <stdbool.h>

#include "proto/base/error.h"

/* OpenMP's spinning and malloc's thresholds are read when a process is loaded. Where the
 * environment leaves them open, sets what training needs and executes this program once more, with
 * the same arguments; returns where all is set or exec fails. Before MPI_Init. */
void process_tune(void);

/* Cores of all ranks on this host, "0,1,4-7", threads of them per rank: binds this process to those
 * of local_rank. Too few or no such core is STATUS_INVALID. */
MUST_USE enum status process_bind(const char *cpus, int local_rank, int threads, struct error *err);

/* From now on SIGUSR1 asks for a checkpoint and a clean stop. SIGTERM keeps ending us at once. */
void process_watch_signals(void);
bool process_stop_requested(void);
