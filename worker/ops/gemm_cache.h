/*
 * gemm_cache — matrix products on several threads with bits that do not depend on how many.
 *
 * A product is cut into tiles of its output by its shape alone, never along k, and into an even
 * number of them where it can be cut at all (two threads then finish together). Each tile is one
 * single-threaded kernel; kernels are made at their first use and kept.
 *
 * Threads: one thread calls; gemm_cache_run makes a parallel region of its own.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"
#include "worker/ops/gemm.h"
#include "worker/ops/gemm_onednn.h"

struct gemm_cache;

MUST_USE enum status gemm_cache_create(struct gemm_cache **out, int threads, struct error *err);
void gemm_cache_destroy(struct gemm_cache *cache);

const char *gemm_cache_library(const struct gemm_cache *cache);

/* Scratch memory of all kernels so far. */
size_t gemm_cache_scratch_bytes(const struct gemm_cache *cache);

/* Makes the kernels of a product without running it. */
MUST_USE enum status gemm_cache_prepare(struct gemm_cache *cache, const struct gemm_shape *shape,
                                        struct error *err);

/* The kernel of this shape, for callers that bring their own parallel region. Lives as long as the
 * cache. */
MUST_USE enum status gemm_cache_kernel(struct gemm_kernel **out, struct gemm_cache *cache,
                                       const struct gemm_shape *shape, struct error *err);

MUST_USE enum status gemm_cache_run(struct gemm_cache *cache, void *c, const void *a, const void *b,
                                    const struct gemm_shape *shape, struct error *err);

/* How a product is cut: into count_m x count_n tiles. */
struct gemm_cut {
    int64_t count_m, count_n;
};

struct gemm_tile {
    int64_t row, column;   /* of the product, where the tile starts */
    int64_t rows, columns; /* at least one each */
};

struct gemm_cut gemm_cut(const struct gemm_shape *shape);

/* index counts along rows first, below count_m * count_n. */
struct gemm_tile gemm_cut_tile(const struct gemm_cut *cut, const struct gemm_shape *shape,
                               int64_t index);
