#include <math.h>

#include "tests/support/ops.h"

static const struct rope_angles angles = {.theta = 10000.0};

struct shape {
    int64_t B, T, H, D, stride;
    enum dtype type;
};

static const struct shape shapes[] = {
    {1, 1, 1, 2, 2, DTYPE_FP32},      {2, 5, 3, 6, 18, DTYPE_FP32},
    {1, 7, 1, 32, 40, DTYPE_FP32},    {2, 256, 4, 32, 384, DTYPE_FP32},
    {1, 300, 8, 48, 385, DTYPE_FP32}, {1, 65, 8, 52, 416, DTYPE_FP32},
    {1, 2048, 2, 64, 128, DTYPE_FP32}};

static void run_rotation(struct ops_run *run, const void *context, bool forward)
{
    const struct shape *s = context;
    const int64_t N = s->B * s->T;
    struct ops_tensor x = ops_operand(run, N * s->stride, 1.0, s->type);
    struct ops_tensor cosine = ops_output(run, s->T * s->D / 2);
    struct ops_tensor sine = ops_output(run, s->T * s->D / 2);
    const struct backend_table *op = run->backend->op;

    rope_table(cosine.fast, sine.fast, s->T, s->D, &angles);
    (forward ? op->rope_forward : op->rope_backward)(run->backend, x.data, cosine.fast, sine.fast,
                                                     N, s->T, s->H, s->D, s->stride, s->type);
    (forward ? rope_forward_ref : rope_backward_ref)(x.ref, N, s->T, s->H, s->D, s->stride,
                                                     &angles);
    ops_check_rows(run, &x, s->H * s->D, s->stride, ops_bound(s->type, 2e-7, 4e-3));
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
        struct shape shape = shapes[i];
        for (shape.type = DTYPE_FP32; shape.type <= DTYPE_BF16; shape.type++) {
            ops_walk(run_forward, &shape);
            ops_walk(run_backward, &shape);
        }
    }
}

/* Hugging Face's rotate_half: x cos + [-x2, x1] sin, with frequencies repeated over both halves. */
static void pairs_are_those_of_hugging_face(void **state)
{
    (void)state;
    double x[2][4] = {{1, 2, 3, 4}, {1, 2, 3, 4}};
    rope_forward_ref(x[0], 2, 2, 1, 4, 4, &angles);
    const double expected[4] = {1 * cos(1.0) - 3 * sin(1.0), 2 * cos(0.01) - 4 * sin(0.01),
                                3 * cos(1.0) + 1 * sin(1.0), 4 * cos(0.01) + 2 * sin(0.01)};
    for (int j = 0; j < 4; j++) {
        assert_true(x[0][j] == j + 1.0);
        assert_true(fabs(x[1][j] - expected[j]) < 1e-12);
    }
}

/* inv_freq of transformers' _compute_llama3_parameters, Llama 3.1's settings, in double. */
static void llama3_frequencies_are_those_of_transformers(void **state)
{
    (void)state;
    static const struct rope_angles llama3 = {.theta = 500000.0,
                                              .factor = 8.0,
                                              .low_freq_factor = 1.0,
                                              .high_freq_factor = 4.0,
                                              .original_max_position_embeddings = 8192.0};
    static const struct {
        int64_t j;
        double frequency;
    } rows[] = {{0, 1},
                {10, 0.12868737343265052},
                {28, 0.0032114459947525913},
                {30, 0.0013718935677611381},
                {32, 0.00052484616099295468},
                {34, 0.00017850781276799638},
                {40, 3.4281021959525912e-05},
                {63, 3.0689259889145111e-07}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const double frequency = rope_frequency(&llama3, rows[i].j, 128);
        assert_true(fabs(frequency / rows[i].frequency - 1.0) < 1e-12);
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
    rope_forward_ref(y, T, T, H, D, H * D, &angles);
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
    rope_backward_ref(dx, T, T, H, D, H * D, &angles);
    ops_check_gradient(dx, p.x, COUNT, loss, &p, 1e-6);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions_agree_with_the_reference),
        cmocka_unit_test(pairs_are_those_of_hugging_face),
        cmocka_unit_test(llama3_frequencies_are_those_of_transformers),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
