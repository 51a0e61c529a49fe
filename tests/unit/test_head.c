#include <math.h>

#include "tests/support/ops.h"

struct shape {
    int64_t N, C, V;
    enum dtype type;
};

/* The last takes two chunks, the one before three. */
static const struct shape shapes[] = {{1, 1, 1, DTYPE_FP32},      {3, 5, 2, DTYPE_FP32},
                                      {7, 16, 33, DTYPE_FP32},    {33, 24, 65, DTYPE_FP32},
                                      {600, 8, 4000, DTYPE_FP32}, {257, 32, 4096, DTYPE_FP32}};

static void run_loss(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor x = ops_operand(run, s->N * s->C, 1.0, s->type);
    struct ops_tensor w = ops_operand(run, s->V * s->C, 1.0, s->type);
    struct ops_tensor dx = ops_output_operand(run, s->N * s->C, s->type);
    struct ops_tensor dw = ops_input(run, s->V * s->C, 1e-3);
    uint32_t *targets = ops_tokens(run, s->N, s->V);
    const double grad_scale = 0.37;
    double loss[3] = {-1.0, -1.0, -1.0};

    run->backend->op->head_loss(run->backend, &loss[0], x.data, w.data, targets, s->N, s->C, s->V,
                                s->type);
    run->backend->op->head_loss_backward(run->backend, &loss[1], dx.data, dw.fast, x.data, w.data,
                                         targets, (float)grad_scale, s->N, s->C, s->V, s->type);
    assert_true(fabs(loss[0] - loss[1]) <= 1e-6 * fabs(loss[0]));
    if (run->is_compared) {
        head_loss_backward_ref(&loss[2], dx.ref, dw.ref, x.ref, w.ref, targets, grad_scale, s->N,
                               s->C, s->V);
        assert_true(fabs(loss[1] - loss[2]) <= 1e-6 * fabs(loss[2]));
    }
    if (s->V > 1) {
        ops_check(run, &dx, ops_bound(s->type, 5e-6, 5e-3));
    } else {
        ops_free(&dx); /* the only token is certain: a gradient of zero */
    }
    ops_check(run, &dw, ops_bound(s->type, 5e-6, 5e-3));
    ops_free(&x);
    ops_free(&w);
    free(targets);
}

static void loss_and_gradients_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct shape shape = shapes[i];
        ops_walk(run_loss, &shape);
        shape.type = DTYPE_BF16;
        ops_walk(run_loss, &shape);
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
                                         targets, 1.0f, 4, 1, 50, DTYPE_FP32);
    head_loss_backward_ref(&expected, dx.ref, dw.ref, x.ref, w.ref, targets, 1.0, 4, 1, 50);
    assert_true(fabs(loss - expected) <= 1e-6 * fabs(expected));
    ops_check(run, &dx, 1e-5);
    ops_check(run, &dw, 1e-5);
    ops_free(&x);
    ops_free(&w);
}

/* A projection that does not train: dx is as ever, and nothing is asked for dw. */
static void run_without_dw(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor x = ops_operand(run, s->N * s->C, 1.0, s->type);
    struct ops_tensor w = ops_operand(run, s->V * s->C, 1.0, s->type);
    struct ops_tensor dw = ops_input(run, s->V * s->C, 0.0);
    struct ops_tensor dx = ops_output_operand(run, s->N * s->C, s->type);
    struct ops_tensor alone = ops_output_operand(run, s->N * s->C, s->type);
    uint32_t *targets = ops_tokens(run, s->N, s->V);
    const struct backend_table *op = run->backend->op;
    double loss[2];

    op->head_loss_backward(run->backend, &loss[0], dx.data, dw.fast, x.data, w.data, targets, 1.0f,
                           s->N, s->C, s->V, s->type);
    op->head_loss_backward(run->backend, &loss[1], alone.data, NULL, x.data, w.data, targets, 1.0f,
                           s->N, s->C, s->V, s->type);
    assert_true(loss[0] == loss[1]);
    assert_memory_equal(alone.data, dx.data, (size_t)(s->N * s->C) * dtype_bytes(s->type));
    ops_free(&x);
    ops_free(&w);
    ops_free(&dw);
    ops_free(&dx);
    ops_free(&alone);
    free(targets);
}

static void a_frozen_projection_needs_no_gradient(void **state)
{
    (void)state;
    ops_walk(run_without_dw, &(struct shape){33, 24, 65, DTYPE_FP32});
    ops_walk(run_without_dw, &(struct shape){33, 24, 65, DTYPE_BF16});
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
        cmocka_unit_test(a_frozen_projection_needs_no_gradient),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
