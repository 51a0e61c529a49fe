#include "worker/ops/sharing.h"

#include <stddef.h>

static int64_t column_group(enum sharing_columns columns, int64_t j, int64_t k, int64_t r_hat)
{
    return columns == SHARING_COLUMNS_MOD ? j % r_hat : sharing_balanced_group(j, k, r_hat);
}

static int64_t row_group(enum sharing_rows rows, int64_t o, int64_t d, int64_t r_hat)
{
    return rows == SHARING_ROWS_TILE ? o % r_hat : sharing_balanced_group(o, d, r_hat);
}

/* How many of the first inputs belong to a second group, g2(j) = (k + j) mod r_hat. */
static int64_t wrapped_count(enum sharing_columns columns, int64_t k, int64_t r_hat)
{
    return columns == SHARING_COLUMNS_MOD ? (r_hat - k % r_hat) % r_hat : 0;
}

void sharing_comp_ref(double *z, const double *x, enum sharing_columns columns, int64_t N,
                      int64_t k, int64_t r_hat)
{
    const int64_t pad = wrapped_count(columns, k, r_hat);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t i = 0; i < r_hat; i++) {
            z[n * r_hat + i] = 0.0;
        }
        for (int64_t j = 0; j < k; j++) {
            z[n * r_hat + column_group(columns, j, k, r_hat)] += x[n * k + j];
            if (j < pad) {
                z[n * r_hat + (k + j) % r_hat] += x[n * k + j];
            }
        }
    }
}

void sharing_comp_t_ref(double *dx, const double *u, enum sharing_columns columns, int64_t N,
                        int64_t k, int64_t r_hat)
{
    const int64_t pad = wrapped_count(columns, k, r_hat);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t j = 0; j < k; j++) {
            dx[n * k + j] = u[n * r_hat + column_group(columns, j, k, r_hat)];
            if (j < pad) {
                dx[n * k + j] += u[n * r_hat + (k + j) % r_hat];
            }
        }
    }
}

void sharing_decomp_ref(double *y, const double *z, enum sharing_rows rows, int64_t N, int64_t d,
                        int64_t r_hat)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t o = 0; o < d; o++) {
            y[n * d + o] = z[n * r_hat + row_group(rows, o, d, r_hat)];
        }
    }
}

void sharing_decomp_t_ref(double *u, const double *dy, enum sharing_rows rows, int64_t N, int64_t d,
                          int64_t r_hat)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t i = 0; i < r_hat; i++) {
            u[n * r_hat + i] = 0.0;
        }
        for (int64_t o = 0; o < d; o++) {
            u[n * r_hat + row_group(rows, o, d, r_hat)] += dy[n * d + o];
        }
    }
}

void sharing_expand_ref(double *e, const double *m, struct sharing_kind kind, int64_t d, int64_t k,
                        int64_t r_hat)
{
    const int64_t pad = wrapped_count(kind.columns, k, r_hat);
    for (int64_t o = 0; o < d; o++) {
        const double *m_row = m + row_group(kind.rows, o, d, r_hat) * r_hat;
        for (int64_t j = 0; j < k; j++) {
            e[o * k + j] = m_row[column_group(kind.columns, j, k, r_hat)];
            if (j < pad) {
                e[o * k + j] += m_row[(k + j) % r_hat];
            }
        }
    }
}

void sharing_side_forward_ref(double *y, double *scratch, const double *x, const double *m,
                              struct sharing_kind kind, int64_t N, int64_t d, int64_t k,
                              int64_t r_hat)
{
    double *z = scratch;
    double *mz = scratch + N * r_hat;
    sharing_comp_ref(z, x, kind.columns, N, k, r_hat);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t a = 0; a < r_hat; a++) {
            mz[n * r_hat + a] = 0.0;
            for (int64_t b = 0; b < r_hat; b++) {
                mz[n * r_hat + a] += m[a * r_hat + b] * z[n * r_hat + b];
            }
        }
        for (int64_t o = 0; o < d; o++) {
            y[n * d + o] += mz[n * r_hat + row_group(kind.rows, o, d, r_hat)];
        }
    }
}

void sharing_side_backward_ref(double *dx, double *dm, double *scratch, const double *dy,
                               const double *x, const double *m, struct sharing_kind kind,
                               int64_t N, int64_t d, int64_t k, int64_t r_hat)
{
    double *z = scratch;
    double *u = z + N * r_hat;
    double *mu = u + N * r_hat;
    double *increment = mu + N * r_hat;
    sharing_comp_ref(z, x, kind.columns, N, k, r_hat);
    sharing_decomp_t_ref(u, dy, kind.rows, N, d, r_hat);
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
        sharing_comp_t_ref(increment, mu, kind.columns, N, k, r_hat);
        for (int64_t i = 0; i < N * k; i++) {
            dx[i] += increment[i];
        }
    }
}
