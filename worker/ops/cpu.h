/*
 * cpu — what the CPU kernels share: the state behind a struct backend, and how work is cut.
 *
 * Every parallel loop runs over blocks whose size depends on shapes alone; which thread takes which
 * block is left to OpenMP. What a block sums it keeps apart, and the parts are added in order of
 * blocks: the number of threads never changes a bit.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "worker/ops/backend.h"
#include "worker/ops/cpu_level.h"
#include "worker/ops/gemm_cache.h"
#include "worker/ops/memory.h"

struct backend_cpu {
    struct backend base; /* first: a struct backend of ours is one of these */
    struct gemm_cache *gemm;
    struct memory scratch; /* of the operation that runs */
    enum cpu_level level;
};

static inline struct backend_cpu *backend_cpu(struct backend *backend)
{
    return (struct backend_cpu *)backend;
}

/* A backend of a given level, which is supported; for tests that walk the levels. */
MUST_USE enum status backend_cpu_create_at(struct backend **out, int threads, enum cpu_level level,
                                           struct error *err);

/* count × size bytes until the next call, aligned to 64 bytes, contents undefined; NULL after a
 * failure, which sticks to the backend. */
MUST_USE void *cpu_scratch(struct backend *backend, int64_t count, size_t size);

/* Keeps the first failure. */
void cpu_fail(struct backend *backend, const struct error *err);

/* Matrix product as part of another operation. */
void cpu_gemm(struct backend *backend, float *c, const float *a, const float *b,
              const struct gemm_shape *shape);

/* The rest of every level's table. */
void cpu_destroy(struct backend *backend);
enum status cpu_finish(struct backend *backend, struct error *err);
enum status cpu_allocate(struct backend *backend, void **out, size_t size, struct error *err);
void cpu_release(struct backend *backend, void *memory, size_t size);

/* The tables and kernels of each level. */
#define CPU_LEVEL_TABLE(constant, name) extern const struct backend_table cpu_table_##name;
CPU_LEVEL_LIST(CPU_LEVEL_TABLE)
#undef CPU_LEVEL_TABLE

#ifdef CPU_LEVEL
# define X(operation) operation##_fn AT_LEVEL(operation##_cpu);
BACKEND_KERNELS(X)
# undef X
#endif

/* How many threads to wake for that many elements: starting one takes as long as some 10^4 of
 * them. */
static inline int cpu_threads(const struct backend *backend, int64_t elements)
{
    return elements < 32768 ? 1 : backend->threads;
}

static inline int64_t cpu_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t cpu_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
