#include "worker/method/draw.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "proto/base/rng.h"
#include "proto/base/sys.h"

void draw_uniform(float *out, int64_t count, double bound, uint64_t seed, uint64_t stream)
{
#pragma omp parallel for schedule(static)
    for (int64_t e = 0; e < count; e++) {
        out[e] = (float)(bound * (2.0 * rng_uniform(seed, stream, (uint64_t)e) - 1.0));
    }
}

void draw_normal(float *out, int64_t count, uint64_t seed, uint64_t stream)
{
#pragma omp parallel for schedule(static)
    for (int64_t e = 0; e < count; e++) {
        out[e] = (float)rng_normal(seed, stream, (uint64_t)e);
    }
}

static double dot(const double *a, const double *b, int64_t k)
{
    double sum = 0.0;

    for (int64_t j = 0; j < k; j++) {
        sum += a[j] * b[j];
    }
    return sum;
}

/* Takes from row i its parts along the rows before it, and scales it to length 1. Twice is enough
 * for orthogonality to rounding (Giraud et al. 2005). */
static void orthonormalise_row(double *q, int64_t i, int64_t k)
{
    double *q_i = q + i * k;

    for (int pass = 0; pass < 2; pass++) {
        for (int64_t before = 0; before < i; before++) {
            const double along = dot(q_i, q + before * k, k);
            for (int64_t j = 0; j < k; j++) {
                q_i[j] -= along * q[before * k + j];
            }
        }
    }
    const double length = sqrt(dot(q_i, q_i, k));
    for (int64_t j = 0; j < k; j++) {
        q_i[j] /= length;
    }
}

enum status draw_orthonormal_rows(float *out, int64_t r, int64_t k, uint64_t seed, uint64_t stream,
                                  struct error *err)
{
    assert(r >= 1 && r <= k);
    double *q = sys_calloc((size_t)(r * k), sizeof *q);
    if (q == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for an orthonormal matrix");
    }
    for (int64_t e = 0; e < r * k; e++) {
        q[e] = rng_normal(seed, stream, (uint64_t)e);
    }
    for (int64_t i = 0; i < r; i++) {
        orthonormalise_row(q, i, k);
    }
    for (int64_t e = 0; e < r * k; e++) {
        out[e] = (float)q[e];
    }
    free(q);
    return STATUS_OK;
}
