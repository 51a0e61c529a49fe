/*
 * sharing — MoRA's sharing operators (Jiang et al. 2024, eq. 6-7): a linear layer w[d,k] is updated
 * by a square matrix M[r_hat,r_hat] whose entry (a,b) is shared by all weights in rows of group a
 * and columns of group b.
 *
 *     columns of input j    MOD         g(j) = j mod r_hat
 *                           BLOCKS      g(j) = balanced contiguous group of j among k
 *     rows of output o      TILE        h(o) = o mod r_hat
 *                           INTERLEAVE  h(o) = balanced contiguous group of o among d
 *
 * Balanced groups of n: with q = n / r_hat and m = n mod r_hat, the first m groups have q+1
 * members, the others q. Under MOD the input is filled up to a multiple of r_hat with its own first
 * pad = (-k) mod r_hat elements, so j < pad belongs to g2(j) = (k + j) mod r_hat as well; with
 * zero_pad it is filled with zeros. Sums are not normalised. 1 <= r_hat <= min(d,k).
 *
 * With an order, MOD and TILE group by the place of an index instead of the index: order[p] stands
 * at place p, so that g(order[p]) = p mod r_hat, and nothing wraps around (our permuted groups).
 *
 *     comp      z[N,r_hat] <- x[N,k]:    z_i = sum of x_j over g(j) = i (and j < pad, g2(j) = i)
 *     decomp    y[N,d]     <- z:         y_o = z_h(o)
 *     comp_t    dx[N,k]    <- u:         dx_j = u_g(j) (+ u_g2(j) for j < pad)
 *     decomp_t  u[N,r_hat] <- dy[N,d]:   u_i = sum of dy_o over h(o) = i
 *     expand    e[d,k]     <- M:         e_oj = M[h(o)][g(j)] (+ M[h(o)][g2(j)] for j < pad)
 *
 * The side path adds decomp(M comp(x)) to a layer's output; its gradients are
 * dM += decomp_t(dy)^T comp(x) and dx += comp_t(M^T decomp_t(dy)). The backend never runs it: it
 * runs one effective weight instead, and forms only dM. The _ref functions are there to compare.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

enum sharing_columns { SHARING_COLUMNS_MOD, SHARING_COLUMNS_BLOCKS };
enum sharing_rows { SHARING_ROWS_TILE, SHARING_ROWS_INTERLEAVE };

/* Which groups an update uses. */
struct sharing_kind {
    enum sharing_columns columns;
    enum sharing_rows rows;
    bool zero_pad;
    const int32_t *column_order; /* [k] a permutation, under MOD; NULL: none */
    const int32_t *row_order;    /* [d] a permutation, under TILE; NULL: none */
};

/* The group of index among n, balanced and contiguous. */
int64_t sharing_balanced_group(int64_t index, int64_t n, int64_t r_hat);

/* Rows of x, dy and u are a stride apart, in elements, rows of z are dense. All are operands of one
 * type; sums are in fp32. Outputs are overwritten. */
typedef void sharing_comp_fn(struct backend *backend, void *z, const void *x,
                             const struct sharing_kind *kind, int64_t N, int64_t k, int64_t r_hat,
                             int64_t stride, enum dtype type);
typedef void sharing_decomp_t_fn(struct backend *backend, void *u, const void *dy,
                                 const struct sharing_kind *kind, int64_t N, int64_t d,
                                 int64_t r_hat, int64_t stride, int64_t u_stride, enum dtype type);

/* One term of an effective weight: T = S + M, where a missing (NULL) one is not added. At least one
 * is there. Of a run's terms only the active kind's has an M. */
struct sharing_term {
    struct sharing_kind kind;
    const float *sum;     /* S[r_hat,r_hat], what merges have made permanent */
    const float *adapter; /* M[r_hat,r_hat], what trains now */
};

/*
 * The effective weight: w[d,k] = ((w0 + e_1) + e_2) + …, e_i the expansion of term i, in the order
 * given. Every addition rounds to fp32 by itself: T = fl(S + M), e = T or fl(T[g] + T[g2]), then
 * a = fl(a + e). So bits are the same at every instruction-set level, and moving M into S (a merge)
 * leaves every bit as it was. w may be w0.
 */
typedef void sharing_weight_fn(struct backend *backend, float *w, const float *w0,
                               const struct sharing_term *terms, int64_t term_count, int64_t d,
                               int64_t k, int64_t r_hat);

void sharing_comp_ref(double *z, const double *x, const struct sharing_kind *kind, int64_t N,
                      int64_t k, int64_t r_hat);
void sharing_comp_t_ref(double *dx, const double *u, const struct sharing_kind *kind, int64_t N,
                        int64_t k, int64_t r_hat);
void sharing_decomp_ref(double *y, const double *z, const struct sharing_kind *kind, int64_t N,
                        int64_t d, int64_t r_hat);
void sharing_decomp_t_ref(double *u, const double *dy, const struct sharing_kind *kind, int64_t N,
                          int64_t d, int64_t r_hat);
void sharing_expand_ref(double *e, const double *m, const struct sharing_kind *kind, int64_t d,
                        int64_t k, int64_t r_hat);

/* y[N,d] += decomp(M comp(x[N,k])). scratch[N, 2 r_hat]. */
void sharing_side_forward_ref(double *y, double *scratch, const double *x, const double *m,
                              const struct sharing_kind *kind, int64_t N, int64_t d, int64_t k,
                              int64_t r_hat);
/* dm[r_hat,r_hat] += decomp_t(dy)^T comp(x); dx[N,k] += comp_t(M^T decomp_t(dy)), where dx may be
 * NULL. scratch[N, 3 r_hat + k]. */
void sharing_side_backward_ref(double *dx, double *dm, double *scratch, const double *dy,
                               const double *x, const double *m, const struct sharing_kind *kind,
                               int64_t N, int64_t d, int64_t k, int64_t r_hat);
