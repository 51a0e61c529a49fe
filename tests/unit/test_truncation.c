#include <math.h>

#include "tests/support/ops.h"

/* Worked out from the definitions, with M = 1, 2, 3, … row by row. */
static void published_vectors_come_out(void **state)
{
    (void)state;
    static const struct {
        int64_t d, k;
        double x[6], y[6], dy[6], dx[6];
    } cases[] = {
        {4, 6, {1, 2, 3, 4, 5, 6}, {30, 70, 110, 150}, {1, -1, 2, 0.5}, {20.5, 23, 25.5, 28, 0, 0}},
        {6, 4, {1, 2, 3, 4}, {30, 70, 110, 150, 0, 0}, {1, -1, 2, 0.5, 0, 3}, {20.5, 23, 25.5, 28}},
    };
    double m[16];
    for (int i = 0; i < 16; i++) {
        m[i] = i + 1;
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double y[6] = {0};
        double dx[6] = {0};
        double dm[16] = {0};
        truncation_side_forward_ref(y, cases[i].x, m, 1, cases[i].d, cases[i].k, 4);
        assert_memory_equal(y, cases[i].y, (size_t)cases[i].d * sizeof *y);
        truncation_side_backward_ref(dx, dm, cases[i].dy, cases[i].x, m, 1, cases[i].d, cases[i].k,
                                     4);
        assert_memory_equal(dx, cases[i].dx, (size_t)cases[i].k * sizeof *dx);
        for (int at = 0; at < 16; at++) {
            assert_true(dm[at] == cases[i].dy[at / 4] * cases[i].x[at % 4]);
        }
    }
}

static const int64_t sizes[][3] = {{1, 1, 1}, {5, 7, 3}, {7, 5, 5}, {33, 65, 17}, {200, 128, 128}};

static void the_reference_is_adjoint_and_agrees_with_the_expansion(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int64_t d = sizes[i][0];
        const int64_t k = sizes[i][1];
        const int64_t r_hat = sizes[i][2];
        double *x = ops_random(1, k, 1.0);
        double *dy = ops_random(2, d, 1.0);
        double *m = ops_random(3, r_hat * r_hat, 1.0);
        double *e = ops_random(4, d * k, 1.0);
        double *y = calloc((size_t)d, sizeof *y);
        double *dm = calloc((size_t)(r_hat * r_hat), sizeof *dm);
        double *dx = calloc((size_t)k, sizeof *dx);

        truncation_side_forward_ref(y, x, m, 1, d, k, r_hat);
        truncation_expand_ref(e, m, d, k, r_hat);
        for (int64_t o = 0; o < d; o++) {
            assert_true(fabs(y[o] - ops_dot(e + o * k, x, k)) <= 1e-10);
        }
        truncation_side_backward_ref(dx, dm, dy, x, m, 1, d, k, r_hat);
        const double value = ops_dot(dy, y, d);
        assert_true(fabs(ops_dot(dm, m, r_hat * r_hat) - value) <= 1e-9 * (1 + fabs(value)));
        assert_true(fabs(ops_dot(dx, x, k) - value) <= 1e-9 * (1 + fabs(value)));
        free(x);
        free(dy);
        free(m);
        free(e);
        free(y);
        free(dm);
        free(dx);
    }
}

static void run_weight(struct ops_run *run, const void *context)
{
    const int64_t *size = context;
    const int64_t d = size[0];
    const int64_t k = size[1];
    const int64_t r_hat = size[2];
    const struct backend_table *op = run->backend->op;
    struct ops_tensor w0 = ops_input(run, d * k, 1.0);
    struct ops_tensor sum = ops_input(run, r_hat * r_hat, 0.5);
    struct ops_tensor adapter = ops_input(run, r_hat * r_hat, 0.5);
    struct ops_tensor alone = ops_output(run, d * k);
    struct ops_tensor both = ops_output(run, d * k);
    float *before = malloc((size_t)(d * k) * sizeof *before);
    double *t = calloc((size_t)(r_hat * r_hat), sizeof *t);

    op->truncation_weight(run->backend, alone.fast, w0.fast, NULL, adapter.fast, d, k, r_hat);
    op->truncation_weight(run->backend, both.fast, w0.fast, sum.fast, adapter.fast, d, k, r_hat);
    memcpy(before, both.fast, (size_t)(d * k) * sizeof *before);
    truncation_expand_ref(alone.ref, adapter.ref, d, k, r_hat);
    for (int64_t i = 0; i < r_hat * r_hat; i++) {
        t[i] = sum.ref[i] + adapter.ref[i];
    }
    truncation_expand_ref(both.ref, t, d, k, r_hat);
    for (int64_t i = 0; i < d * k; i++) {
        alone.ref[i] += w0.ref[i];
        both.ref[i] += w0.ref[i];
    }
    ops_check(run, &alone, 1e-6);
    ops_check(run, &both, 1e-6);

    op->add(run->backend, sum.fast, sum.fast, adapter.fast, r_hat * r_hat);
    op->zero(run->backend, adapter.fast, r_hat * r_hat);
    op->truncation_weight(run->backend, w0.fast, w0.fast, sum.fast, adapter.fast, d, k, r_hat);
    assert_memory_equal(before, w0.fast, (size_t)(d * k) * sizeof *before);
    free(before);
    free(t);
    ops_free(&w0);
    ops_free(&sum);
    ops_free(&adapter);
}

static void weights_agree_with_the_reference_and_across_a_merge(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ops_walk(run_weight, sizes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_come_out),
        cmocka_unit_test(the_reference_is_adjoint_and_agrees_with_the_expansion),
        cmocka_unit_test(weights_agree_with_the_reference_and_across_a_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
