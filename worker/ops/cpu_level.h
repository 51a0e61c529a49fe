/*
 * cpu_level — the instruction sets that our own kernels are compiled for.
 *
 * Each _cpu.c is compiled once per level, with CPU_LEVEL set to its name and its functions named
 * AT_LEVEL(name) = name_<level>. A level's code runs only where cpu_level_supported says so.
 */
#pragma once

#include <stdbool.h>

/* X(constant, name): lowest first. */
#define CPU_LEVEL_LIST(X)                 \
 X(BASELINE, baseline) /* x86-64: SSE2 */ \
 X(AVX2, avx2)         /* AVX2 and FMA */ \
 X(AVX512, avx512)     /* AVX-512 F, BW, CD, DQ, VL */

enum cpu_level {
#define X(constant, name) CPU_LEVEL_##constant,
    CPU_LEVEL_LIST(X)
#undef X
};

#define CPU_LEVEL_JOIN_(name, level) name##_##level
#define CPU_LEVEL_JOIN(name, level)  CPU_LEVEL_JOIN_(name, level)
#define AT_LEVEL(name)               CPU_LEVEL_JOIN(name, CPU_LEVEL)

const char *cpu_level_name(enum cpu_level level);

/* Whether processor and operating system run this level's code. */
bool cpu_level_supported(enum cpu_level level);

/* The highest supported level, limited by what oneDNN may use (DNNL_MAX_CPU_ISA), so that tests
 * walk both by one variable. */
enum cpu_level cpu_level_detect(void);
