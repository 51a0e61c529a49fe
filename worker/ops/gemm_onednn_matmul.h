/*
 * gemm_onednn_matmul — the part of oneDNN's C API that changed between its major versions: CMake
 * picks gemm_onednn2.c or gemm_onednn3.c.
 */
#pragma once

#include <oneapi/dnnl/dnnl.h>

#include "worker/ops/gemm.h"

/* The size and strides that oneDNN calls op(x), [rows, columns], stored with leading dimension ld.
 */
struct gemm_onednn_matrix {
    dnnl_dims_t dims, strides;
};

static inline struct gemm_onednn_matrix gemm_onednn_matrix(int64_t rows, int64_t columns,
                                                           int64_t ld, bool transpose)
{
    struct gemm_onednn_matrix matrix = {
        .dims = {rows, columns},
        .strides = {transpose ? 1 : ld, transpose ? ld : 1},
    };
    /* The stride of a single row or column is never used; but a 1 there makes oneDNN 3.7 take the
     * other side for dense, and read wrong elements. */
    if (transpose && rows == 1) {
        matrix.strides[0] = columns * ld;
    }
    if (!transpose && columns == 1) {
        matrix.strides[1] = rows * ld;
    }
    return matrix;
}

static inline dnnl_data_type_t gemm_onednn_type(enum dtype type)
{
    return type == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* Describes c = op(a) op(b), or c += with accumulate; the caller owns *out. */
dnnl_status_t gemm_onednn_describe(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                   const struct gemm_shape *shape);
