/*
 * The count of large singular values from a sketch. All matrices of the sketch lie row by row, a
 * direction each: Y^T = Ω^T A^T, Z^T = Q^T A.
 */
#include <assert.h>
#include <lapacke.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "worker/eval/spectrum.h"
#include "worker/ops/backend.h"

#define SKETCH_FIRST 64
/* Rows beyond the values that are counted, so that those are well captured. */
#define OVERSAMPLING 10
/* What the sketch may leave out, as a share of the threshold. */
#define LEFT_OUT_MAX 0.5
#define POWER_STEPS  12
/* A row that keeps less of itself is in the span of those before it. */
#define INDEPENDENT 1e-6

struct sketch {
    struct backend *backend;
    const float *a; /* [d,k] */
    int64_t d;
    int64_t k;
    int64_t rows;
    float *left;   /* [rows,d] */
    float *right;  /* [rows,k] */
    double *exact; /* [rows, max(d,k)] */
    double *gram;  /* [rows,rows] */
    double *eigenvalues;
};

static void sketch_deinit(struct sketch *sketch)
{
    free(sketch->left);
    free(sketch->right);
    free(sketch->exact);
    free(sketch->gram);
    free(sketch->eigenvalues);
}

static enum status sketch_init(struct sketch *sketch, struct backend *backend, const float *a,
                               int64_t d, int64_t k, int64_t rows, struct error *err)
{
    const int64_t longest = d > k ? d : k;

    *sketch = (struct sketch){.backend = backend, .a = a, .d = d, .k = k, .rows = rows};
    sketch->left = sys_calloc((size_t)(rows * d), sizeof *sketch->left);
    sketch->right = sys_calloc((size_t)(rows * k), sizeof *sketch->right);
    sketch->exact = sys_calloc((size_t)(rows * longest), sizeof *sketch->exact);
    sketch->gram = sys_calloc((size_t)(rows * rows), sizeof *sketch->gram);
    sketch->eigenvalues = sys_calloc((size_t)rows, sizeof *sketch->eigenvalues);
    if (sketch->left == NULL || sketch->right == NULL || sketch->exact == NULL ||
        sketch->gram == NULL || sketch->eigenvalues == NULL) {
        sketch_deinit(sketch);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the sketch of %lld × %lld",
                         (long long)d, (long long)k);
    }
    return STATUS_OK;
}

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

