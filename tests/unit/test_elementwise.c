#include <math.h>

#include "tests/support/ops.h"

enum { BLOCK = ELEMENTWISE_BLOCK };
static const int64_t counts[] = {0,     1,         15,        17,           BLOCK - 1,
                                 BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 3};

static void run_all(struct ops_run *run, const void *context)
{
    const int64_t n = *(const int64_t *)context;
    const struct backend_table *op = run->backend->op;
    struct ops_tensor a = ops_input(run, n, 1.0);
    struct ops_tensor b = ops_input(run, n, 1.0);
    struct ops_tensor sum = ops_output(run, n);
    struct ops_tensor zeros = ops_input(run, n, 1.0);
    double squares[2] = {-1.0, -1.0};
    int64_t nonzero = -1;

    op->add(run->backend, sum.fast, a.fast, b.fast, n);
    op->scale(run->backend, a.fast, -0.25f, n);
    op->zero(run->backend, zeros.fast, n);
    op->sum_squares(run->backend, squares, b.fast, n);
    op->count_nonzero(run->backend, &nonzero, b.fast, n);
    for (int64_t i = 0; i < n; i++) {
        sum.ref[i] = a.ref[i] + b.ref[i];
        a.ref[i] *= -0.25;
        zeros.ref[i] = 0.0;
        nonzero -= b.ref[i] != 0.0;
    }
    assert_int_equal(nonzero, 0);
    op->count_nonzero(run->backend, &nonzero, zeros.fast, n);
    assert_int_equal(nonzero, 0);
    squares[1] = sum_squares_ref(b.ref, n);
    assert_true(fabs(squares[0] - squares[1]) <= 1e-13 * squares[1]);
    /* The sum's own bits are part of what must not depend on threads. */
    run->hash ^= (uint64_t)(squares[0] * 1e12);
    op->add(run->backend, b.fast, b.fast, b.fast, n);
    for (int64_t i = 0; i < n; i++) {
        b.ref[i] *= 2.0;
    }
    ops_check(run, &sum, 1e-7);
    ops_check(run, &a, 0.0);
    ops_check(run, &b, 0.0);
    ops_check(run, &zeros, 0.0);
}

static void operations_agree_with_plain_loops(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        ops_walk(run_all, &counts[i]);
    }
}

static void run_odd_values(struct ops_run *run, const void *context)
{
    (void)context;
    const float values[] = {0.0f, -0.0f, 1e-45f, NAN, INFINITY, 3e38f};
    int64_t nonzero = -1;
    double squares = 0.0;
    run->backend->op->count_nonzero(run->backend, &nonzero, values, 6);
    assert_int_equal(nonzero, 4);
    run->backend->op->sum_squares(run->backend, &squares, values + 5, 1);
    assert_true(fabs(squares - 9e76) < 1e70); /* beyond fp32 */
    run->backend->op->sum_squares(run->backend, &squares, values, 6);
    assert_true(isnan(squares));
}

static void odd_values_are_counted_and_summed(void **state)
{
    (void)state;
    ops_walk(run_odd_values, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_agree_with_plain_loops),
        cmocka_unit_test(odd_values_are_counted_and_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
