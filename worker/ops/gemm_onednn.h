/*
 * gemm_onednn — single-threaded matrix products by oneDNN, and all that we know of oneDNN.
 *
 * A gemm_kernel is oneDNN's matmul primitive for one shape, made for one thread: its bits depend on
 * the shape alone (with several threads oneDNN may split k). It has a set of argument objects and
 * scratch memory per thread, so that every thread of a parallel region may run it at once.
 *
 * Where oneDNN has no fast bf16 (before AVX512-BF16), a kernel of bf16 operands widens them and
 * multiplies in fp32: the products are the same, their sums are in fp32 either way.
 *
 * Ownership: engines own scratch memory and outlive their kernels.
 * Threads:   create and destroy from one thread, outside parallel regions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "worker/ops/cpu_level.h"
#include "worker/ops/gemm.h"

struct gemm_engine;
struct gemm_kernel;

/* The level that oneDNN itself keeps to here: the processor's, limited by DNNL_MAX_CPU_ISA. */
enum cpu_level gemm_engine_level(void);

/* Whether the processor multiplies bf16 (AVX512-BF16, AMX), as far as DNNL_MAX_CPU_ISA lets it. */
bool gemm_engine_has_bf16(void);

MUST_USE enum status gemm_engine_create(struct gemm_engine **out, int threads, struct error *err);
void gemm_engine_destroy(struct gemm_engine *engine);

/* Name, version and instruction set of the library: "oneDNN 2.6.3 avx512_core_bf16". Lives as long
 * as the engine. */
const char *gemm_engine_library(const struct gemm_engine *engine);

/* Scratch memory of all threads, which grows as kernels are made. */
size_t gemm_engine_scratch_bytes(const struct gemm_engine *engine);

/* shape has its leading dimensions written out. */
MUST_USE enum status gemm_kernel_create(struct gemm_kernel **out, struct gemm_engine *engine,
                                        const struct gemm_shape *shape, struct error *err);
void gemm_kernel_destroy(struct gemm_kernel *kernel);

/* Runs the kernel as thread 0 … threads-1 of a parallel region (of one thread, too); false when
 * oneDNN failed. */
MUST_USE bool gemm_kernel_run(struct gemm_kernel *kernel, int thread, void *c, const void *a,
                              const void *b);
