#include <assert.h>
#include <string.h>

#include "worker/method/learner_internal.h"

/* Partial sums that are added to the lane's own gradients: as many as lane has trailing ones. */
static int64_t sums_to_join(int64_t lane)
{
    int64_t level = 0;

    while ((lane >> level) % 2 == 1) {
        level++;
    }
    return level;
}

void learner_join_lane(struct learner *learner, int64_t lane, int64_t first, int64_t count)
{
    float *grads = learner->table.grads + first;

    assert(0 <= lane && lane < learner->options.lanes);
    assert(0 <= first && first + count <= learner->table.grad_floats);
    for (int64_t level = 0; level < sums_to_join(lane); level++) {
        learner->backend->op->add(learner->backend, grads, learner->lane_sum[level] + first, grads,
                                  count);
    }
}

void learner_end_lane(struct learner *learner, int64_t lane)
{
    const int64_t level = sums_to_join(lane);
    const int64_t count = param_table_grad_floats(&learner->table);

    assert(lane + 1 < learner->options.lanes);
    learner_join_lane(learner, lane, 0, count);
    memcpy(learner->lane_sum[level], learner->table.grads, (size_t)count * sizeof(float));
    learner_zero_grads(learner);
}
