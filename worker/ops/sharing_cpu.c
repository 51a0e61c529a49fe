#include <assert.h>
#include <omp.h>
#include <string.h>

#include "worker/ops/cpu.h"

/* z[i] = sum of x[i], x[i + r_hat], …: the sum of x's rows when it is laid out r_hat wide. Where
 * is_wrapped, the last, short row goes on with x's first elements. */
static void sum_strided(float *restrict z, const float *restrict x, int64_t n, int64_t r_hat,
                        bool is_wrapped)
{
    memcpy(z, x, (size_t)r_hat * sizeof *z);
    for (int64_t first = r_hat; first < n; first += r_hat) {
        const int64_t count = cpu_min(r_hat, n - first);
        for (int64_t i = 0; i < count; i++) {
            z[i] += x[first + i];
        }
    }
    const int64_t filled = n % r_hat;
    if (is_wrapped && filled != 0) {
        for (int64_t i = filled; i < r_hat; i++) {
            z[i] += x[i - filled];
        }
    }
}

/* z[i] = sum of the i-th size neighbours of x. */
static inline __attribute__((always_inline)) void sum_neighbours_sized(float *restrict z,
                                                                       const float *restrict x,
                                                                       int64_t groups, int64_t size)
{
    for (int64_t i = 0; i < groups; i++) {
        float sum = x[i * size];
        for (int64_t member = 1; member < size; member++) {
            sum += x[i * size + member];
        }
        z[i] = sum;
    }
}

/* With a small size as a constant the inner loop unrolls and the outer one becomes vectors. */
static void sum_neighbours(float *restrict z, const float *restrict x, int64_t groups, int64_t size)
{
    switch (size) {
#define CASE(constant)                          \
 case constant:                                 \
  sum_neighbours_sized(z, x, groups, constant); \
  break
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
#undef CASE
    default:
        sum_neighbours_sized(z, x, groups, size);
    }
}

/* z[i] = sum of balanced group i of x. */
static void sum_blocks(float *restrict z, const float *restrict x, int64_t n, int64_t r_hat)
{
    const int64_t q = n / r_hat;
    const int64_t larger = n % r_hat;
    sum_neighbours(z, x, larger, q + 1);
    sum_neighbours(z + larger, x + larger * (q + 1), r_hat - larger, q);
}

/* As sum_strided of what stands at each place; nothing wraps. */
static void sum_ordered(float *restrict z, const float *restrict x, const int32_t *restrict order,
                        int64_t n, int64_t r_hat)
{
    for (int64_t i = 0; i < r_hat; i++) {
        z[i] = x[order[i]];
    }
    for (int64_t first = r_hat; first < n; first += r_hat) {
        const int64_t count = cpu_min(r_hat, n - first);
        for (int64_t i = 0; i < count; i++) {
            z[i] += x[order[first + i]];
        }
    }
}

void AT_LEVEL(sharing_comp_cpu)(struct backend *backend, void *z, const void *x,
                                const struct sharing_kind *kind, int64_t N, int64_t k,
                                int64_t r_hat, int64_t stride, enum dtype type)
{
    const struct cpu_rows rows = cpu_rows(backend, k, r_hat, 0, type);
    if (!rows.ok || cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *k)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const float *x_n = cpu_row_in(&rows, omp_get_thread_num(), x, n, stride);
        float *z_n = cpu_row_out(&rows, omp_get_thread_num(), z, n * r_hat);
        if (kind->columns == SHARING_COLUMNS_BLOCKS) {
            sum_blocks(z_n, x_n, k, r_hat);
        } else if (kind->column_order != NULL) {
            sum_ordered(z_n, x_n, kind->column_order, k, r_hat);
        } else {
            sum_strided(z_n, x_n, k, r_hat, !kind->zero_pad);
        }
        cpu_row_store(&rows, z, n * r_hat, z_n);
    }
}

void AT_LEVEL(sharing_decomp_t_cpu)(struct backend *backend, void *u, const void *dy,
                                    const struct sharing_kind *kind, int64_t N, int64_t d,
                                    int64_t r_hat, int64_t stride, int64_t u_stride,
                                    enum dtype type)
{
    const struct cpu_rows rows = cpu_rows(backend, d, r_hat, 0, type);
    if (!rows.ok || cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *d)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const float *dy_n = cpu_row_in(&rows, omp_get_thread_num(), dy, n, stride);
        float *u_n = cpu_row_out(&rows, omp_get_thread_num(), u, n * u_stride);
        if (kind->rows == SHARING_ROWS_INTERLEAVE) {
            sum_blocks(u_n, dy_n, d, r_hat);
        } else if (kind->row_order != NULL) {
            sum_ordered(u_n, dy_n, kind->row_order, d, r_hat);
        } else {
            sum_strided(u_n, dy_n, d, r_hat, false);
        }
        cpu_row_store(&rows, u, n * u_stride, u_n);
    }
}

