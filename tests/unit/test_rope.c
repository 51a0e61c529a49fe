#include <math.h>

#include "tests/support/ops.h"

static const double theta = 10000.0;

struct shape {
    int64_t B, T, H, D, stride;
};

static const struct shape shapes[] = {
    {1, 1, 1, 2, 2},      {2, 5, 3, 6, 18},    {1, 7, 1, 32, 40},    {2, 256, 4, 32, 384},
    {1, 300, 8, 48, 385}, {1, 65, 8, 52, 416}, {1, 2048, 2, 64, 128}};

static void run_rotation(struct ops_run *run, const void *context, bool forward)
{
    const struct shape *s = context;
    const int64_t N = s->B * s->T;
    struct ops_tensor x = ops_input(run, N * s->stride, 1.0);
    struct ops_tensor cosine = ops_output(run, s->T * s->D / 2);
    struct ops_tensor sine = ops_output(run, s->T * s->D / 2);
    const struct backend_table *op = run->backend->op;

    rope_table(cosine.fast, sine.fast, s->T, s->D, theta);
    (forward ? op->rope_forward : op->rope_backward)(run->backend, x.fast, cosine.fast, sine.fast,
                                                     N, s->T, s->H, s->D, s->stride);
    (forward ? rope_forward_ref : rope_backward_ref)(x.ref, N, s->T, s->H, s->D, s->stride, theta);
    ops_check_rows(run, &x, s->H * s->D, s->stride, 2e-7);
    ops_free(&cosine);
    ops_free(&sine);
}

static void run_forward(struct ops_run *run, const void *context)
{
    run_rotation(run, context, true);
}

static void run_backward(struct ops_run *run, const void *context)
{
    run_rotation(run, context, false);
}

static void both_directions_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        ops_walk(run_forward, &shapes[i]);
        ops_walk(run_backward, &shapes[i]);
    }
}

/* Hugging Face's rotate_half: x cos + [-x2, x1] sin, with frequencies repeated over both halves. */
static void pairs_are_those_of_hugging_face(void **state)
{
    (void)state;
    double x[2][4] = {{1, 2, 3, 4}, {1, 2, 3, 4}};
    rope_forward_ref(x[0], 2, 2, 1, 4, 4, theta);
    const double expected[4] = {1 * cos(1.0) - 3 * sin(1.0), 2 * cos(0.01) - 4 * sin(0.01),
                                3 * cos(1.0) + 1 * sin(1.0), 4 * cos(0.01) + 2 * sin(0.01)};
    for (int j = 0; j < 4; j++) {
        assert_true(x[0][j] == j + 1.0);
        assert_true(fabs(x[1][j] - expected[j]) < 1e-12);
    }
}

enum { T = 5, H = 2, D = 6, COUNT = T * H * D };

struct problem {
    double x[COUNT], dy[COUNT];
};

static double loss(void *context)
{
    struct problem *p = context;
    double y[COUNT];
    memcpy(y, p->x, sizeof y);
    rope_forward_ref(y, T, T, H, D, H * D, theta);
    return ops_dot(y, p->dy, COUNT);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    struct problem p;
    double *values = ops_random(1, COUNT * 2, 1.0);
    double dx[COUNT];
    memcpy(p.x, values, sizeof p.x);
    memcpy(p.dy, values + COUNT, sizeof p.dy);
    memcpy(dx, p.dy, sizeof dx);
    rope_backward_ref(dx, T, T, H, D, H * D, theta);
    ops_check_gradient(dx, p.x, COUNT, loss, &p, 1e-6);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions_agree_with_the_reference),
        cmocka_unit_test(pairs_are_those_of_hugging_face),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