/* Takes the rows before it out of a row, and makes it one long; zero where nothing is left. */
static void clean_row(double *rows, int64_t row, int64_t n)
{
    double *x = rows + row * n;
    const double before = sqrt(dot(x, x, n));

    for (int pass = 0; pass < 2; pass++) { /* twice is enough (Kahan; Parlett 1980) */
        for (int64_t j = 0; j < row; j++) {
            const double *y = rows + j * n;
            const double share = dot(x, y, n);
            for (int64_t i = 0; i < n; i++) {
                x[i] -= share * y[i];
            }
        }
    }
    const double after = sqrt(dot(x, x, n));
    const double factor = after > INDEPENDENT * before ? 1.0 / after : 0.0;
    for (int64_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}

/* rows[count,n] become orthonormal, or zero. */
static void orthonormalise(struct sketch *sketch, float *rows, int64_t n)
{
    for (int64_t i = 0; i < sketch->rows * n; i++) {
        sketch->exact[i] = (double)rows[i];
    }
    for (int64_t row = 0; row < sketch->rows; row++) {
        clean_row(sketch->exact, row, n);
    }
    for (int64_t i = 0; i < sketch->rows * n; i++) {
        rows[i] = (float)sketch->exact[i];
    }
}

/* left <- right A^T */
static void to_left(struct sketch *sketch)
{
    const struct gemm_shape shape = {
        .m = sketch->rows, .n = sketch->d, .k = sketch->k, .transpose_b = true};

    sketch->backend->op->gemm(sketch->backend, sketch->left, sketch->right, sketch->a, &shape);
}

/* right <- left A */
static void to_right(struct sketch *sketch)
{
    const struct gemm_shape shape = {.m = sketch->rows, .n = sketch->k, .k = sketch->d};

    sketch->backend->op->gemm(sketch->backend, sketch->right, sketch->left, sketch->a, &shape);
}

/* right <- Q^T A for an orthonormal Q whose span is close to that of A's largest directions. */
static void find_range(struct sketch *sketch, uint64_t seed)
{
    const uint64_t stream = rng_stream(RNG_PURPOSE_PROBE, 1, 0);

    for (int64_t i = 0; i < sketch->rows * sketch->k; i++) {
        sketch->right[i] = (float)rng_normal(seed, stream, (uint64_t)i);
    }
    to_left(sketch);
    orthonormalise(sketch, sketch->left, sketch->d);
    to_right(sketch);
    orthonormalise(sketch, sketch->right, sketch->k);
    to_left(sketch);
    orthonormalise(sketch, sketch->left, sketch->d);
    to_right(sketch);
}

/* y[m] <- y + factor M x, or with by_column y[n] <- y + factor M^T x, for M[m,n]. */
static void add_product(double *y, double factor, const float *M, const double *x, int64_t m,
                        int64_t n, bool by_column)
{
    for (int64_t i = 0; i < m; i++) {
        const float *row = M + i * n;
        double sum = 0.0;
        for (int64_t j = 0; j < n; j++) {
            if (by_column) {
                y[j] += factor * x[i] * (double)row[j];
            } else {
                sum += x[j] * (double)row[j];
            }
        }
        if (!by_column) {
            y[i] += factor * sum;
        }
    }
}

/* The largest singular value of A - Q B, what the sketch does not see, by power iteration: close to
 * it from below. memory has room for rows + d + k. */
static double norm_left_out(const struct sketch *sketch, uint64_t seed, double *memory)
{
    const int64_t d = sketch->d;
    const int64_t k = sketch->k;
    const uint64_t stream = rng_stream(RNG_PURPOSE_PROBE, 2, 0);
    double *x = memory;
    double *y = x + k;
    double *inner = y + d;
    double norm = 0.0;

    for (int64_t j = 0; j < k; j++) {
        x[j] = rng_normal(seed, stream, (uint64_t)j);
    }
    for (int step = 0; step < POWER_STEPS; step++) {
        const double length = sqrt(dot(x, x, k));
        if (length == 0.0) {
            return 0.0;
        }
        for (int64_t j = 0; j < k; j++) {
            x[j] /= length;
        }
        memset(y, 0, (size_t)d * sizeof *y);
        memset(inner, 0, (size_t)sketch->rows * sizeof *inner);
        add_product(y, 1.0, sketch->a, x, d, k, false);
        add_product(inner, 1.0, sketch->right, x, sketch->rows, k, false);
        add_product(y, -1.0, sketch->left, inner, sketch->rows, d, true);
        norm = sqrt(dot(y, y, d));
        memset(x, 0, (size_t)k * sizeof *x);
        memset(inner, 0, (size_t)sketch->rows * sizeof *inner);
        add_product(x, 1.0, sketch->a, y, d, k, true);
        add_product(inner, 1.0, sketch->left, y, sketch->rows, d, false);
        add_product(x, -1.0, sketch->right, inner, sketch->rows, k, true);
    }
    return norm;
}

/* gram <- x x^T of x[rows,n], in double. */
static void fill_gram(struct sketch *sketch, const float *x, int64_t n)
{
    for (int64_t i = 0; i < sketch->rows * n; i++) {
        sketch->exact[i] = (double)x[i];
    }
#pragma omp parallel for num_threads(sketch->backend->threads) schedule(dynamic)
    for (int64_t i = 0; i < sketch->rows; i++) {
        for (int64_t j = 0; j <= i; j++) {
            const double value = dot(sketch->exact + i * n, sketch->exact + j * n, n);
            sketch->gram[i * sketch->rows + j] = value;
            sketch->gram[j * sketch->rows + i] = value;
        }
    }
}

/* Counts from the eigenvalues of gram, which are the squares of the singular values. */
static enum status count_from_gram(struct sketch *sketch, double threshold, int64_t *out,
                                   struct error *err)
{
    const int64_t n = sketch->rows;

    memcpy(sketch->exact, sketch->gram, (size_t)(n * n) * sizeof *sketch->exact);
    const lapack_int info = LAPACKE_dsyev(LAPACK_COL_MAJOR, 'N', 'U', (lapack_int)n, sketch->exact,
                                          (lapack_int)n, sketch->eigenvalues);
    if (info != 0) {
        return error_set(err, STATUS_CORRUPT, "LAPACK's dsyev gives up with %lld", (long long)info);
    }
    *out = spectrum_count(sketch->eigenvalues, n, threshold * threshold);
    return spectrum_verify_eigenvalues(sketch->eigenvalues, sketch->gram, n, err);
}

/* Without a sketch: the Gram matrix of the shorter side. */
static enum status count_whole(int64_t *out, struct backend *backend, const float *a, int64_t d,
                               int64_t k, double threshold, struct error *err)
{
    const int64_t n = d < k ? d : k;
    struct sketch sketch;

    enum status status = sketch_init(&sketch, backend, a, d, k, n, err);
    if (status) {
        return status;
    }
    if (d <= k) {
        memcpy(sketch.right, a, (size_t)(d * k) * sizeof *a);
        fill_gram(&sketch, sketch.right, k);
    } else {
        for (int64_t i = 0; i < d; i++) {
            for (int64_t j = 0; j < k; j++) {
                sketch.left[j * d + i] = a[i * k + j];
            }
        }
        fill_gram(&sketch, sketch.left, d);
    }
    status = count_from_gram(&sketch, threshold, out, err);
    sketch_deinit(&sketch);
    return status;
}

/* One try with that many rows; *is_enough tells whether the count can be relied on. */
static enum status count_with(int64_t *out, bool *is_enough, struct sketch *sketch,
                              double threshold, uint64_t seed, struct error *err)
{
    find_range(sketch, seed);
    enum status status = backend_finish(sketch->backend, err);
    if (status) {
        return status;
    }
    fill_gram(sketch, sketch->right, sketch->k);
    status = count_from_gram(sketch, threshold, out, err);
    *is_enough = *out + OVERSAMPLING <= sketch->rows;
    if (status || !*is_enough) {
        return status;
    }
    double *memory = sys_malloc((size_t)(sketch->rows + sketch->d + sketch->k) * sizeof *memory);
    if (memory == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory to judge a sketch");
    }
    *is_enough = norm_left_out(sketch, seed, memory) <= LEFT_OUT_MAX * threshold;
    free(memory);
    return STATUS_OK;
}

enum status spectrum_count_sketched(int64_t *out, struct backend *backend, const float *a,
                                    int64_t d, int64_t k, double threshold, uint64_t seed,
                                    struct error *err)
{
    const int64_t n = d < k ? d : k;
    bool is_enough = false;

    assert(d >= 1 && k >= 1);
    for (int64_t rows = SKETCH_FIRST; rows < n / 2; rows *= 2) {
        struct sketch sketch;
        enum status status = sketch_init(&sketch, backend, a, d, k, rows, err);
        if (status) {
            return status;
        }
        status = count_with(out, &is_enough, &sketch, threshold, seed, err);
        sketch_deinit(&sketch);
        if (status || is_enough) {
            return status;
        }
    }
    return count_whole(out, backend, a, d, k, threshold, err);
}
