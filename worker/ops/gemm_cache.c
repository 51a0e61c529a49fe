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

size_t gemm_cache_scratch_bytes(const struct gemm_cache *cache)
{
    return gemm_engine_scratch_bytes(cache->engine);
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
        s->transpose_a + 2 * s->transpose_b + 4 * s->accumulate + 8 * (int64_t)s->operands +
            16 * (int64_t)s->result,
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
           x->transpose_b == y->transpose_b && x->accumulate == y->accumulate &&
           x->operands == y->operands && x->result == y->result;
}

static struct entry **bucket_of(struct gemm_cache *cache, const struct gemm_shape *dense)
{
    return &cache->buckets[shape_hash(dense) % BUCKETS];
}

/* NULL when there is none yet. Only reads, so that threads may call it at once. */
static struct gemm_kernel *find_kernel(struct gemm_cache *cache, const struct gemm_shape *dense)
{
    for (struct entry *entry = *bucket_of(cache, dense); entry != NULL; entry = entry->next) {
        if (shape_equal(&entry->shape, dense)) {
            return entry->kernel;
        }
    }
    return NULL;
}

enum status gemm_cache_kernel(struct gemm_kernel **out, struct gemm_cache *cache,
                              const struct gemm_shape *shape, struct error *err)
{
    const struct gemm_shape dense = gemm_shape_dense(shape);

    *out = find_kernel(cache, &dense);
    if (*out != NULL) {
        return STATUS_OK;
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
    struct entry **bucket = bucket_of(cache, &dense);
    entry->next = *bucket;
    *bucket = entry;
    *out = entry->kernel;
    return STATUS_OK;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* The quantum of both sides: parts are whole register blocks (rows) and whole vectors (columns),
 * but for what is left at the end and for sides of less than two. */
enum { ROWS_QUANTUM = 8, COLUMNS_QUANTUM = 16 };

static int64_t units_of(int64_t n, int64_t quantum)
{
    return n < 2 * quantum ? n : ceil_div(n, quantum);
}

/*
 * The sizes are the fastest measured on shapes of LLaMA models (deploy/results/engine.md), for fp32
 * and bf16 alike. oneDNN packs the columns of b for every tile, and those of a where it is
 * transposed: wide tiles spare that, but from some 700 columns a long k no longer fits the cache.
 * Where a is transposed (gradients of weights, summed over tokens) both sides are short, and four
 * tiles at the least leave something for more than two threads.
 */
struct gemm_cut gemm_cut(const struct gemm_shape *shape)
{
    const int64_t rows = shape->transpose_a ? 384 : 512;
    const int64_t columns = shape->transpose_a ? 768 : 640;
    const int64_t tall = 384; /* from here on two row tiles may become four */
    struct gemm_cut cut = {.count_m = ceil_div(shape->m, rows),
                           .count_n = ceil_div(shape->n, columns)};

    if (cut.count_m * cut.count_n % 2 != 0) {
        /* One row or column stays whole. */
        if (shape->m > 1) {
            cut.count_m++;
        } else if (shape->n > 1) {
            cut.count_n++;
        }
    }
    if (shape->transpose_a && cut.count_m * cut.count_n == 2 && shape->m >= tall) {
        cut.count_m *= 2;
    }
    return cut;
}

/* Part index of count nearly equal ones of n. */
static void part(int64_t *first, int64_t *size, int64_t n, int64_t count, int64_t index,
                 int64_t quantum)
{
    const int64_t units = units_of(n, quantum);
    const int64_t unit = units == n ? 1 : quantum;
    const int64_t end = index + 1 == count ? n : (index + 1) * units / count * unit;
    *first = index * units / count * unit;
    *size = end - *first;
}

struct gemm_tile gemm_cut_tile(const struct gemm_cut *cut, const struct gemm_shape *shape,
                               int64_t index)
{
    struct gemm_tile tile;
    part(&tile.row, &tile.rows, shape->m, cut->count_m, index / cut->count_n, ROWS_QUANTUM);
    part(&tile.column, &tile.columns, shape->n, cut->count_n, index % cut->count_n,
         COLUMNS_QUANTUM);
    return tile;
}

static struct gemm_shape tile_shape(const struct gemm_shape *shape, const struct gemm_tile *tile)
{
    struct gemm_shape out = *shape;
    out.m = tile->rows;
    out.n = tile->columns;
    return out;
}

/* Makes the kernels that the tiles need; there are at most three sizes along each side. */
static enum status prepare(struct gemm_cache *cache, const struct gemm_shape *shape,
                           const struct gemm_cut *cut, struct error *err)
{
    for (int64_t index = 0; index < cut->count_m * cut->count_n; index++) {
        struct gemm_kernel *kernel;
        const struct gemm_tile tile = gemm_cut_tile(cut, shape, index);
        const struct gemm_shape of_tile = tile_shape(shape, &tile);
        enum status status = gemm_cache_kernel(&kernel, cache, &of_tile, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status gemm_cache_prepare(struct gemm_cache *cache, const struct gemm_shape *given,
                               struct error *err)
{
    const struct gemm_shape shape = gemm_shape_dense(given);
    const struct gemm_cut cut = gemm_cut(&shape);
    return prepare(cache, &shape, &cut, err);
}

enum status gemm_cache_run(struct gemm_cache *cache, void *c, const void *a, const void *b,
                           const struct gemm_shape *given, struct error *err)
{
    const struct gemm_shape shape = gemm_shape_dense(given);
    const struct gemm_cut cut = gemm_cut(&shape);
    const int64_t tiles = cut.count_m * cut.count_n;
    const int64_t a_step = shape.transpose_a ? 1 : shape.lda;
    const int64_t b_step = shape.transpose_b ? shape.ldb : 1;
    const int threads = tiles < cache->threads ? (int)tiles : cache->threads;

    enum status status = prepare(cache, &shape, &cut, err);
    if (status) {
        return status;
    }
    int failures = 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1) reduction(+ : failures)
    for (int64_t index = 0; index < tiles; index++) {
        const struct gemm_tile tile = gemm_cut_tile(&cut, &shape, index);
        const struct gemm_shape of_tile = tile_shape(&shape, &tile);
        failures +=
            !gemm_kernel_run(find_kernel(cache, &of_tile), omp_get_thread_num(),
                             dtype_at_mut(c, tile.row * shape.ldc + tile.column, shape.result),
                             dtype_at(a, tile.row * a_step, shape.operands),
                             dtype_at(b, tile.column * b_step, shape.operands));
    }
    return failures == 0 ? STATUS_OK : error_set(err, STATUS_IO, "gemm: oneDNN failed to run");
}
