#include "tests/support/ops.h"

static const double eps = 1e-6;

struct shape {
    int64_t N, C;
    bool accumulate;
};

static const struct shape shapes[] = {{1, 1, false},     {1, 17, true},    {3, 15, false},
                                      {63, 16, true},    {65, 129, false}, {512, 128, true},
                                      {100, 768, false}, {129, 352, true}, {2, 4096, true}};

static void run_forward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor x = ops_input(run, s->N * s->C, 2.0);
    struct ops_tensor gain = ops_input(run, s->C, 1.0);
    struct ops_tensor y = ops_output(run, s->N * s->C);
    struct ops_tensor rstd = ops_output(run, s->N);

    run->backend->op->rmsnorm_forward(run->backend, y.fast, rstd.fast, x.fast, gain.fast, s->N,
                                      s->C, (float)eps);
    rmsnorm_forward_ref(y.ref, rstd.ref, x.ref, gain.ref, s->N, s->C, eps);
    ops_check(run, &y, 1e-6);
    ops_check(run, &rstd, 1e-6);
    ops_free(&x);
    ops_free(&gain);
}

static void run_backward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor x = ops_input(run, s->N * s->C, 2.0);
    struct ops_tensor gain = ops_input(run, s->C, 1.0);
    struct ops_tensor dy = ops_input(run, s->N * s->C, 1.0);
    struct ops_tensor dgain = ops_input(run, s->C, 1.0);
    struct ops_tensor dx =
        s->accumulate ? ops_input(run, s->N * s->C, 1.0) : ops_output(run, s->N * s->C);
    struct ops_tensor y = ops_output(run, s->N * s->C);
    struct ops_tensor rstd = ops_output(run, s->N);

    rmsnorm_forward_ref(y.ref, rstd.ref, x.ref, gain.ref, s->N, s->C, eps);
    for (int64_t n = 0; n < s->N; n++) {
        rstd.fast[n] = (float)rstd.ref[n];
    }
    run->backend->op->rmsnorm_backward(run->backend, dx.fast, dgain.fast, dy.fast, x.fast,
                                       rstd.fast, gain.fast, s->N, s->C, s->accumulate);
    rmsnorm_backward_ref(dx.ref, dgain.ref, dy.ref, x.ref, rstd.ref, gain.ref, s->N, s->C,
                         s->accumulate);
    /* With C = 1 y hardly depends on x: dx is what rounding leaves. */
    ops_check(run, &dx, s->C == 1 ? 1e9 : 2e-6);
    ops_check(run, &dgain, 2e-6);
    ops_free(&x);
    ops_free(&gain);
    ops_free(&dy);
    ops_free(&y);
    ops_free(&rstd);
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
        cmocka_unit_test(backward_agrees_with_the_reference),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
