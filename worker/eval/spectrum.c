#include "worker/eval/spectrum.h"

#include <assert.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

#include "proto/base/rng.h"
#include "proto/base/sys.h"

/* Relative to what is compared; rounding in double leaves about n * 1e-16. */
#define TOLERANCE 1e-9
/* A wrong decomposition that passes for one random vector is a matter of luck; for all, of a
 * miracle. */
#define PROBES 3

static enum status wrong(struct error *err, const char *what, double distance)
{
    (void)error_set(err, STATUS_CORRUPT,
                    "LAPACK's decomposition is wrong: %s by %.3g, and %.0e is allowed", what,
                    distance, TOLERANCE);
    error_set_hint(err,
                   "its kernels may not suit this processor: install another libblas3 or "
                   "liblapack3 (update-alternatives --config liblapack.so.3-x86_64-linux-gnu)");
    return STATUS_CORRUPT;
}

static double norm(const double *x, int64_t n)
{
    double squares = 0.0;

    for (int64_t i = 0; i < n; i++) {
        squares += x[i] * x[i];
    }
    return sqrt(squares);
}

/* y[rows] <- m[rows,columns] x, stored column by column. */
static void multiply(double *y, const double *m, const double *x, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++) {
        y[i] = 0.0;
    }
    for (int64_t j = 0; j < columns; j++) {
        for (int64_t i = 0; i < rows; i++) {
            y[i] += m[j * rows + i] * x[j];
        }
    }
}

static void draw(double *x, int64_t n, int64_t probe)
{
    const uint64_t stream = rng_stream(RNG_PURPOSE_PROBE, 0, (uint32_t)probe);

    for (int64_t i = 0; i < n; i++) {
        x[i] = rng_normal(0, stream, (uint64_t)i);
    }
}

static enum status verify_values(const struct spectrum_factors *f, int64_t n, double a_norm,
                                 struct error *err)
{
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(f->sigma[i]) || f->sigma[i] < 0.0 ||
            (i > 0 && f->sigma[i] > f->sigma[i - 1])) {
            return error_set(err, STATUS_CORRUPT,
                             "LAPACK's decomposition is wrong: singular value %lld is %g",
                             (long long)i, f->sigma[i]);
        }
    }
    const double distance = fabs(norm(f->sigma, n) - a_norm);
    return distance <= TOLERANCE * a_norm
               ? STATUS_OK
               : wrong(err, "the matrix's norm is missed", distance / a_norm);
}

/* One random vector through a, and through the factors. memory has room for 2 rows + columns + n.
 */
static enum status verify_probe(const struct spectrum_factors *f, int64_t n, double a_norm,
                                int64_t probe, double *memory, struct error *err)
{
    double *direct = memory;
    double *factored = direct + f->rows;
    double *x = factored + f->rows;
    double *inner = x + f->columns;

    draw(x, f->columns, probe);
    multiply(direct, f->a, x, f->rows, f->columns);
    multiply(inner, f->vt, x, n, f->columns);
    for (int64_t i = 0; i < n; i++) {
        inner[i] *= f->sigma[i];
    }
    multiply(factored, f->u, inner, f->rows, n);
    for (int64_t i = 0; i < f->rows; i++) {
        factored[i] -= direct[i];
    }
    const double residual = norm(factored, f->rows) / (a_norm * norm(x, f->columns));
    if (!(residual <= TOLERANCE)) {
        return wrong(err, "the factors miss the matrix", residual);
    }
    /* |U z| = |z| and |V z| = |z| for an orthonormal U and V. */
    draw(inner, n, PROBES + probe);
    multiply(factored, f->u, inner, f->rows, n);
    for (int64_t j = 0; j < f->columns; j++) {
        x[j] = 0.0;
        for (int64_t i = 0; i < n; i++) {
            x[j] += f->vt[j * n + i] * inner[i];
        }
    }
    const double z_norm = norm(inner, n);
    const double skew =
        fabs(norm(factored, f->rows) / z_norm - 1.0) + fabs(norm(x, f->columns) / z_norm - 1.0);
    return skew <= TOLERANCE ? STATUS_OK : wrong(err, "the factors are not orthonormal", skew);
}

enum status spectrum_verify(const struct spectrum_factors *factors, struct error *err)
{
    const int64_t n = factors->rows < factors->columns ? factors->rows : factors->columns;
    const double a_norm = norm(factors->a, factors->rows * factors->columns);

    enum status status = verify_values(factors, n, a_norm, err);
    if (status || a_norm == 0.0) {
        return status;
    }
    double *memory = sys_calloc((size_t)(2 * factors->rows + factors->columns + n), sizeof *memory);
    if (memory == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory to verify a decomposition");
    }
    for (int64_t probe = 0; probe < PROBES && !status; probe++) {
        status = verify_probe(factors, n, a_norm, probe, memory, err);
    }
    free(memory);
    return status;
}

enum status spectrum_verify_eigenvalues(const double *eigenvalues, const double *gram, int64_t n,
                                        struct error *err)
{
    double trace = 0.0;
    double sum = 0.0;

    for (int64_t i = 0; i < n; i++) {
        trace += gram[i * n + i];
        sum += eigenvalues[i];
    }
    const double size = norm(gram, n * n);
    const double distance = fabs(trace - sum) + fabs(size - norm(eigenvalues, n));
    return distance <= TOLERANCE * size ? STATUS_OK
                                        : wrong(err, "the eigenvalues miss their sums",
                                                size > 0.0 ? distance / size : distance);
}

int64_t spectrum_count(const double *sigma, int64_t count, double threshold)
{
    int64_t above = 0;

    for (int64_t i = 0; i < count; i++) {
        above += sigma[i] > threshold;
    }
    return above;
}

/* Our rows are LAPACK's columns: what is decomposed is the transpose, with the same values. */
enum status spectrum_exact(double *sigma, const float *a, int64_t d, int64_t k, struct error *err)
{
    const int64_t n = d < k ? d : k;
    double *memory = sys_malloc((size_t)(2 * d * k + (d + k) * n) * sizeof *memory);

    assert(d >= 1 && k >= 1 && d <= INT32_MAX && k <= INT32_MAX);
    if (memory == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the spectrum of %lld × %lld",
                         (long long)d, (long long)k);
    }
    double *copy = memory + d * k; /* LAPACK overwrites it */
    double *u = copy + d * k;
    double *vt = u + k * n;
    for (int64_t i = 0; i < d * k; i++) {
        memory[i] = (double)a[i];
        copy[i] = memory[i];
    }
    const lapack_int info =
        LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', (lapack_int)k, (lapack_int)d, copy, (lapack_int)k,
                       sigma, u, (lapack_int)k, vt, (lapack_int)n);
    enum status status = STATUS_OK;
    if (info != 0) {
        status = error_set(err, STATUS_CORRUPT, "LAPACK's dgesdd gives up with %lld on %lld × %lld",
                           (long long)info, (long long)d, (long long)k);
    } else {
        const struct spectrum_factors factors = {
            .rows = k, .columns = d, .a = memory, .u = u, .sigma = sigma, .vt = vt};
        status = spectrum_verify(&factors, err);
    }
    free(memory);
    return status;
}
