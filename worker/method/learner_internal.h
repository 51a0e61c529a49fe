/*
 * learner_internal — what the files of the learner share. Not for other modules.
 */
#pragma once

#include "worker/method/learner.h"

struct learner {
    struct learner_options options;
    struct backend *backend; /* borrowed */
    struct param_table table;
    struct memory_plan memory;
    struct model *model; /* NULL for LEARNER_PURPOSE_STATE */
    struct method *method;
    struct adamw adamw;
    bool is_stochastic; /* the rounding of effective weights */
};
