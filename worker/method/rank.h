/*
 * rank — the numerical rank of a matrix from a sketch of it (Halko, Martinsson & Tropp 2011, §4).
 *
 * With a random Gaussian Ω [k,p], Y = A Ω has the rank of A [d,k], or p where that is less; so an
 * estimate that reaches p says "at least p". Sketches of sums are sums of sketches.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"

/* The most columns of a sketch: bounds memory (columns × d floats) and time (columns² × d). */
#define RANK_SKETCH_COLUMNS_MAX 1024
/* Singular values below this share of the largest one do not count: noise of fp32 is some 1e-6. */
#define RANK_TOLERANCE 1e-3

/* p for a d × k matrix: the smaller side, at most RANK_SKETCH_COLUMNS_MAX. */
int64_t rank_sketch_columns(int64_t d, int64_t k);

/*
 * How many pivots of Yᵀ Y, factored by Cholesky with pivoting in double, are above RANK_TOLERANCE²
 * of the largest: about the number of Y's singular values above RANK_TOLERANCE of the largest. 0
 * for zeros. The same for any number of threads.
 */
MUST_USE enum status rank_of_sketch(int64_t *out, const float *y, int64_t d, int64_t p,
                                    struct error *err);
