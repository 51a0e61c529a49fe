#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/test.h"
#include "worker/eval/spectrum.h"
#include "worker/ops/backend.h"

/* x <- (I - 2 v v^T / v^T v) x for every column of a[d,k], or with by_row for every row. */
static void reflect(double *a, int64_t d, int64_t k, bool by_row, uint64_t seed)
{
    const int64_t n = by_row ? k : d;
    const int64_t step = by_row ? 1 : k;
    double *v = malloc((size_t)n * sizeof *v);
    double squares = 0.0;

    for (int64_t i = 0; i < n; i++) {
        v[i] = rng_normal(seed, rng_stream(RNG_PURPOSE_TEST, 1, 0), (uint64_t)i);
        squares += v[i] * v[i];
    }
    for (int64_t c = 0; c < (by_row ? d : k); c++) {
        double *x = a + (by_row ? c * k : c);
        double share = 0.0;
        for (int64_t i = 0; i < n; i++) {
            share += v[i] * x[i * step];
        }
        for (int64_t i = 0; i < n; i++) {
            x[i * step] -= 2.0 * share / squares * v[i];
        }
    }
    free(v);
}

/* A matrix with these singular values: a diagonal one between random reflections. */
static float *matrix_with(const double *sigma, int64_t d, int64_t k, uint64_t seed)
{
    const int64_t n = d < k ? d : k;
    double *a = calloc((size_t)(d * k), sizeof *a);
    float *out = malloc((size_t)(d * k) * sizeof *out);

    for (int64_t i = 0; i < n; i++) {
        a[i * k + i] = sigma[i];
    }
    for (uint64_t r = 0; r < 3; r++) {
        reflect(a, d, k, false, seed + 2 * r);
        reflect(a, d, k, true, seed + 2 * r + 1);
    }
    for (int64_t i = 0; i < d * k; i++) {
        out[i] = (float)a[i];
    }
    free(a);
    return out;
}

static void singular_values_are_those_that_a_matrix_was_made_of(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {1, 7}, {5, 1}, {16, 16}, {33, 17}, {20, 61}};
    (void)state;

    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        const int64_t d = shapes[s][0];
        const int64_t k = shapes[s][1];
        const int64_t n = d < k ? d : k;
        double made_of[64];
        double sigma[64];
        struct error err = {0};
        for (int64_t i = 0; i < n; i++) {
            made_of[i] = 3.0 / (double)(1 + i);
        }
        float *a = matrix_with(made_of, d, k, 5);
        assert_ok(spectrum_exact(sigma, a, d, k, &err), &err);
        for (int64_t i = 0; i < n; i++) {
            assert_true(fabs(sigma[i] - made_of[i]) < 1e-5);
        }
        assert_int_equal(spectrum_count(sigma, n, 0.15), n < 19 ? n : 19);
        free(a);
    }
}

static void a_matrix_of_zeros_has_none(void **state)
{
    const float a[12] = {0.0F};
    double sigma[3];
    struct error err = {0};
    (void)state;

    assert_ok(spectrum_exact(sigma, a, 3, 4, &err), &err);
    assert_int_equal(spectrum_count(sigma, 3, 0.0), 0);
}

