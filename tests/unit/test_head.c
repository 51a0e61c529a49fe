#include <math.h>

#include "tests/support/ops.h"

struct shape {
    int64_t N, C, V;
};

/* The last takes two chunks, the one before three. */
static const struct shape shapes[] = {{1, 1, 1},    {3, 5, 2},      {7, 16, 33},
                                      {33, 24, 65}, {600, 8, 4000}, {257, 32, 4096}};

static void run_loss(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor x = ops_input(run, s->N * s->C, 1.0);
    struct ops_tensor w = ops_input(run, s->V * s->C, 1.0);
    struct ops_tensor dx = ops_output(run, s->N * s->C);
    struct ops_tensor dw = ops_input(run, s->V * s->C, 1e-3);
    uint32_t *targets = ops_tokens(run, s->N, s->V);
    const double grad_scale = 0.37;
    double loss[3] = {-1.0, -1.0, -1.0};

    run->backend->op->head_loss(run->backend, &loss[0], x.fast, w.fast, targets, s->N, s->C, s->V);
    run->backend->op->head_loss_backward(run->backend, &loss[1], dx.fast, dw.fast, x.fast, w.fast,
                                         targets, (float)grad_scale, s->N, s->C, s->V);
    assert_true(fabs(loss[0] - loss[1]) <= 1e-6 * fabs(loss[0]));
    if (run->is_compared) {
        head_loss_backward_ref(&loss[2], dx.ref, dw.ref, x.ref, w.ref, targets, grad_scale, s->N,
                               s->C, s->V);
        assert_true(fabs(loss[1] - loss[2]) <= 1e-6 * fabs(loss[2]));
    }
    if (s->V > 1) {
        ops_check(run, &dx, 5e-6);
    } else {
        ops_free(&dx); /* the only token is certain: a gradient of zero */
    }
    ops_check(run, &dw, 5e-6);
    ops_free(&x);
    ops_free(&w);
    free(targets);
}

static void loss_and_gradients_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        ops_walk(run_loss, &shapes[i]);
    }
}

/* Logits of ±30000. */
static void run_large_logits(struct ops_run *run, const void *context)
{
    (void)context;
    struct ops_tensor x = ops_input(run, 4, 100.0);
    struct ops_tensor w = ops_input(run, 50, 100.0);
    struct ops_tensor dx = ops_output(run, 4);
    struct ops_tensor dw = ops_input(run, 50, 0.0);
    const uint32_t targets[4] = {0, 49, 7, 7};
    double loss = -1.0;
    double expected = -1.0;
    run->backend->op->head_loss_backward(run->backend, &loss, dx.fast, dw.fast, x.fast, w.fast,
                                         targets, 1.0f, 4, 1, 50);
    head_loss_backward_ref(&expected, dx.ref, dw.ref, x.ref, w.ref, targets, 1.0, 4, 1, 50);
    assert_true(fabs(loss - expected) <= 1e-6 * fabs(expected));
    ops_check(run, &dx, 1e-5);
    ops_check(run, &dw, 1e-5);
    ops_free(&x);
    ops_free(&w);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    ops_walk(run_large_logits, NULL);
}

enum { N = 4, C = 3, V = 6 };
static const uint32_t small_targets[N] = {5, 0, 3, 3};

struct problem {
    double x[N * C], w[V * C];
};

static double loss(void *context)
{
    struct problem *p = context;
    double sum;
    head_loss_ref(&sum, p->x, p->w, small_targets, N, C, V);
    return 0.5 * sum;
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    struct problem p;
    double *values = ops_random(1, N * C + V * C, 1.0);
    double sum;
    double dx[N * C];
    double dw[V * C] = {0};
    memcpy(&p, values, sizeof p);
    head_loss_backward_ref(&sum, dx, dw, p.x, p.w, small_targets, 0.5, N, C, V);
    ops_check_gradient(dx, p.x, N * C, loss, &p, 1e-6);
    ops_check_gradient(dw, p.w, V * C, loss, &p, 1e-6);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradients_agree_with_the_reference),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
