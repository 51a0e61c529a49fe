#include <math.h>

#include "tests/support/ops.h"

struct shape {
    int64_t N, F, stride;
    enum dtype type;
};

static const struct shape shapes[] = {{1, 1, 1, DTYPE_FP32},       {3, 15, 15, DTYPE_FP32},
                                      {2, 17, 40, DTYPE_FP32},     {65, 33, 66, DTYPE_FP32},
                                      {512, 352, 704, DTYPE_FP32}, {64, 2560, 5120, DTYPE_FP32}};

static void run_forward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor gate = ops_operand(run, s->N * s->stride, 8.0, s->type);
    struct ops_tensor up = ops_operand(run, s->N * s->stride, 1.0, s->type);
    struct ops_tensor y = ops_output_operand(run, s->N * s->F, s->type);

    run->backend->op->swiglu_forward(run->backend, y.data, gate.data, up.data, s->N, s->F,
                                     s->stride, s->type);
    swiglu_forward_ref(y.ref, gate.ref, up.ref, s->N, s->F, s->stride);
    ops_check(run, &y, ops_bound(s->type, 2e-7, 4e-3));
    ops_free(&gate);
    ops_free(&up);
}

static void run_backward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor gate = ops_operand(run, s->N * s->stride, 8.0, s->type);
    struct ops_tensor up = ops_operand(run, s->N * s->stride, 1.0, s->type);
    struct ops_tensor dy = ops_operand(run, s->N * s->F, 1.0, s->type);
    struct ops_tensor dgate = ops_output_operand(run, s->N * s->stride, s->type);
    struct ops_tensor dup = ops_output_operand(run, s->N * s->stride, s->type);

    run->backend->op->swiglu_backward(run->backend, dgate.data, dup.data, dy.data, gate.data,
                                      up.data, s->N, s->F, s->stride, s->type);
    swiglu_backward_ref(dgate.ref, dup.ref, dy.ref, gate.ref, up.ref, s->N, s->F, s->stride);

    /* In place gives the same bits. */
    run->backend->op->swiglu_backward(run->backend, gate.data, up.data, dy.data, gate.data, up.data,
                                      s->N, s->F, s->stride, s->type);
    for (int64_t n = 0; n < s->N; n++) {
        const size_t row = (size_t)s->F * dtype_bytes(s->type);
        const int64_t at = n * s->stride;
        assert_memory_equal(dtype_at(gate.data, at, s->type), dtype_at(dgate.data, at, s->type),
                            row);
        assert_memory_equal(dtype_at(up.data, at, s->type), dtype_at(dup.data, at, s->type), row);
    }
    ops_check_rows(run, &dgate, s->F, s->stride, ops_bound(s->type, 5e-7, 4e-3));
    ops_check_rows(run, &dup, s->F, s->stride, ops_bound(s->type, 5e-7, 4e-3));
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
    run->backend->op->swiglu_forward(run->backend, y.fast, gates, up.fast, 1, COUNT, COUNT,
                                     DTYPE_FP32);
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
        struct shape shape = shapes[i];
        ops_walk(run_forward, &shape);
        shape.type = DTYPE_BF16;
        ops_walk(run_forward, &shape);
    }
}

static void backward_agrees_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct shape shape = shapes[i];
        ops_walk(run_backward, &shape);
        shape.type = DTYPE_BF16;
        ops_walk(run_backward, &shape);
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
