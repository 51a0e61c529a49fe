/*
 * chunks — MoRA's decoupling and rotation (Jiang et al. 2024, eq. 8-11): the input of a linear
 * layer w[d,k] is cut into chunks of r_hat elements, every chunk goes through the same square
 * matrix M[r_hat,r_hat], and their results stand one behind the other.
 *
 *     n_in = ceil(k / r_hat); x is filled up to n_in r_hat with its own first elements (or zeros)
 *     and cut into c_0 … c_{n_in - 1};  a_i = R_i c_i;  y_hat = [M a_0, M a_1, …]
 *     y_o = y_hat_{o mod P},  P = n_in r_hat: cut off at d, or repeated up to it
 *
 * decoupling: R_i is the identity. rotation: R_i turns pairs of elements by the angles i theta_j,
 * theta_j = 10000^(-2j / r_hat), so r_hat is even:
 *
 *     HALF         pair (j, j + r_hat/2)   as the authors' code has it
 *     INTERLEAVED  pair (2j, 2j + 1)       as their paper has it
 *     a_first = c_first cos - c_second sin,  a_second = c_second cos + c_first sin
 *
 * With n_out = ceil(d / r_hat), chunks from n_out on would be cut off, and are not computed. With
 * fold (ours) they are added to those that are not: result j is M times the sum of a_i over
 * i mod n_out = j, so every input is read. Of n_used chunks,
 *
 *     comp      z[N,n_used,r_hat] <- x[N,k]:   z_j = a_j (with fold: the sum of a_i)
 *     decomp_t  u[N,n_used,r_hat] <- dy[N,d]:  u_j = sum of dy_o over the o that M a_j goes to
 *     dM[r_hat,r_hat] += u^T z over all N n_used rows
 *
 * 1 <= r_hat <= min(d,k).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/ops/dtype.h"

struct backend;

enum chunks_turn { CHUNKS_TURN_NONE, CHUNKS_TURN_HALF, CHUNKS_TURN_INTERLEAVED };

struct chunks {
    int64_t d, k, r_hat;
    enum chunks_turn turn;
    bool zero_pad;
    bool fold;
    const float *cosine; /* [n_in, r_hat/2] of the angles; NULL without turns */
    const float *sine;
};

int64_t chunks_in(const struct chunks *chunks);   /* n_in */
int64_t chunks_out(const struct chunks *chunks);  /* n_out */
int64_t chunks_used(const struct chunks *chunks); /* n_used */

/* The tables of chunks.cosine and .sine. */
void chunks_angles(float *cosine, float *sine, int64_t n_in, int64_t r_hat);

/* Rows of x and dy are a stride apart, in elements. z is dense; the chunks of u are u_stride apart.
 * All are operands of one type; angles and sums are in fp32. Outputs are overwritten. */
typedef void chunks_comp_fn(struct backend *backend, void *z, const void *x,
                            const struct chunks *chunks, int64_t N, int64_t stride,
                            enum dtype type);
typedef void chunks_decomp_t_fn(struct backend *backend, void *u, const void *dy,
                                const struct chunks *chunks, int64_t N, int64_t stride,
                                int64_t u_stride, enum dtype type);

/* w[d,k] = w0 + the expansion of T = fl(S + M); sum or adapter may be NULL, not both. Every
 * operation rounds by itself, so a merge (S := T, M := 0) leaves every bit. w may be w0. */
typedef void chunks_weight_fn(struct backend *backend, float *w, const float *w0, const float *sum,
                              const float *adapter, const struct chunks *chunks);

/* e[d,k] <- M. scratch[r_hat] */
void chunks_expand_ref(double *e, double *scratch, const double *m, const struct chunks *chunks);

/* y[N,d] += what the operator gives for x[N,k]. scratch[2 r_hat] */
void chunks_side_forward_ref(double *y, double *scratch, const double *x, const double *m,
                             const struct chunks *chunks, int64_t N);
/* dm[r_hat,r_hat] and dx[N,k] are added to. scratch[4 r_hat] */
void chunks_side_backward_ref(double *dx, double *dm, double *scratch, const double *dy,
                              const double *x, const double *m, const struct chunks *chunks,
                              int64_t N);
