/*
 * run — one attempt at a run, from the spec to the end: what `remora-worker train` does.
 *
 * Before the first step all ranks agree, phase by phase, that the spec, the data, the memory and
 * the checkpoint are good; a failure on any rank ends all of them with its one error, and nothing
 * has been trained.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/train/trainer.h"

struct run_options {
    const char *spec_path;
    const char *const *overrides; /* "key.path=value" */
    size_t override_count;
    const char *folder;      /* NULL: runs/<name of the spec> */
    int attempt;             /* from 1 */
    int64_t job;             /* 0: none */
    const char *socket_path; /* the daemon's; NULL: none */
    const char *token_path;  /* with socket_path */
    const char *cpus;        /* NULL: the cores that we were given */
    const char *cache;       /* of prepared data; NULL: the user's */
};

struct run_result {
    enum run_outcome outcome;
    /* Of a failure: */
    bool together; /* all ranks return it; else this one has to take them down */
    int speaker;   /* the rank to tell people, where together */
};

/* Collective. */
MUST_USE enum status run_train(struct dist *dist, const struct run_options *options,
                               struct run_result *result, struct error *err);
