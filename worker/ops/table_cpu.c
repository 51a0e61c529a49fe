#include "worker/ops/cpu.h"

const struct backend_table AT_LEVEL(cpu_table) = {
    .gemm = cpu_gemm,
#define X(operation) .operation = AT_LEVEL(operation##_cpu),
    BACKEND_KERNELS(X)
#undef X
        .destroy = cpu_destroy,
    .finish = cpu_finish,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .plan = cpu_plan,
    .scratch_bytes = cpu_scratch_bytes,
};
