#include "worker/model/param_shard.h"

#include <assert.h>

#define ALIGNMENT_FLOATS (MEMORY_ALIGNMENT / (int64_t)sizeof(float))

/* Where the gradients of the method's tensors begin. */
static int64_t method_start(const struct param_table *table)
{
    for (int64_t i = table->model_count; i < table->count; i++) {
        if (table->params[i].trainable) {
            return table->params[i].grad_offset;
        }
    }
    return table->grad_floats;
}

static int64_t model_boundary(const struct param_table *table, int rank)
{
    const int64_t end = method_start(table);

    if (rank == table->shard_world) {
        return end;
    }
    return end * rank / table->shard_world / ALIGNMENT_FLOATS * ALIGNMENT_FLOATS;
}

/* Whole tensors, in the table's order: that of rank is where the tensor's middle falls. */
static int owner_of_method_tensor(const struct param_table *table, int64_t index)
{
    const int64_t start = method_start(table);
    const struct param *param = &table->params[index];
    const int64_t middle = param->grad_offset - start + param->elements / 2;

    return (int)(middle * table->shard_world / (table->grad_floats - start));
}

static void method_range(const struct param_table *table, int rank, int64_t *first, int64_t *count)
{
    *first = table->grad_floats;
    *count = 0;
    for (int64_t i = table->model_count; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (!param->trainable || owner_of_method_tensor(table, i) != rank) {
            continue;
        }
        *first = param->grad_offset < *first ? param->grad_offset : *first;
        *count = param->grad_offset + param->elements - *first;
    }
}

void param_shard_range(const struct param_table *table, int rank, enum param_shard_part part,
                       int64_t *first, int64_t *count)
{
    assert(0 <= rank && rank < table->shard_world);
    if (part == PARAM_SHARD_METHOD) {
        method_range(table, rank, first, count);
        return;
    }
    *first = model_boundary(table, rank);
    *count = model_boundary(table, rank + 1) - *first;
}

void param_shard_slice(const struct param_table *table, int64_t index, int rank, int64_t *first,
                       int64_t *count)
{
    const struct param *param = &table->params[index];

    assert(param->trainable);
    if (index >= table->model_count) {
        *first = 0;
        *count = owner_of_method_tensor(table, index) == rank ? param->elements : 0;
        return;
    }
    const int64_t start = model_boundary(table, rank) - param->grad_offset;
    const int64_t end = model_boundary(table, rank + 1) - param->grad_offset;

    *first = start < 0 ? 0 : start < param->elements ? start : param->elements;
    *count = (end < 0 ? 0 : end < param->elements ? end : param->elements) - *first;
    *first = *count > 0 ? *first : 0;
}
