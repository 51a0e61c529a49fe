#include "worker/ops/cpu_level.h"

#include "worker/ops/gemm_onednn.h"

const char *cpu_level_name(enum cpu_level level)
{
    static const char *const names[] = {
#define X(constant, name) [CPU_LEVEL_##constant] = #name,
        CPU_LEVEL_LIST(X)
#undef X
    };
    return names[level];
}

bool cpu_level_supported(enum cpu_level level)
{
    /* Asks cpuid, and XGETBV for whether the operating system saves the wide registers. */
    __builtin_cpu_init();
    switch (level) {
    case CPU_LEVEL_BASELINE:
        return true;
    case CPU_LEVEL_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CPU_LEVEL_AVX512:
        return cpu_level_supported(CPU_LEVEL_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    return false;
}

enum cpu_level cpu_level_detect(void)
{
    enum cpu_level level = gemm_engine_level();
    while (!cpu_level_supported(level)) {
        level--;
    }
    return level;
}
