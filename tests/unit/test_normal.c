/* Numbers are those of the formula, normally distributed, and the same at every level. */
#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/ops.h"

static const int64_t counts[] = {0, 1, 3, 63, 64, 65, 100003};

static void run_fill(struct ops_run *run, const void *context)
{
    const int64_t n = *(const int64_t *)context;
    const uint64_t stream = rng_stream(RNG_PURPOSE_TEST, 3, 4);
    struct ops_tensor z = ops_output(run, n);

    run->backend->op->fill_normal(run->backend, z.fast, n, 0.5f, 17, stream);
    for (int64_t i = 0; i < n; i++) {
        z.ref[i] = 0.5 * normal_ref(17, stream, (uint64_t)i);
        assert_true(fabs((double)z.fast[i] - z.ref[i]) < 5e-6);
    }
    ops_check(run, &z, 1e-6);
}

static void numbers_are_those_of_the_formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        ops_walk(run_fill, &counts[i]);
    }
}

static void levels_give_the_same_bits(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    float expected[COUNT];
    for (int level = 0; level <= (int)cpu_level_detect(); level++) {
        struct backend *backend = NULL;
        struct error err;
        float z[COUNT];
        assert_ok(backend_cpu_create_at(&backend, 1, (enum cpu_level)level, &err), &err);
        backend->op->fill_normal(backend, z, COUNT, 1.0f, 1, 2);
        backend_destroy(backend);
        if (level == 0) {
            memcpy(expected, z, sizeof z);
        }
        assert_memory_equal(z, expected, sizeof z);
    }
}

/* Mean, variance, skewness and kurtosis within five standard errors; the share beyond 1 and 3. */
static void numbers_are_normal(void **state)
{
    (void)state;
    enum { COUNT = 1 << 20 };
    struct backend *backend = NULL;
    struct error err;
    double moment[5] = {0};
    double beyond[2] = {0};
    float *z = calloc(COUNT, sizeof *z);
    assert_ok(backend_cpu_create(&backend, 2, &err), &err);
    backend->op->fill_normal(backend, z, COUNT, 1.0f, 5, 6);
    for (int64_t i = 0; i < COUNT; i++) {
        double power = 1.0 / COUNT;
        for (int k = 1; k <= 4; k++) {
            power *= (double)z[i];
            moment[k] += power;
        }
        beyond[0] += (fabsf(z[i]) > 1.0f) / (double)COUNT;
        beyond[1] += (fabsf(z[i]) > 3.0f) / (double)COUNT;
    }
    const double error = 5.0 / 1024.0; /* five times 1 / sqrt(COUNT) */
    assert_true(fabs(moment[1]) < error);
    assert_true(fabs(moment[2] - 1.0) < error * sqrt(2.0));
    assert_true(fabs(moment[3]) < error * sqrt(15.0));
    assert_true(fabs(moment[4] - 3.0) < error * sqrt(96.0));
    assert_true(fabs(beyond[0] - 0.3173105) < error * 0.47);
    assert_true(fabs(beyond[1] - 0.0026998) < error * 0.052);
    backend_destroy(backend);
    free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_formula),
        cmocka_unit_test(levels_give_the_same_bits),
        cmocka_unit_test(numbers_are_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
