#include "worker/ops/gemm_cache.h"

#include <assert.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/base/sys.h"

/* A run has some dozens of shapes, attention over long sequences a hundred more. */
#define BUCKETS 512

struct entry {
    struct gemm_shape shape;
    struct gemm_kernel *kernel;
    struct entry *next;
};

struct gemm_cache {
    struct gemm_engine *engine;
    int threads;
    struct entry *buckets[BUCKETS];
};

enum status gemm_cache_create(struct gemm_cache **out, int threads, struct error *err)
{
    struct gemm_cache *cache = sys_calloc(1, sizeof *cache);
    if (cache == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "gemm: no memory for the cache");
    }
    cache->threads = threads;
    enum status status = gemm_engine_create(&cache->engine, threads, err);
    if (status) {
        free(cache);
        return status;
    }
    *out = cache;
    return STATUS_OK;
}

void gemm_cache_destroy(struct gemm_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (int i = 0; i < BUCKETS; i++) {
        for (struct entry *entry = cache->buckets[i]; entry != NULL;) {
            struct entry *next = entry->next;
            gemm_kernel_destroy(entry->kernel);
            free(entry);
            entry = next;
        }
    }
    gemm_engine_destroy(cache->engine);
    free(cache);
}

const char *gemm_cache_library(const struct gemm_cache *cache)
{
    return gemm_engine_library(cache->engine);
}

static uint64_t shape_hash(const struct gemm_shape *s)
{
    const int64_t fields[] = {
        s->m,
        s->n,
        s->k,
        s->lda,
        s->ldb,
        s->ldc,
        s->transpose_a + 2 * s->transpose_b + 4 * s->accumulate,
    };
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        hash = (hash ^ (uint64_t)fields[i]) * 0x9E3779B97F4A7C15u; /* 2^64 / golden ratio */
        hash ^= hash >> 32;
    }
    return hash;
}

static bool shape_equal(const struct gemm_shape *x, const struct gemm_shape *y)
{
    return x->m == y->m && x->n == y->n && x->k == y->k && x->lda == y->lda && x->ldb == y->ldb &&
           x->ldc == y->ldc && x->transpose_a == y->transpose_a &&
           x->transpose_b == y->transpose_b && x->accumulate == y->accumulate;
}

enum status gemm_cache_kernel(struct gemm_kernel **out, struct gemm_cache *cache,
                              const struct gemm_shape *shape, struct error *err)
{
    struct gemm_shape dense = gemm_shape_dense(shape);
    struct entry **bucket = &cache->buckets[shape_hash(&dense) % BUCKETS];

    for (struct entry *entry = *bucket; entry != NULL; entry = entry->next) {
        if (shape_equal(&entry->shape, &dense)) {
            *out = entry->kernel;
            return STATUS_OK;
        }
    }

    struct entry *entry = sys_calloc(1, sizeof *entry);
    if (entry == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "gemm: no memory for a kernel");
    }
    entry->shape = dense;
    enum status status = gemm_kernel_create(&entry->kernel, cache->engine, &dense, err);
    if (status) {
        free(entry);
        return error_wrap(err, "gemm %lld x %lld x %lld", (long long)dense.m, (long long)dense.n,
                          (long long)dense.k);
    }
    entry->next = *bucket;
    *bucket = entry;
    *out = entry->kernel;
    return STATUS_OK;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* n cut in count nearly equal parts that are multiples of quantum. */
static int64_t part_size(int64_t n, int64_t count, int64_t quantum)
{
    return ceil_div(ceil_div(n, count), quantum) * quantum;
}

/*
 * Tiles near TILE x TILE are large enough that packing their operands does not show, and leave
 * enough of them for many threads. Both sides are cut in equal parts, of whole vectors (columns)
 * and whole register blocks (rows).
 */
struct gemm_cut gemm_cut(const struct gemm_shape *shape)
{
    enum { TILE = 256, ROWS_QUANTUM = 8, COLUMNS_QUANTUM = 16 };
    int64_t m = shape->m;
    int64_t n = shape->n;
    int64_t count_m = ceil_div(m, TILE);
    int64_t count_n = ceil_div(n, TILE);

    if (count_m * count_n % 2 != 0) {
        /* Cut the side that has the larger tiles once more. */
        if (m * count_n >= n * count_m) {
            count_m++;
        } else {
            count_n++;
        }
    }
    struct gemm_cut cut = {
        .tile_m = part_size(m, count_m, m >= 2 * ROWS_QUANTUM ? ROWS_QUANTUM : 1),
        .tile_n = part_size(n, count_n, n >= 2 * COLUMNS_QUANTUM ? COLUMNS_QUANTUM : 1)};
    cut.count_m = ceil_div(m, cut.tile_m);
    cut.count_n = ceil_div(n, cut.tile_n);
    return cut;
}

/* The kernels of inner tiles and of those at the lower and the right edge. */
static enum status tile_kernels(struct gemm_kernel *kernels[2][2], struct gemm_cache *cache,
                                const struct gemm_shape *shape, const struct gemm_cut *cut,
                                struct error *err)
{
    enum status status = STATUS_OK;
    for (int last_m = 0; last_m < 2; last_m++) {
        for (int last_n = 0; last_n < 2; last_n++) {
            struct gemm_shape tile = *shape;
            tile.m = last_m ? shape->m - (cut->count_m - 1) * cut->tile_m : cut->tile_m;
            tile.n = last_n ? shape->n - (cut->count_n - 1) * cut->tile_n : cut->tile_n;
            bool is_used = (last_m || cut->count_m > 1) && (last_n || cut->count_n > 1);
            if (is_used) {
                status = gemm_cache_kernel(&kernels[last_m][last_n], cache, &tile, err);
            }
            if (status) {
                return status;
            }
        }
    }
    return status;
}

enum status gemm_cache_run(struct gemm_cache *cache, float *c, const float *a, const float *b,
                           const struct gemm_shape *given, struct error *err)
{
    const struct gemm_shape shape = gemm_shape_dense(given);
    const struct gemm_cut cut = gemm_cut(&shape);
    struct gemm_kernel *kernels[2][2] = {{NULL}};

    enum status status = tile_kernels(kernels, cache, &shape, &cut, err);
    if (status) {
        return status;
    }

    const int64_t a_step = cut.tile_m * (shape.transpose_a ? 1 : shape.lda);
    const int64_t b_step = cut.tile_n * (shape.transpose_b ? shape.ldb : 1);
    const int64_t tiles = cut.count_m * cut.count_n;
    int threads = tiles < cache->threads ? (int)tiles : cache->threads;
    int failures = 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) reduction(+ : failures)
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t i = tile / cut.count_n;
        int64_t j = tile % cut.count_n;
        struct gemm_kernel *kernel = kernels[i == cut.count_m - 1][j == cut.count_n - 1];
        float *c_tile = c + i * cut.tile_m * shape.ldc + j * cut.tile_n;
        failures +=
            !gemm_kernel_run(kernel, omp_get_thread_num(), c_tile, a + i * a_step, b + j * b_step);
    }
    return failures == 0 ? STATUS_OK : error_set(err, STATUS_IO, "gemm: oneDNN failed to run");
}
