/*
 * gemm — product of two matrices.
 *
 *     c[m,n] = op(a)[m,k] op(b)[k,n]          or with accumulate        c += op(a) op(b)
 *
 * op(x) is x, or its transpose: with transpose_a, a is stored as [k,m]; with transpose_b, b is
 * stored as [n,k]. A leading dimension is the distance of two stored rows in elements; 0 means
 * dense. So a linear layer with weight w[d,k] (output row first) is
 *
 *     y[N,d]  = x w^T    {.m = N, .n = d, .k = k, .transpose_b = true}
 *     dx[N,k] = dy w     {.m = N, .n = k, .k = d}
 *     dw[d,k] += dy^T x  {.m = d, .n = k, .k = N, .transpose_a = true, .accumulate = true}
 *
 * m, n, k >= 1. c overlaps neither input. Outside its n columns, rows of c are left alone.
 *
 * a and b have one element type, c another: products of bf16 operands are summed in fp32 and
 * rounded once, where c is bf16. Only c in fp32 accumulates. Processors without bf16 instructions
 * multiply the same operands in fp32.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

struct gemm_shape {
    int64_t m, n, k;
    int64_t lda, ldb, ldc;
    bool transpose_a, transpose_b;
    bool accumulate;
    enum dtype operands; /* of a and b */
    enum dtype result;   /* of c; bf16 only with bf16 operands */
};

typedef void gemm_fn(struct backend *backend, void *c, const void *a, const void *b,
                     const struct gemm_shape *shape);

/* The same shape with the leading dimensions written out; asserts that they are large enough. */
struct gemm_shape gemm_shape_dense(const struct gemm_shape *shape);

void gemm_ref(double *c, const double *a, const double *b, const struct gemm_shape *shape);
