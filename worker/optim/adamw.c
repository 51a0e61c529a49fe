#include "worker/optim/adamw.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

const char *adamw_group_name(enum adamw_group group)
{
    switch (group) {
    case ADAMW_GROUP_MODEL:
        return "model";
    case ADAMW_GROUP_ADAPTER:
        return "adapter";
    case ADAMW_GROUP_COUNT:
        break;
    }
    assert(false && "not a group of the optimizer");
    return NULL;
}

static enum adamw_group group_of(const struct param *param)
{
    return param->role == PARAM_ROLE_ADAPTER || param->role == PARAM_ROLE_MAGNITUDE
               ? ADAMW_GROUP_ADAPTER
               : ADAMW_GROUP_MODEL;
}

/* Gains and lengths say how large something is: to shrink them is no regularisation. */
static bool decays(const struct param *param)
{
    return param->role != PARAM_ROLE_NORM && param->role != PARAM_ROLE_MAGNITUDE;
}

double grad_norm(const struct param_table *table, struct backend *backend)
{
    double sum = 0.0;

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (param->trainable) {
            double sum_squares = 0.0;
            backend->op->sum_squares(backend, &sum_squares, param->grad, param->elements);
            sum += sum_squares;
        }
    }
    return sqrt(sum);
}

double clip_factor(double norm, double clip_norm)
{
    if (clip_norm == 0.0) {
        return 1.0;
    }
    const double factor = clip_norm / (norm + 1e-6);
    return factor > 1.0 ? 1.0 : factor;
}

void adamw_step(struct adamw *adamw, const struct param_table *table, struct backend *backend,
                double lr, double factor)
{
    for (int group = 0; group < ADAMW_GROUP_COUNT; group++) {
        adamw->steps[group]++;
    }
    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (!param->trainable || param->moment_count == 0) {
            continue;
        }
        const struct adamw_update update = {
            .lr = lr * param->lr_ratio,
            .beta1 = adamw->options.beta1,
            .beta2 = adamw->options.beta2,
            .eps = adamw->options.eps,
            .weight_decay = decays(param) ? adamw->options.weight_decay : 0.0,
            .grad_scale = factor,
            .step = adamw->steps[group_of(param)],
        };
        backend->op->adamw_update(backend, param->value + param->moment_first, param->exp_avg,
                                  param->exp_avg_sq, param->grad + param->moment_first,
                                  param->moment_count, &update);
    }
}
