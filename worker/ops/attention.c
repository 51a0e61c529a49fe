#include "worker/ops/attention.h"

#include <assert.h>

static int64_t stride(int64_t given, int64_t columns)
{
    assert(given == 0 || given >= columns);
    return given == 0 ? columns : given;
}

struct attention_shape attention_shape_dense(const struct attention_shape *shape)
{
    assert(shape->B >= 1 && shape->T >= 1 && shape->D >= 1);
    assert(shape->KV >= 1 && shape->H % shape->KV == 0);
    struct attention_shape dense = *shape;
    dense.q_stride = stride(shape->q_stride, shape->H * shape->D);
    dense.k_stride = stride(shape->k_stride, shape->KV * shape->D);
    dense.v_stride = stride(shape->v_stride, shape->KV * shape->D);
    dense.o_stride = stride(shape->o_stride, shape->H * shape->D);
    return dense;
}
