#include "worker/model/param_shard.h"

#include <assert.h>

#define ALIGNMENT_FLOATS (MEMORY_ALIGNMENT / (int64_t)sizeof(float))

/* Where the gradients of the method's tensors begin, which end at main_grad_floats. */
static int64_t method_start(const struct param_table *table)
{
    for (int64_t i = table->model_count; i < table->count; i++) {
        if (table->params[i].grad_offset >= 0) {
            return table->params[i].grad_offset;
        }
    }
    return table->main_grad_floats;
}

/* Where the range of rank begins in a part that lies at first … end - 1. */
static int64_t boundary(const struct param_table *table, int rank, int64_t first, int64_t end)
{
    if (rank == table->shard_world) {
        return end;
    }
    return first + (end - first) * rank / table->shard_world / ALIGNMENT_FLOATS * ALIGNMENT_FLOATS;
}

/* Where a part lies that is cut wherever a boundary falls. */
static void part_bounds(const struct param_table *table, enum param_shard_part part, int64_t *first,
                        int64_t *end)
{
    const bool is_full_rank = part == PARAM_SHARD_FULL_RANK;

    *first = is_full_rank ? table->main_grad_floats : 0;
    *end = is_full_rank ? table->grad_floats : method_start(table);
}

/* Whole tensors, in the table's order: that of rank is where the tensor's middle falls. */
static int owner_of_method_tensor(const struct param_table *table, int64_t index)
{
    const int64_t start = method_start(table);
    const struct param *param = &table->params[index];
    const int64_t middle = param->grad_offset - start + param->elements / 2;

    return (int)(middle * table->shard_world / (table->main_grad_floats - start));
}

static void method_range(const struct param_table *table, int rank, int64_t *first, int64_t *count)
{
    *first = table->main_grad_floats;
    *count = 0;
    for (int64_t i = table->model_count; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (param->grad_offset < 0 || owner_of_method_tensor(table, i) != rank) {
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
    int64_t start = 0;
    int64_t end = 0;

    part_bounds(table, part, &start, &end);
    *first = boundary(table, rank, start, end);
    *count = boundary(table, rank + 1, start, end) - *first;
}

void param_shard_slice(const struct param_table *table, int64_t index, int rank, int64_t *first,
                       int64_t *count)
{
    const struct param *param = &table->params[index];

    assert(param->grad_offset >= 0);
    if (index >= table->model_count) {
        *first = 0;
        *count = owner_of_method_tensor(table, index) == rank ? param->elements : 0;
        return;
    }
    int64_t start = 0;
    int64_t length = 0;
    param_shard_range(table, rank,
                      param->grad_offset < table->main_grad_floats ? PARAM_SHARD_MODEL
                                                                   : PARAM_SHARD_FULL_RANK,
                      &start, &length);
    start -= param->grad_offset;
    const int64_t end = start + length;

    *first = start < 0 ? 0 : start < param->elements ? start : param->elements;
    *count = (end < 0 ? 0 : end < param->elements ? end : param->elements) - *first;
    *first = *count > 0 ? *first : 0;
}
