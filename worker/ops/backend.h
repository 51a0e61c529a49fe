/*
 * backend — where the arithmetic of training runs: one table of operations, the same for every
 * device, and the state that they share (threads, prepared matrix products, scratch memory).
 *
 *     backend->op->rmsnorm_forward(backend, y, rstd, x, gain, N, C, eps);
 *
 * Each operation is a header of its own, which gives its equation, shapes and source, and a
 * function type `<operation>_fn` that every backend's function has. All tensors are row-major and
 * belong to the caller. They are fp32, but for operands, which have the type that is handed along
 * (dtype.h).
 *
 * Invariants: operations cannot fail one by one. The first failure (memory for scratch, a device
 *             lost) sticks, later operations may leave their outputs as they are, and
 *             backend_finish tells; ask once per step, before results are used.
 *             Sums run in an order that depends on shapes alone, so the number of threads never
 *             changes a bit. Results may differ between instruction sets and between backends.
 * Ownership:  the caller owns the backend; it keeps no pointer to a tensor beyond a call.
 * Threads:    one thread at a time per backend. A backend runs its own threads inside a call.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "worker/ops/adamw.h"
#include "worker/ops/attention.h"
#include "worker/ops/chunks.h"
#include "worker/ops/elementwise.h"
#include "worker/ops/embedding.h"
#include "worker/ops/gemm.h"
#include "worker/ops/head.h"
#include "worker/ops/moments.h"
#include "worker/ops/normal.h"
#include "worker/ops/rmsnorm.h"
#include "worker/ops/rope.h"
#include "worker/ops/rows.h"
#include "worker/ops/sharing.h"
#include "worker/ops/swiglu.h"
#include "worker/ops/truncation.h"

/* What we write ourselves; on CPUs compiled once per instruction-set level. */
#define BACKEND_KERNELS(X) \
 X(embedding_forward)      \
 X(embedding_backward)     \
 X(rmsnorm_forward)        \
 X(rmsnorm_backward)       \
 X(rope_forward)           \
 X(rope_backward)          \
 X(attention_forward)      \
 X(attention_backward)     \
 X(swiglu_forward)         \
 X(swiglu_backward)        \
 X(head_loss)              \
 X(head_loss_backward)     \
 X(add)                    \
 X(scale)                  \
 X(zero)                   \
 X(copy)                   \
 X(round_bf16)             \
 X(fill_normal)            \
 X(sum_squares)            \
 X(count_nonzero)          \
 X(scale_rows)             \
 X(add_scaled_rows)        \
 X(row_norms)              \
 X(normalise_rows)         \
 X(dot_columns)            \
 X(sharing_comp)           \
 X(sharing_decomp_t)       \
 X(sharing_weight)         \
 X(truncation_weight)      \
 X(chunks_comp)            \
 X(chunks_decomp_t)        \
 X(chunks_weight)          \
 X(moments_keep_random)    \
 X(moments_keep_largest)   \
 X(adamw_update)

/* Every operation. */
#define BACKEND_OPS(X) \
 X(gemm)               \
 BACKEND_KERNELS(X)

struct backend_table {
#define X(operation) operation##_fn *operation;
    BACKEND_OPS(X)
#undef X
    /* Behind the functions below. */
    void (*destroy)(struct backend *backend);
    enum status (*finish)(struct backend *backend, struct error *err);
    enum status (*allocate)(struct backend *backend, void **out, size_t size, struct error *err);
    void (*release)(struct backend *backend, void *memory, size_t size);
    void (*plan)(struct backend *backend, bool is_planning);
    size_t (*scratch_bytes)(const struct backend *backend);
};

struct backend {
    const struct backend_table *op;
    const char *name;         /* "cpu" */
    const char *isa;          /* level of our own kernels: "baseline", "avx2", "avx512" */
    const char *gemm_library; /* name, version and level, as recorded with a run */
    bool has_bf16;            /* products of bf16 are faster than those of fp32 */
    int threads;
    struct profile *profile; /* who times the operations; NULL: nobody */
    struct error failure;    /* the first one; STATUS_OK before it */
};

/*
 * A CPU backend with that many OpenMP threads (1 … THREADS_PER_RANK_MAX), at the instruction-set
 * level of cpu_level_detect: what the processor has, limited by DNNL_MAX_CPU_ISA.
 */
MUST_USE enum status backend_cpu_create(struct backend **out, int threads, struct error *err);

/*
 * While a backend plans, its operations compute nothing and touch no tensor; they make the kernels
 * and reserve the scratch memory that the same calls will need later, which then allocate nothing.
 */
void backend_plan(struct backend *backend, bool is_planning);
/* Scratch memory that is reserved so far. */
size_t backend_scratch_bytes(const struct backend *backend);

/* NULL is fine. */
void backend_destroy(struct backend *backend);

/* Waits for all that was asked and tells the first failure since the backend was made. */
MUST_USE enum status backend_finish(struct backend *backend, struct error *err);

/*
 * Memory for tensors: zeroed, aligned to 64 bytes, in huge pages where it is large (first touch in
 * small pages costs seconds per GiB on virtual machines). Release takes the size that was asked
 * for.
 */
MUST_USE enum status backend_allocate(struct backend *backend, void **out, size_t size,
                                      struct error *err);
void backend_release(struct backend *backend, void *memory, size_t size);
