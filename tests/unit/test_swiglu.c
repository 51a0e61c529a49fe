#include <math.h>

#include "tests/support/ops.h"

struct shape {
    int64_t N, F, stride;
};

static const struct shape shapes[] = {{1, 1, 1},    {3, 15, 15},     {2, 17, 40},
                                      {65, 33, 66}, {512, 352, 704}, {64, 2560, 5120}};

static void run_forward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor gate = ops_input(run, s->N * s->stride, 8.0);
    struct ops_tensor up = ops_input(run, s->N * s->stride, 1.0);
    struct ops_tensor y = ops_output(run, s->N * s->F);

    run->backend->op->swiglu_forward(run->backend, y.fast, gate.fast, up.fast, s->N, s->F,
                                     s->stride);
    swiglu_forward_ref(y.ref, gate.ref, up.ref, s->N, s->F, s->stride);
    ops_check(run, &y, 2e-7);
    ops_free(&gate);
    ops_free(&up);
}

static void run_backward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor gate = ops_input(run, s->N * s->stride, 8.0);
    struct ops_tensor up = ops_input(run, s->N * s->stride, 1.0);
    struct ops_tensor dy = ops_input(run, s->N * s->F, 1.0);
    struct ops_tensor dgate = ops_output(run, s->N * s->stride);
    struct ops_tensor dup = ops_output(run, s->N * s->stride);

    run->backend->op->swiglu_backward(run->backend, dgate.fast, dup.fast, dy.fast, gate.fast,
                                      up.fast, s->N, s->F, s->stride);
    swiglu_backward_ref(dgate.ref, dup.ref, dy.ref, gate.ref, up.ref, s->N, s->F, s->stride);

    /* In place gives the same bits. */
    run->backend->op->swiglu_backward(run->backend, gate.fast, up.fast, dy.fast, gate.fast, up.fast,
                                      s->N, s->F, s->stride);
    for (int64_t n = 0; n < s->N; n++) {
        const size_t row = (size_t)s->F * sizeof(float);
        assert_memory_equal(gate.fast + n * s->stride, dgate.fast + n * s->stride, row);
        assert_memory_equal(up.fast + n * s->stride, dup.fast + n * s->stride, row);
    }
    ops_check_rows(run, &dgate, s->F, s->stride, 5e-7);
    ops_check_rows(run, &dup, s->F, s->stride, 5e-7);
    ops_free(&gate);
    ops_free(&up);
    ops_free(&dy);
}

static void run_extremes(struct ops_run *run, const void *context)
{
    (void)context;
    static const float gates[] = {-3e38f, -200.0f, -88.0f, -0.0f, 0.0f, 88.0f, 200.0f, 3e38f};
    enum { COUNT = sizeof gates / sizeof gates[0] };
    struct ops_tensor up = ops_input(run, COUNT, 0.0);
    struct ops_tensor y = ops_output(run, COUNT);
    for (int i = 0; i < COUNT; i++) {
        up.fast[i] = 1.0f;
    }
    run->backend->op->swiglu_forward(run->backend, y.fast, gates, up.fast, 1, COUNT, COUNT);
    for (int i = 0; i < COUNT; i++) {
        const double g = (double)gates[i];
        assert_true(fabs((double)y.fast[i] - (g > 0 ? g : 0.0)) <= 1e-30 + 1e-6 * (g > 0 ? g : 0));
    }
    ops_free(&up);
    ops_free(&y);
}

static void forward_agrees_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        ops_walk(run_forward, &shapes[i]);
    }
}

static void backward_agrees_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        ops_walk(run_backward, &shapes[i]);
    }
}

static void huge_gates_stay_finite(void **state)
{
    (void)state;
    ops_walk(run_extremes, NULL);
}

enum { COUNT = 20 };

struct problem {
    double gate[COUNT], up[COUNT], dy[COUNT], y[COUNT];
};

static double loss(void *context)
{
    struct problem *p = context;
    swiglu_forward_ref(p->y, p->gate, p->up, 4, 5, 5);
    return ops_dot(p->y, p->dy, COUNT);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    struct problem p;
    double *values = ops_random(1, (int64_t)COUNT * 3, 1.5);
    double dgate[COUNT];
    double dup[COUNT];
    memcpy(p.gate, values, sizeof p.gate);
    memcpy(p.up, values + COUNT, sizeof p.up);
    memcpy(p.dy, values + (ptrdiff_t)2 * COUNT, sizeof p.dy);
    swiglu_backward_ref(dgate, dup, p.dy, p.gate, p.up, 4, 5, 5);
    ops_check_gradient(dgate, p.gate, COUNT, loss, &p, 1e-6);
    ops_check_gradient(dup, p.up, COUNT, loss, &p, 1e-6);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_agrees_with_the_reference),
        cmocka_unit_test(backward_agrees_with_the_reference),
        cmocka_unit_test(huge_gates_stay_finite),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
