/*
 * draw — random matrices that adapters start with. Element e is a function of (seed, stream, e),
 * whatever the number of threads.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"

/* Uniform in [-bound, bound). */
void draw_uniform(float *out, int64_t count, double bound, uint64_t seed, uint64_t stream);

/* Standard normal. */
void draw_normal(float *out, int64_t count, uint64_t seed, uint64_t stream);

/* out[r,k], r <= k, with orthonormal rows: the rows of a standard normal matrix made orthonormal
 * from the first on, which is uniform over all such matrices (the Q^T of the QR factorisation of a
 * Gaussian k × r matrix with a positive diagonal of R). */
MUST_USE enum status draw_orthonormal_rows(float *out, int64_t r, int64_t k, uint64_t seed,
                                           uint64_t stream, struct error *err);
