/*
 * cpu — what the CPU kernels share: the state behind a struct backend, and how work is cut.
 *
 * Every parallel loop runs over blocks whose size depends on shapes alone; which thread takes which
 * block is left to OpenMP. What a block sums it keeps apart, and the parts are added in order of
 * blocks: the number of threads never changes a bit.
 */
#pragma once

#include <stdbool.h>
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
    bool is_planning; /* operations prepare kernels and scratch, and do not compute */
};

static inline struct backend_cpu *backend_cpu(struct backend *backend)
{
    return (struct backend_cpu *)backend;
}

static inline bool cpu_is_planning(struct backend *backend)
{
    return backend_cpu(backend)->is_planning;
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
void cpu_gemm(struct backend *backend, void *c, const void *a, const void *b,
              const struct gemm_shape *shape);

/* The rest of every level's table. */
void cpu_destroy(struct backend *backend);
enum status cpu_finish(struct backend *backend, struct error *err);
enum status cpu_allocate(struct backend *backend, void **out, size_t size, struct error *err);
void cpu_plan(struct backend *backend, bool is_planning);
size_t cpu_scratch_bytes(const struct backend *backend);
void cpu_release(struct backend *backend, void *memory, size_t size);

/* The tables and kernels of each level. */
#define CPU_LEVEL_TABLE(constant, name) extern const struct backend_table cpu_table_##name;
CPU_LEVEL_LIST(CPU_LEVEL_TABLE)
#undef CPU_LEVEL_TABLE

#ifdef CPU_LEVEL
# define X(operation) operation##_fn AT_LEVEL(operation##_cpu);
BACKEND_KERNELS(X)
# undef X

/*
 * Rows of operands as fp32, for operations that are bound by memory and would gain nothing from
 * loops of their own per type: in fp32 the rows themselves, else copies in scratch, one of the row
 * read and one of the row written per thread. And `extra` floats per thread, whatever the type.
 */
struct cpu_rows {
    float *scratch;
    int64_t in, out; /* elements of a row */
    int64_t width;   /* floats of a thread's scratch */
    enum dtype type;
    bool ok; /* false after a failure, which sticks to the backend */
};

static inline struct cpu_rows cpu_rows(struct backend *backend, int64_t in, int64_t out,
                                       int64_t extra, enum dtype type)
{
    struct cpu_rows rows = {.in = in,
                            .out = out,
                            .width = extra + (type == DTYPE_BF16 ? in + out : 0),
                            .type = type,
                            .ok = true};
    if (rows.width > 0) {
        rows.scratch = cpu_scratch(backend, backend->threads * rows.width, sizeof *rows.scratch);
        rows.ok = rows.scratch != NULL;
    }
    return rows;
}

/* Behind the rows, where there are any. */
static inline float *cpu_row_extra(const struct cpu_rows *rows, int thread)
{
    return rows->scratch + thread * rows->width +
           (rows->type == DTYPE_BF16 ? rows->in + rows->out : 0);
}

/* Row n of rows that are stride elements apart. The one after it is fetched meanwhile: rows that
 * are part of wider ones are too far from each other for processors to see them coming. */
static inline const float *cpu_row_in(const struct cpu_rows *rows, int thread, const void *x,
                                      int64_t n, int64_t stride)
{
    enum { LINE_ELEMENTS = 32 };
    if (rows->type == DTYPE_FP32) {
        return (const float *)x + n * stride;
    }
    const uint16_t *narrow = (const uint16_t *)x + n * stride;
    const uintptr_t next = (uintptr_t)narrow + (uintptr_t)stride * sizeof *narrow;
    float *wide = rows->scratch + thread * rows->width;
    for (int64_t i = 0; i < rows->in; i += LINE_ELEMENTS) {
        __builtin_prefetch((const void *)(next + (uintptr_t)i * sizeof *narrow));
    }
# pragma omp simd
    for (int64_t i = 0; i < rows->in; i++) {
        wide[i] = bf16_widen(narrow[i]);
    }
    return wide;
}

static inline float *cpu_row_out(const struct cpu_rows *rows, int thread, void *x, int64_t first)
{
    return rows->type == DTYPE_FP32 ? (float *)x + first
                                    : rows->scratch + thread * rows->width + rows->in;
}

/* Ends the row that cpu_row_out began. */
static inline void cpu_row_store(const struct cpu_rows *rows, void *x, int64_t first,
                                 const float *row)
{
    if (rows->type == DTYPE_BF16) {
        uint16_t *narrow = (uint16_t *)x + first;
# pragma omp simd
        for (int64_t i = 0; i < rows->out; i++) {
            narrow[i] = bf16_round(row[i]);
        }
    }
}
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
