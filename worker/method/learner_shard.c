#include <assert.h>
#include <string.h>

#include "worker/method/learner_internal.h"

void learner_stage_update(struct learner *learner)
{
    const struct param_table *table = &learner->table;

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (param->trainable && param->moment_count > 0) {
            memcpy(param->grad + param->moment_first, param->value + param->moment_first,
                   (size_t)param->moment_count * sizeof(float));
        }
    }
}

void learner_take_update(struct learner *learner)
{
    const struct param_table *table = &learner->table;

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (param->trainable) {
            memcpy(param->value, param->grad, (size_t)param->elements * sizeof(float));
        }
    }
}
