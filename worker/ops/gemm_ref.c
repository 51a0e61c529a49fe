#include "worker/ops/gemm.h"

void gemm_ref(double *c, const double *a, const double *b, const struct gemm_shape *given)
{
    const struct gemm_shape s = gemm_shape_dense(given);
    for (int64_t i = 0; i < s.m; i++) {
        for (int64_t j = 0; j < s.n; j++) {
            double sum = 0.0;
            for (int64_t l = 0; l < s.k; l++) {
                double a_il = s.transpose_a ? a[l * s.lda + i] : a[i * s.lda + l];
                double b_lj = s.transpose_b ? b[j * s.ldb + l] : b[l * s.ldb + j];
                sum += a_il * b_lj;
            }
            c[i * s.ldc + j] = sum + (s.accumulate ? c[i * s.ldc + j] : 0.0);
        }
    }
}
