/*
 * spectrum — singular values of what was learnt, ΔW = W − W0 of a linear layer.
 *
 * How many of them are above 0.1 is what Jiang et al. 2024, figure 5, compare methods by. Exact
 * values come from LAPACK (dgesdd), in double. Whose LAPACK that is, and which of its kernels run
 * on this processor, is not ours to choose, so no result is believed: the factors are multiplied
 * out against random vectors by our own loops, and a decomposition that is none is STATUS_CORRUPT.
 *
 * For use while training there is the count alone, from a randomised range finder (Halko,
 * Martinsson & Tropp 2011, algorithms 4.3 and 5.1): a sketch of l rows Q^T W, grown until what it
 * leaves out, W - Q Q^T W, has no singular value above half the threshold.
 *
 * Threads: any; the sketch computes with the backend's threads.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"

struct backend;

/* Singular values above it are counted. */
#define SPECTRUM_THRESHOLD 0.1

/* sigma[min(d,k)] <- the singular values of a[d,k], the largest first. */
MUST_USE enum status spectrum_exact(double *sigma, const float *a, int64_t d, int64_t k,
                                    struct error *err);

/* How many of sigma[count] are above threshold. */
int64_t spectrum_count(const double *sigma, int64_t count, double threshold);

/* The same of a[d,k] by a sketch. All values above 1.12 thresholds are counted, and none below 1;
 * those in between nearly always, too. Where a sketch of half the shorter side is not enough, the
 * count is exact. */
MUST_USE enum status spectrum_count_sketched(int64_t *out, struct backend *backend, const float *a,
                                             int64_t d, int64_t k, double threshold, uint64_t seed,
                                             struct error *err);

/* a[rows,columns] = u[rows,n] diag(sigma[n]) vt[n,columns], n = min(rows, columns), as LAPACK has
 * them: column by column. */
struct spectrum_factors {
    int64_t rows;
    int64_t columns;
    const double *a;
    const double *u;
    const double *sigma;
    const double *vt;
};

/* STATUS_CORRUPT, saying by how much, where that does not hold, u or vt are not orthonormal or
 * sigma does not fall. */
MUST_USE enum status spectrum_verify(const struct spectrum_factors *factors, struct error *err);

/* The same for eigenvalues[n] of the symmetric gram[n,n]: their sum and that of their squares. */
MUST_USE enum status spectrum_verify_eigenvalues(const double *eigenvalues, const double *gram,
                                                 int64_t n, struct error *err);
