#include <math.h>

#include "tests/support/ops.h"

/* B, T, H, KV, D, then strides: real head sizes (32 … 128, 48 and 52), lengths around a stripe of
 * 64, grouped heads, q|k|v in one buffer or apart. */
static const struct attention_shape shapes[] = {
    {1, 1, 1, 1, 1, 0, 0, 0, 0, DTYPE_FP32},
    {2, 3, 2, 1, 4, 0, 0, 0, 0, DTYPE_FP32},
    {1, 63, 2, 2, 32, 0, 0, 0, 0, DTYPE_FP32},
    {1, 64, 1, 1, 48, 150, 151, 152, 49, DTYPE_FP32},
    {2, 65, 4, 2, 52, 0, 0, 0, 0, DTYPE_FP32},
    {1, 128, 2, 2, 128, 768, 768, 768, 0, DTYPE_FP32},
    {2, 130, 6, 2, 16, 130, 40, 40, 97, DTYPE_FP32},
    {2, 256, 4, 4, 32, 384, 384, 384, 128, DTYPE_FP32},
    {1, 300, 2, 1, 80, 0, 0, 0, 0, DTYPE_FP32},
};

struct tensors {
    struct attention_shape s;
    struct ops_tensor q, k, v, o, lse;
};

static struct tensors forward(struct ops_run *run, const struct attention_shape *shape)
{
    struct tensors t = {.s = attention_shape_dense(shape)};
    const int64_t N = t.s.B * t.s.T;
    t.q = ops_operand(run, N * t.s.q_stride, 2.0, t.s.type);
    t.k = ops_operand(run, N * t.s.k_stride, 2.0, t.s.type);
    t.v = ops_operand(run, N * t.s.v_stride, 1.0, t.s.type);
    t.o = ops_output_operand(run, N * t.s.o_stride, t.s.type);
    t.lse = ops_output(run, N * t.s.H);
    run->backend->op->attention_forward(run->backend, t.o.data, t.lse.fast, t.q.data, t.k.data,
                                        t.v.data, shape);
    if (run->is_compared) {
        attention_forward_ref(t.o.ref, t.lse.ref, t.q.ref, t.k.ref, t.v.ref, shape);
    }
    return t;
}

static void run_forward(struct ops_run *run, const void *context)
{
    struct tensors t = forward(run, context);
    ops_check_rows(run, &t.o, t.s.H * t.s.D, t.s.o_stride, ops_bound(t.s.type, 2e-6, 5e-3));
    ops_check(run, &t.lse, 1e-6);
    ops_free(&t.q);
    ops_free(&t.k);
    ops_free(&t.v);
}

static void run_backward(struct ops_run *run, const void *context)
{
    const struct attention_shape *shape = context;
    struct tensors t = forward(run, shape);
    const int64_t N = t.s.B * t.s.T;
    struct ops_tensor dout = ops_operand(run, N * t.s.o_stride, 1.0, t.s.type);
    struct ops_tensor dq = ops_output_operand(run, N * t.s.q_stride, t.s.type);
    struct ops_tensor dk = ops_output_operand(run, N * t.s.k_stride, t.s.type);
    struct ops_tensor dv = ops_output_operand(run, N * t.s.v_stride, t.s.type);

    run->backend->op->attention_backward(run->backend, dq.data, dk.data, dv.data, dout.data,
                                         t.q.data, t.k.data, t.v.data, t.o.data, t.lse.fast, shape);
    if (run->is_compared) {
        attention_backward_ref(dq.ref, dk.ref, dv.ref, dout.ref, t.q.ref, t.k.ref, t.v.ref, t.o.ref,
                               t.lse.ref, shape);
    }
    const double bound = ops_bound(t.s.type, 1e-5, 2e-2);
    if (t.s.T > 1) { /* with one key the softmax is constant, dq and dk what rounding leaves */
        ops_check_rows(run, &dq, t.s.H * t.s.D, t.s.q_stride, bound);
        ops_check_rows(run, &dk, t.s.KV * t.s.D, t.s.k_stride, bound);
    } else {
        ops_free(&dq);
        ops_free(&dk);
    }
    ops_check_rows(run, &dv, t.s.KV * t.s.D, t.s.v_stride, ops_bound(t.s.type, 2e-6, 1e-2));
    ops_free(&dout);
    ops_free(&t.q);
    ops_free(&t.k);
    ops_free(&t.v);
    ops_free(&t.o);
    ops_free(&t.lse);
}

static void walk_types(ops_case_fn *run, struct attention_shape shape)
{
    ops_walk(run, &shape);
    shape.type = DTYPE_BF16;
    ops_walk(run, &shape);
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

/* Scores of ±10^4 overflow a plain exp. */
static void run_large_scores(struct ops_run *run, const void *context)
{
    (void)context;
    const struct attention_shape shape = {.B = 1, .T = 70, .H = 1, .KV = 1, .D = 16};
    struct ops_tensor q = ops_input(run, 70 * 16, 100.0);
    struct ops_tensor k = ops_input(run, 70 * 16, 100.0);
    struct ops_tensor v = ops_input(run, 70 * 16, 1.0);
    struct ops_tensor o = ops_output(run, 70 * 16);
    struct ops_tensor lse = ops_output(run, 70);
    run->backend->op->attention_forward(run->backend, o.fast, lse.fast, q.fast, k.fast, v.fast,
                                        &shape);
    attention_forward_ref(o.ref, lse.ref, q.ref, k.ref, v.ref, &shape);
    ops_check(run, &o, 1e-2);
    ops_check(run, &lse, 1e-6);
    ops_free(&q);
    ops_free(&k);
    ops_free(&v);
}

static void large_scores_do_not_overflow(void **state)
{
    (void)state;
    ops_walk(run_large_scores, NULL);
}

enum { B = 2, T = 5, H = 4, KV = 2, D = 3, N = B * T };
static const struct attention_shape small = {.B = B, .T = T, .H = H, .KV = KV, .D = D};

struct problem {
    double q[N * H * D], k[N * KV * D], v[N * KV * D], dout[N * H * D];
    double o[N * H * D], lse[B * H * T];
};

static double loss(void *context)
{
    struct problem *p = context;
    attention_forward_ref(p->o, p->lse, p->q, p->k, p->v, &small);
    return ops_dot(p->o, p->dout, N * H * D);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    struct problem p;
    struct problem gradient;
    const int64_t count = (int64_t)(sizeof p / sizeof(double));
    double *values = ops_random(1, count, 1.0);
    memcpy(&p, values, sizeof p);
    (void)loss(&p);
    attention_backward_ref(gradient.q, gradient.k, gradient.v, p.dout, p.q, p.k, p.v, p.o, p.lse,
                           &small);
    ops_check_gradient(gradient.q, p.q, N * H * D, loss, &p, 1e-5);
    ops_check_gradient(gradient.k, p.k, N * KV * D, loss, &p, 1e-5);
    ops_check_gradient(gradient.v, p.v, N * KV * D, loss, &p, 1e-5);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_agrees_with_the_reference),
        cmocka_unit_test(backward_agrees_with_the_reference),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