/* e[k] = the expansion of one row t[r_hat] over the columns. */
static void expand_row(float *restrict e, const float *restrict t, const struct sharing_kind *kind,
                       int64_t k, int64_t r_hat)
{
    if (kind->columns == SHARING_COLUMNS_BLOCKS) {
        for (int64_t i = 0, j = 0; i < r_hat; i++) {
            for (const int64_t end = j + k / r_hat + (i < k % r_hat); j < end; j++) {
                e[j] = t[i];
            }
        }
        return;
    }
    for (int64_t first = 0; first < k; first += r_hat) {
        const int64_t count = cpu_min(r_hat, k - first);
        if (kind->column_order == NULL) {
            memcpy(e + first, t, (size_t)count * sizeof *e);
        } else {
            for (int64_t i = 0; i < count; i++) {
                e[kind->column_order[first + i]] = t[i];
            }
        }
    }
    const int64_t filled = kind->zero_pad || kind->column_order != NULL ? 0 : k % r_hat;
    for (int64_t j = 0; filled != 0 && j < r_hat - filled; j++) {
        e[j] = t[j] + t[filled + j];
    }
}

/* t[r_hat] = row of T = S + M. */
static void term_row(float *restrict t, const struct sharing_term *term, int64_t row, int64_t r_hat)
{
    const float *only = term->sum != NULL ? term->sum : term->adapter;
    if (term->sum == NULL || term->adapter == NULL) {
        memcpy(t, only + row * r_hat, (size_t)r_hat * sizeof *t);
        return;
    }
    for (int64_t i = 0; i < r_hat; i++) {
        t[i] = term->sum[row * r_hat + i] + term->adapter[row * r_hat + i];
    }
}

/* Adds one term to places first … end-1 of w's rows. scratch[r_hat + k]. */
static void add_term(float *w, float *scratch, const struct sharing_term *term, int64_t first,
                     int64_t end, int64_t d, int64_t k, int64_t r_hat)
{
    float *t = scratch;
    float *e = scratch + r_hat;
    int64_t expanded = -1; /* the row of T that e holds: under INTERLEAVE neighbours share it */
    for (int64_t place = first; place < end; place++) {
        const int64_t row = term->kind.rows == SHARING_ROWS_TILE
                                ? place % r_hat
                                : sharing_balanced_group(place, d, r_hat);
        if (row != expanded) {
            term_row(t, term, row, r_hat);
            expand_row(e, t, &term->kind, k, r_hat);
            expanded = row;
        }
        float *w_o = w + (term->kind.row_order == NULL ? place : term->kind.row_order[place]) * k;
#pragma omp simd
        for (int64_t j = 0; j < k; j++) {
            w_o[j] += e[j];
        }
    }
}

/* w = w0 + one term, with w0 copied row by row where the term's order of rows takes them. */
static void write_ordered(struct backend *backend, float *w, const float *w0, float *scratch,
                          int64_t scratch_count, const struct sharing_term *term, int64_t d,
                          int64_t k, int64_t r_hat)
{
#pragma omp parallel for num_threads(cpu_threads(backend, d *k)) schedule(static)
    for (int64_t place = 0; place < d; place++) {
        const int64_t o = term->kind.row_order[place];
        if (w != w0) {
            memcpy(w + o * k, w0 + o * k, (size_t)k * sizeof *w);
        }
        add_term(w, scratch + omp_get_thread_num() * scratch_count, term, place, place + 1, d, k,
                 r_hat);
    }
}

void AT_LEVEL(sharing_weight_cpu)(struct backend *backend, float *w, const float *w0,
                                  const struct sharing_term *terms, int64_t term_count, int64_t d,
                                  int64_t k, int64_t r_hat)
{
    enum { ROWS = 32 };
    const int64_t scratch_count = cpu_ceil_div(r_hat + k, 16) * 16;
    float *scratch = cpu_scratch(backend, backend->threads * scratch_count, sizeof *scratch);
    if (scratch == NULL || cpu_is_planning(backend)) {
        return;
    }
    if (term_count == 1 && terms[0].kind.row_order != NULL) {
        write_ordered(backend, w, w0, scratch, scratch_count, &terms[0], d, k, r_hat);
        return;
    }

#pragma omp parallel for num_threads(cpu_threads(backend, d *k)) schedule(static)
    for (int64_t first = 0; first < d; first += ROWS) {
        const int64_t end = cpu_min(d, first + ROWS);
        if (w != w0) {
            memcpy(w + first * k, w0 + first * k, (size_t)((end - first) * k) * sizeof *w);
        }
        for (int64_t i = 0; i < term_count; i++) {
            assert(terms[i].kind.row_order == NULL);
            add_term(w, scratch + omp_get_thread_num() * scratch_count, &terms[i], first, end, d, k,
                     r_hat);
        }
    }
}
