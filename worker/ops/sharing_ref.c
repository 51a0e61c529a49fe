#include "worker/ops/sharing.h"

#include <stddef.h>

/* The place at which an index stands. */
static int64_t place_of(const int32_t *order, int64_t index)
{
    int64_t place = 0;
    while (order != NULL && order[place] != index) {
        place++;
    }
    return order == NULL ? index : place;
}

static int64_t column_group(const struct sharing_kind *kind, int64_t j, int64_t k, int64_t r_hat)
{
    return kind->columns == SHARING_COLUMNS_MOD ? place_of(kind->column_order, j) % r_hat
                                                : sharing_balanced_group(j, k, r_hat);
}

static int64_t row_group(const struct sharing_kind *kind, int64_t o, int64_t d, int64_t r_hat)
{
    return kind->rows == SHARING_ROWS_TILE ? place_of(kind->row_order, o) % r_hat
                                           : sharing_balanced_group(o, d, r_hat);
}

/* How many of the first inputs belong to a second group, g2(j) = (k + j) mod r_hat. */
static int64_t wrapped_count(const struct sharing_kind *kind, int64_t k, int64_t r_hat)
{
    const bool wraps =
        kind->columns == SHARING_COLUMNS_MOD && !kind->zero_pad && kind->column_order == NULL;
    return wraps ? (r_hat - k % r_hat) % r_hat : 0;
}

void sharing_comp_ref(double *z, const double *x, const struct sharing_kind *kind, int64_t N,
                      int64_t k, int64_t r_hat)
{
    const int64_t pad = wrapped_count(kind, k, r_hat);
    for (int64_t i = 0; i < N * r_hat; i++) {
        z[i] = 0.0;
    }
    for (int64_t j = 0; j < k; j++) {
        const int64_t group = column_group(kind, j, k, r_hat);
        for (int64_t n = 0; n < N; n++) {
            z[n * r_hat + group] += x[n * k + j];
            if (j < pad) {
                z[n * r_hat + (k + j) % r_hat] += x[n * k + j];
            }
        }
    }
}

void sharing_comp_t_ref(double *dx, const double *u, const struct sharing_kind *kind, int64_t N,
                        int64_t k, int64_t r_hat)
{
    const int64_t pad = wrapped_count(kind, k, r_hat);
    for (int64_t j = 0; j < k; j++) {
        const int64_t group = column_group(kind, j, k, r_hat);
        for (int64_t n = 0; n < N; n++) {
            dx[n * k + j] = u[n * r_hat + group];
            if (j < pad) {
                dx[n * k + j] += u[n * r_hat + (k + j) % r_hat];
            }
        }
    }
}

void sharing_decomp_ref(double *y, const double *z, const struct sharing_kind *kind, int64_t N,
                        int64_t d, int64_t r_hat)
{
    for (int64_t o = 0; o < d; o++) {
        const int64_t group = row_group(kind, o, d, r_hat);
        for (int64_t n = 0; n < N; n++) {
            y[n * d + o] = z[n * r_hat + group];
        }
    }
}

void sharing_decomp_t_ref(double *u, const double *dy, const struct sharing_kind *kind, int64_t N,
                          int64_t d, int64_t r_hat)
{
    for (int64_t i = 0; i < N * r_hat; i++) {
        u[i] = 0.0;
    }
    for (int64_t o = 0; o < d; o++) {
        const int64_t group = row_group(kind, o, d, r_hat);
        for (int64_t n = 0; n < N; n++) {
            u[n * r_hat + group] += dy[n * d + o];
        }
    }
}

void sharing_expand_ref(double *e, const double *m, const struct sharing_kind *kind, int64_t d,
                        int64_t k, int64_t r_hat)
{
    const int64_t pad = wrapped_count(kind, k, r_hat);
    for (int64_t o = 0; o < d; o++) {
        const double *m_row = m + row_group(kind, o, d, r_hat) * r_hat;
        for (int64_t j = 0; j < k; j++) {
            e[o * k + j] = m_row[column_group(kind, j, k, r_hat)];
            if (j < pad) {
                e[o * k + j] += m_row[(k + j) % r_hat];
            }
        }
    }
}

void sharing_side_forward_ref(double *y, double *scratch, const double *x, const double *m,
                              const struct sharing_kind *kind, int64_t N, int64_t d, int64_t k,
                              int64_t r_hat)
{
    double *z = scratch;
    double *mz = scratch + N * r_hat;
    sharing_comp_ref(z, x, kind, N, k, r_hat);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t a = 0; a < r_hat; a++) {
            mz[n * r_hat + a] = 0.0;
            for (int64_t b = 0; b < r_hat; b++) {
                mz[n * r_hat + a] += m[a * r_hat + b] * z[n * r_hat + b];
            }
        }
    }
    for (int64_t o = 0; o < d; o++) {
        const int64_t group = row_group(kind, o, d, r_hat);
        for (int64_t n = 0; n < N; n++) {
            y[n * d + o] += mz[n * r_hat + group];
        }
    }
}

void sharing_side_backward_ref(double *dx, double *dm, double *scratch, const double *dy,
                               const double *x, const double *m, const struct sharing_kind *kind,
                               int64_t N, int64_t d, int64_t k, int64_t r_hat)
{
    double *z = scratch;
    double *u = z + N * r_hat;
    double *mu = u + N * r_hat;
    double *increment = mu + N * r_hat;
    sharing_comp_ref(z, x, kind, N, k, r_hat);
    sharing_decomp_t_ref(u, dy, kind, N, d, r_hat);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t b = 0; b < r_hat; b++) {
            mu[n * r_hat + b] = 0.0;
        }
        for (int64_t a = 0; a < r_hat; a++) {
            for (int64_t b = 0; b < r_hat; b++) {
                dm[a * r_hat + b] += u[n * r_hat + a] * z[n * r_hat + b];
                mu[n * r_hat + b] += m[a * r_hat + b] * u[n * r_hat + a];
            }
        }
    }
    if (dx != NULL) {
        sharing_comp_t_ref(increment, mu, kind, N, k, r_hat);
        for (int64_t i = 0; i < N * k; i++) {
            dx[i] += increment[i];
        }
    }
}
