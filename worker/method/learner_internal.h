/*
 * learner_internal — what the files of the learner share. Not for other modules.
 */
#pragma once

#include "worker/method/learner.h"

/* Partial sums that are kept at a time while 4 lanes are added by pairs. */
#define LEARNER_LANE_SUMS_MAX 2

struct learner {
    struct learner_options options;
    struct backend *backend; /* borrowed */
    struct param_table table;
    struct memory_plan memory;
    struct model *model; /* NULL for LEARNER_PURPOSE_STATE */
    struct method *method;
    struct adamw adamw;
    float *lane_sum[LEARNER_LANE_SUMS_MAX]; /* [grad_floats] of 1 lane, of 2: learner_lanes.c */
    bool is_stochastic;                     /* the rounding of effective weights */
};