/* What a library whose kernels are wrong on this processor gives. */
static void a_wrong_decomposition_is_refused(void **state)
{
    /* The identity, with one thing wrong each time. */
    static const struct {
        double u[4], sigma[2], vt[4];
        const char *message; /* NULL: nothing is wrong */
    } cases[] = {
        {{1, 0, 0, 1}, {1, 1}, {1, 0, 0, 1}, NULL},
        {{0, 1, 1, 0}, {1, 1}, {0, 1, 1, 0}, NULL},
        {{1, 0, 0, 1}, {1, 1 + 1e-6}, {1, 0, 0, 1}, "singular value 1"},
        {{1, 0, 0, 1}, {1, 0.5}, {1, 0, 0, 1}, "norm"},
        {{1, 0, 0, 1}, {1, -1}, {1, 0, 0, 1}, "singular value 1 is -1"},
        {{1, 0, 0, 1}, {(double)NAN, 1}, {1, 0, 0, 1}, "singular value 0 is"},
        {{1, 0, 0, -1}, {1, 1}, {1, 0, 0, 1}, "miss the matrix"},
        {{2, 0, 0, 1}, {1, 1}, {0.5, 0, 0, 1}, "orthonormal"},
    };
    const double identity[4] = {1, 0, 0, 1};
    (void)state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct spectrum_factors factors = {.rows = 2,
                                                 .columns = 2,
                                                 .a = identity,
                                                 .u = cases[i].u,
                                                 .sigma = cases[i].sigma,
                                                 .vt = cases[i].vt};
        struct error err = {0};
        const enum status status = spectrum_verify(&factors, &err);
        if (cases[i].message == NULL) {
            assert_ok(status, &err);
        } else {
            assert_int_equal(status, STATUS_CORRUPT);
            assert_contains(err.message, cases[i].message);
        }
    }
    struct error err = {0};
    const double gram[4] = {2, 1, 1, 2};
    assert_ok(spectrum_verify_eigenvalues((const double[]){1, 3}, gram, 2, &err), &err);
    assert_int_equal(spectrum_verify_eigenvalues((const double[]){1, 3.1}, gram, 2, &err),
                     STATUS_CORRUPT);
    assert_int_equal(spectrum_verify_eigenvalues((const double[]){2, 2}, gram, 2, &err),
                     STATUS_CORRUPT);
}

static int64_t sketched(struct backend *backend, const double *made_of, int64_t d, int64_t k)
{
    float *a = matrix_with(made_of, d, k, 11);
    int64_t count = -1;
    struct error err = {0};

    assert_ok(spectrum_count_sketched(&count, backend, a, d, k, 0.1, 3, &err), &err);
    free(a);
    return count;
}

static void a_sketch_counts_what_the_exact_values_do(void **state)
{
    enum { D = 300, K = 420 };
    struct backend *backend = NULL;
    double sigma[D];
    struct error err = {0};
    (void)state;

    assert_ok(backend_cpu_create(&backend, 2, &err), &err);
    for (int64_t rank = 0; rank <= D; rank += rank < 60 ? 20 : 60) {
        /* Of that matrix rank, all above: what a sharing adapter gives. */
        for (int64_t i = 0; i < D; i++) {
            sigma[i] = i < rank ? 2.0 - (double)i / D : 0.0;
        }
        assert_int_equal(sketched(backend, sigma, D, K), rank);
        assert_int_equal(sketched(backend, sigma, K, D), rank);
    }
    /* Of full rank and falling: 0.1 is passed after 10, 35, 70, 138 and 300 values. */
    static const double rates[] = {0.30, 0.085, 0.0426, 0.0217, 0.005};
    for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        int64_t expected = 0;
        for (int64_t i = 0; i < D; i++) {
            sigma[i] = 2.0 * exp(-rates[r] * ((double)i + 0.5));
            expected += sigma[i] > 0.1;
        }
        assert_int_equal(sketched(backend, sigma, D, K), expected);
    }
    /* Hardly falling, many near the threshold: no sketch is enough. */
    int64_t expected = 0;
    for (int64_t i = 0; i < D; i++) {
        sigma[i] = 0.10405 - 0.0001 * (double)i;
        expected += sigma[i] > 0.1;
    }
    assert_int_equal(sketched(backend, sigma, D, K), expected);
    backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(singular_values_are_those_that_a_matrix_was_made_of),
        cmocka_unit_test(a_matrix_of_zeros_has_none),
        cmocka_unit_test(a_wrong_decomposition_is_refused),
        cmocka_unit_test(a_sketch_counts_what_the_exact_values_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
