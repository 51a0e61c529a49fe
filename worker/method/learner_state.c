#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"
#include "worker/method/learner_internal.h"
#include "worker/model/param_shard.h"

static int64_t trainable_count(const struct param_table *table)
{
    int64_t count = 0;

    for (int64_t i = 0; i < table->count; i++) {
        count += table->params[i].trainable ? 1 : 0;
    }
    return count;
}

/* The n-th trainable tensor of the table. */
static const struct param *trainable_at(const struct param_table *table, int64_t n)
{
    for (int64_t i = 0; i < table->count; i++) {
        if (table->params[i].trainable && n-- == 0) {
            return &table->params[i];
        }
    }
    assert(false && "a state tensor beyond the last");
    return NULL;
}

int64_t learner_tensor_count(const struct learner *learner)
{
    return learner->table.count + 2 * trainable_count(&learner->table);
}

static struct learner_tensor describe(const struct param *param, const char *suffix, float *data,
                                      int64_t first, int64_t count)
{
    struct learner_tensor tensor = {.dimensions = param->dimensions,
                                    .shape = {param->shape[0], param->shape[1]},
                                    .elements = param->elements,
                                    .data = data,
                                    .first = first,
                                    .count = count};
    (void)snprintf(tensor.name, sizeof tensor.name, "%s%s", param->name, suffix);
    return tensor;
}

struct learner_tensor learner_tensor(const struct learner *learner, int64_t index)
{
    const struct param_table *table = &learner->table;

    assert(index >= 0 && index < learner_tensor_count(learner));
    if (index < table->count) {
        const struct param *param = &table->params[index];
        return describe(param, "", param->value, 0, param->elements);
    }
    const int64_t moment = index - table->count;
    const struct param *param = trainable_at(table, moment / 2);
    const bool is_first = moment % 2 == 0;
    return describe(param, is_first ? ".exp_avg" : ".exp_avg_sq",
                    is_first ? param->exp_avg : param->exp_avg_sq, param->moment_first,
                    param->moment_count);
}

void learner_tensor_slice(const struct learner *learner, int64_t index, int rank, int64_t *first,
                          int64_t *count)
{
    const struct param_table *table = &learner->table;

    assert(index >= 0 && index < learner_tensor_count(learner));
    if (index < table->count) {
        *first = 0;
        *count = table->params[index].elements;
        return;
    }
    const struct param *param = trainable_at(table, (index - table->count) / 2);
    param_shard_slice(table, param - table->params, rank, first, count);
}

json_t *learner_state(const struct learner *learner)
{
    json_t *steps = json_object();

    for (enum adamw_group group = 0; group < ADAMW_GROUP_COUNT; group++) {
        (void)json_object_set_new(steps, adamw_group_name(group),
                                  json_integer((json_int_t)learner->adamw.steps[group]));
    }
    return json_pack("{s:o, s:o, s:s}", "adam_steps", steps, "method",
                     method_state(learner->method), "rounding",
                     learner->is_stochastic ? "stochastic" : "nearest");
}

enum status learner_set_state(struct learner *learner, const json_t *state, struct error *err)
{
    const json_t *steps = json_object_get(state, "adam_steps");
    struct adamw adamw = learner->adamw;

    for (enum adamw_group group = 0; group < ADAMW_GROUP_COUNT; group++) {
        adamw.steps[group] = json_get_int(steps, adamw_group_name(group), -1);
        if (adamw.steps[group] < 0) {
            return error_set(err, STATUS_CORRUPT, "the state has no adam_steps.%s",
                             adamw_group_name(group));
        }
    }
    enum status status = method_set_state(learner->method, json_object_get(state, "method"), err);
    if (!status) {
        learner->adamw = adamw;
        learner->is_stochastic = strcmp(json_get_text(state, "rounding", ""), "stochastic") == 0;
    }
    return status;
}

void learner_merged_tensor(const struct learner *learner, int64_t index, float *out)
{
    assert(index >= 0 && index < learner->table.model_count);
    const struct param *param = &learner->table.params[index];

    if (param->role == PARAM_ROLE_LINEAR) {
        method_merged_weight(learner->method, param->layer, (enum linear)param->linear, out);
    } else {
        memcpy(out, param->value, (size_t)param->elements * sizeof(float));
    }
}
