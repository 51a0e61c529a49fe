#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/ops.h"

struct selection {
    int64_t n, keep;
    double step; /* values are rounded to multiples of it, so that many are equal; 0: none are */
};

static void run_selection(struct ops_run *run, const void *context)
{
    const struct selection *s = context;
    struct ops_tensor first = ops_input(run, s->n, 1.0);
    struct ops_tensor second = ops_input(run, s->n, 1.0);
    double *scratch = calloc((size_t)s->n, sizeof *scratch);
    int64_t left = 0;

    for (int64_t e = 0; e < s->n && s->step > 0.0; e++) {
        first.ref[e] = s->step * round(first.ref[e] / s->step);
        first.fast[e] = (float)first.ref[e];
    }
    run->backend->op->moments_keep_largest(run->backend, first.fast, second.fast, s->n, s->keep);
    for (int64_t e = 0; e < s->n; e++) {
        left += second.fast[e] != 0.0f; /* no second moment was zero */
    }
    assert_int_equal(left, s->keep);
    if (run->is_compared) {
        moments_keep_largest_ref(first.ref, second.ref, scratch, s->n, s->keep);
        for (int64_t e = 0; e < s->n; e++) {
            assert_true((double)first.fast[e] == first.ref[e]);
            assert_true((double)second.fast[e] == second.ref[e]);
        }
    }
    free(scratch);
    ops_free(&first);
    ops_free(&second);
}

static void the_largest_are_kept_exactly_whatever_the_ties(void **state)
{
    (void)state;
    static const struct selection cases[] = {
        {1, 0, 0.0},    {1, 1, 0.0},      {7, 3, 0.0},    {1000, 100, 0.0}, {1000, 1000, 0.0},
        {1000, 0, 0.0}, {3001, 301, 0.5}, {3001, 1, 0.5}, {50, 5, 1e9}, /* all are zero */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ops_walk(run_selection, &cases[i]);
    }
}

static void of_equal_moments_the_first_are_kept(void **state)
{
    (void)state;
    struct error err = {0};
    struct backend *backend = NULL;
    float first[10];
    float second[10];

    assert_ok(backend_cpu_create(&backend, 2, &err), &err);
    for (int e = 0; e < 10; e++) {
        first[e] = e % 2 == 0 ? -0.25f : 0.25f;
        second[e] = 1.0f;
    }
    backend->op->moments_keep_largest(backend, first, second, 10, 3);
    for (int e = 0; e < 10; e++) {
        assert_true((second[e] == 1.0f) == (e < 3));
        assert_true((first[e] != 0.0f) == (e < 3));
    }
    backend_destroy(backend);
}

static void run_random(struct ops_run *run, const void *context)
{
    const double ratio = *(const double *)context;
    const int64_t n = 70000; /* more than one thread takes */
    const uint64_t stream = rng_stream(RNG_PURPOSE_TEST, 7, 8);
    struct ops_tensor first = ops_input(run, n, 1.0);
    struct ops_tensor second = ops_input(run, n, 1.0);
    int64_t zeroed = 0;

    for (int64_t e = 0; e < n; e++) { /* none that is zero already */
        first.fast[e] = (float)(e % 7 + 1);
        first.ref[e] = (double)first.fast[e];
        second.fast[e] = (float)(e % 5 + 1);
        second.ref[e] = (double)second.fast[e];
    }
    run->backend->op->moments_keep_random(run->backend, first.fast, second.fast, n, ratio, 5,
                                          stream);
    for (int64_t e = 0; e < n; e++) {
        zeroed += first.fast[e] == 0.0f;
        assert_true((first.fast[e] == 0.0f) == (second.fast[e] == 0.0f)); /* one mask */
    }
    assert_true(fabs((double)zeroed - ratio * (double)n) <=
                5.0 * sqrt(ratio * (1.0 - ratio) * (double)n));
    moments_keep_random_ref(first.ref, second.ref, n, ratio, 5, stream);
    if (ratio < 1.0) {
        ops_check(run, &first, 0.0);
        ops_check(run, &second, 0.0);
    } else {
        ops_free(&first);
        ops_free(&second);
    }
}

static void a_random_mask_is_one_for_both_moments(void **state)
{
    (void)state;
    static const double ratios[] = {0.0, 0.3, 0.999, 1.0};
    for (size_t i = 0; i < sizeof ratios / sizeof ratios[0]; i++) {
        ops_walk(run_random, &ratios[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_are_kept_exactly_whatever_the_ties),
        cmocka_unit_test(of_equal_moments_the_first_are_kept),
        cmocka_unit_test(a_random_mask_is_one_for_both_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
