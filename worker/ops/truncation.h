/*
 * truncation — MoRA's simplest operator (Jiang et al. 2024, eq. 4-5): the square matrix
 * M[r_hat,r_hat] acts on the first r_hat inputs and gives the first r_hat outputs of a linear layer
 * w[d,k]. 1 <= r_hat <= min(d,k).
 *
 *     comp      z_i = x_i                              decomp    y_o = z_o for o < r_hat, else 0
 *     comp_t    dx_j = u_j for j < r_hat, else 0       decomp_t  u_o = dy_o
 *     expand    e_oj = M_oj for o, j < r_hat, else 0
 *     dM += (the first r_hat columns of dy)^T (the first r_hat columns of x)
 *
 * Nothing needs to be copied: dM is a product of parts of dy and x as they lie.
 */
#pragma once

#include <stdint.h>

struct backend;

/* w[d,k] = w0 + e, e the expansion of T = fl(S + M); sum or adapter may be NULL, not both. Every
 * addition rounds by itself, so a merge (S := T, M := 0) leaves every bit. w may be w0. */
typedef void truncation_weight_fn(struct backend *backend, float *w, const float *w0,
                                  const float *sum, const float *adapter, int64_t d, int64_t k,
                                  int64_t r_hat);

void truncation_expand_ref(double *e, const double *m, int64_t d, int64_t k, int64_t r_hat);

/* y[N,d] += decomp(M comp(x[N,k])) */
void truncation_side_forward_ref(double *y, const double *x, const double *m, int64_t N, int64_t d,
                                 int64_t k, int64_t r_hat);
/* dm[r_hat,r_hat] += decomp_t(dy)^T comp(x); dx[N,k] += comp_t(M^T decomp_t(dy)) */
void truncation_side_backward_ref(double *dx, double *dm, const double *dy, const double *x,
                                  const double *m, int64_t N, int64_t d, int64_t k, int64_t r_hat);
