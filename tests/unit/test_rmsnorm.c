#include "tests/support/ops.h"

static const double eps = 1e-6;

struct shape {
    int64_t N, C;
    bool accumulate;
    enum dtype type;
};

static const struct shape shapes[] = {
    {1, 1, false, DTYPE_FP32},     {1, 17, true, DTYPE_FP32},    {3, 15, false, DTYPE_FP32},
    {63, 16, true, DTYPE_FP32},    {65, 129, false, DTYPE_FP32}, {512, 128, true, DTYPE_FP32},
    {100, 768, false, DTYPE_FP32}, {129, 352, true, DTYPE_FP32}, {2, 4096, true, DTYPE_FP32}};

static void run_forward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor x = ops_input(run, s->N * s->C, 2.0);
    struct ops_tensor gain = ops_input(run, s->C, 1.0);
    struct ops_tensor y = ops_output_operand(run, s->N * s->C, s->type);
    struct ops_tensor rstd = ops_output(run, s->N);

    run->backend->op->rmsnorm_forward(run->backend, y.data, rstd.fast, NULL, x.fast, NULL,
                                      gain.fast, s->N, s->C, (float)eps, s->type);
    rmsnorm_forward_ref(y.ref, rstd.ref, x.ref, gain.ref, s->N, s->C, eps);
    ops_check(run, &y, ops_bound(s->type, 1e-6, 4e-3));
    ops_check(run, &rstd, 1e-6);
    ops_free(&x);
    ops_free(&gain);
}

/* Adding an update on the way gives the bits of adding it before. */
static void run_update(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    const int64_t count = s->N * s->C;
    struct ops_tensor x = ops_input(run, count, 2.0);
    struct ops_tensor update = ops_input(run, count, 1.0);
    struct ops_tensor gain = ops_input(run, s->C, 1.0);
    struct ops_tensor sum = ops_output(run, count);
    struct ops_tensor y[2] = {ops_output_operand(run, count, s->type),
                              ops_output_operand(run, count, s->type)};
    struct ops_tensor rstd = ops_output(run, s->N);
    const struct backend_table *op = run->backend->op;

    op->add(run->backend, sum.fast, x.fast, update.fast, count);
    op->rmsnorm_forward(run->backend, y[0].data, rstd.fast, NULL, sum.fast, NULL, gain.fast, s->N,
                        s->C, (float)eps, s->type);
    op->rmsnorm_forward(run->backend, y[1].data, rstd.fast, update.fast, x.fast, update.fast,
                        gain.fast, s->N, s->C, (float)eps, s->type);
    assert_memory_equal(update.fast, sum.fast, (size_t)count * sizeof(float));
    assert_memory_equal(y[1].data, y[0].data, (size_t)count * dtype_bytes(s->type));
    ops_free(&x);
    ops_free(&update);
    ops_free(&gain);
    ops_free(&sum);
    ops_free(&y[0]);
    ops_free(&y[1]);
    ops_free(&rstd);
}

static void run_backward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor x = ops_input(run, s->N * s->C, 2.0);
    struct ops_tensor gain = ops_input(run, s->C, 1.0);
    struct ops_tensor dy = ops_operand(run, s->N * s->C, 1.0, s->type);
    struct ops_tensor operand = ops_output_operand(run, s->N * s->C, s->type);
    struct ops_tensor dgain = ops_input(run, s->C, 1.0);
    struct ops_tensor dx =
        s->accumulate ? ops_input(run, s->N * s->C, 1.0) : ops_output(run, s->N * s->C);
    struct ops_tensor y = ops_output(run, s->N * s->C);
    struct ops_tensor rstd = ops_output(run, s->N);

    rmsnorm_forward_ref(y.ref, rstd.ref, x.ref, gain.ref, s->N, s->C, eps);
    for (int64_t n = 0; n < s->N; n++) {
        rstd.fast[n] = (float)rstd.ref[n];
    }
    run->backend->op->rmsnorm_backward(run->backend, dx.fast, operand.data, dgain.fast, dy.data,
                                       x.fast, rstd.fast, gain.fast, s->N, s->C, s->accumulate,
                                       s->type);
    rmsnorm_backward_ref(dx.ref, dgain.ref, dy.ref, x.ref, rstd.ref, gain.ref, s->N, s->C,
                         s->accumulate);
    for (int64_t i = 0; s->type == DTYPE_BF16 && i < s->N * s->C; i++) {
        assert_int_equal(((const uint16_t *)operand.data)[i], bf16_round(dx.fast[i]));
    }
    ops_free(&operand);
    /* With C = 1 y hardly depends on x: dx is what rounding leaves. */
    ops_check(run, &dx, s->C == 1 ? 1e9 : 2e-6);
    ops_check(run, &dgain, 2e-6);
    ops_free(&x);
    ops_free(&gain);
    ops_free(&dy);
    ops_free(&y);
    ops_free(&rstd);
}

static void walk_types(ops_case_fn *run, struct shape shape)
{
    ops_walk(run, &shape);
    shape.type = DTYPE_BF16;
    ops_walk(run, &shape);
}

static void updates_are_added_on_the_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        walk_types(run_update, shapes[i]);
    }
}

static void forward_agrees_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        walk_types(run_forward, shapes[i]);
    }
}

static void backward_agrees_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        walk_types(run_backward, shapes[i]);
    }
}

enum { N = 3, C = 7 };

struct problem {
    double x[N * C], gain[C], dy[N * C], y[N * C], rstd[N];
};

static double loss(void *context)
{
    struct problem *p = context;
    rmsnorm_forward_ref(p->y, p->rstd, p->x, p->gain, N, C, eps);
    return ops_dot(p->y, p->dy, N * C);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    struct problem p;
    double *values = ops_random(1, N * C * 2 + C, 1.0);
    double dx[N * C];
    double dgain[C] = {0};
    memcpy(p.x, values, sizeof p.x);
    memcpy(p.dy, values + N * C, sizeof p.dy);
    memcpy(p.gain, values + (ptrdiff_t)2 * N * C, sizeof p.gain);

    (void)loss(&p);
    rmsnorm_backward_ref(dx, dgain, p.dy, p.x, p.rstd, p.gain, N, C, false);
    ops_check_gradient(dx, p.x, N * C, loss, &p, 1e-6);
    ops_check_gradient(dgain, p.gain, C, loss, &p, 1e-6);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_agrees_with_the_reference),
        cmocka_unit_test(updates_are_added_on_the_way),
        cmocka_unit_test(backward_agrees_with_the_reference),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
