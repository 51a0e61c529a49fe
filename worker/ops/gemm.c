#include "worker/ops/gemm.h"

#include <assert.h>

static int64_t leading_dimension(int64_t given, int64_t columns)
{
    assert(given == 0 || given >= columns);
    return given == 0 ? columns : given;
}

struct gemm_shape gemm_shape_dense(const struct gemm_shape *shape)
{
    assert(shape->m >= 1 && shape->n >= 1 && shape->k >= 1);
    assert(shape->result == DTYPE_FP32 || (shape->operands == DTYPE_BF16 && !shape->accumulate));
    struct gemm_shape dense = *shape;
    dense.lda = leading_dimension(shape->lda, shape->transpose_a ? shape->m : shape->k);
    dense.ldb = leading_dimension(shape->ldb, shape->transpose_b ? shape->k : shape->n);
    dense.ldc = leading_dimension(shape->ldc, shape->n);
    return dense;
}
