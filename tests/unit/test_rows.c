#include <math.h>

#include "tests/support/ops.h"

static const int64_t sizes[][3] = {
    {1, 1, 1}, {3, 5, 7}, {65, 17, 128}, {70, 200, 33}, {4, 352, 128}};

static void run_scaling(struct ops_run *run, const void *context)
{
    const int64_t *size = context;
    const int64_t d = size[1];
    const int64_t k = size[2];
    struct ops_tensor x = ops_input(run, d * k, 1.0);
    struct ops_tensor factor = ops_input(run, d, 1.0);
    struct ops_tensor scaled = ops_output(run, d * k);
    struct ops_tensor plain = ops_output(run, d * k);
    struct ops_tensor sum = ops_input(run, d * k, 1.0);
    struct ops_tensor norm = ops_output(run, d);

    run->backend->op->scale_rows(run->backend, scaled.fast, x.fast, factor.fast, 0.3f, d, k);
    run->backend->op->scale_rows(run->backend, plain.fast, x.fast, NULL, 0.3f, d, k);
    run->backend->op->add_scaled_rows(run->backend, sum.fast, x.fast, factor.fast, d, k);
    run->backend->op->row_norms(run->backend, norm.fast, x.fast, d, k);
    scale_rows_ref(scaled.ref, x.ref, factor.ref, (double)0.3f, d, k);
    scale_rows_ref(plain.ref, x.ref, NULL, (double)0.3f, d, k);
    add_scaled_rows_ref(sum.ref, x.ref, factor.ref, d, k);
    row_norms_ref(norm.ref, x.ref, d, k);
    ops_check(run, &scaled, 1e-6);
    ops_check(run, &plain, 1e-6);
    ops_check(run, &sum, 1e-6);
    ops_check(run, &norm, 1e-6);
    ops_free(&x);
    ops_free(&factor);
}

static void run_normalising_of(struct ops_run *run, const int64_t *size, enum dtype type)
{
    const int64_t N = size[0];
    const int64_t d = size[1];
    const int64_t k = size[2];
    struct ops_tensor w = ops_input(run, d * k, 1.0);
    struct ops_tensor magnitude = ops_input(run, d, 1.0);
    struct ops_tensor factor = ops_output(run, d);
    struct ops_tensor dy = ops_operand(run, N * (d + 3), 1.0, type);
    struct ops_tensor y = ops_input(run, N * d, 1.0);
    struct ops_tensor dm = ops_input(run, d, 1.0);

    for (int64_t j = 0; j < k; j++) { /* a row of zeros */
        w.fast[(d - 1) * k + j] = 0.0f;
        w.ref[(d - 1) * k + j] = 0.0;
    }
    magnitude.fast[0] = 0.0f; /* what shrank to nothing has no direction to learn from */
    magnitude.ref[0] = 0.0;
    run->backend->op->normalise_rows(run->backend, w.fast, factor.fast, magnitude.fast, d, k);
    normalise_rows_ref(w.ref, factor.ref, magnitude.ref, d, k);
    run->backend->op->dot_columns(run->backend, dm.fast, dy.data, y.fast, magnitude.fast, N, d,
                                  d + 3, type);
    dot_columns_ref(dm.ref, dy.ref, y.ref, magnitude.ref, N, d, d + 3);
    if (d > 1) {
        ops_check(run, &w, 1e-6);
        ops_check(run, &factor, 1e-6);
    } else {
        ops_free(&w);
        ops_free(&factor);
    }
    ops_check(run, &dm, 1e-6);
    ops_free(&magnitude);
    ops_free(&dy);
    ops_free(&y);
}

static void run_normalising(struct ops_run *run, const void *context)
{
    run_normalising_of(run, context, DTYPE_FP32);
}

static void run_normalising_bf16(struct ops_run *run, const void *context)
{
    run_normalising_of(run, context, DTYPE_BF16);
}

static void kernels_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ops_walk(run_scaling, sizes[i]);
        ops_walk(run_normalising, sizes[i]);
        ops_walk(run_normalising_bf16, sizes[i]);
    }
}

static void run_own_norms(struct ops_run *run, const void *context)
{
    const int64_t *size = context;
    const int64_t d = size[1];
    const int64_t k = size[2];
    struct ops_tensor w = ops_input(run, d * k, 1.0);
    struct ops_tensor norm = ops_output(run, d);
    struct ops_tensor factor = ops_output(run, d);
    float *before = malloc((size_t)(d * k) * sizeof *before);

    memcpy(before, w.fast, (size_t)(d * k) * sizeof *before);
    run->backend->op->row_norms(run->backend, norm.fast, w.fast, d, k);
    run->backend->op->normalise_rows(run->backend, w.fast, factor.fast, norm.fast, d, k);
    assert_memory_equal(w.fast, before, (size_t)(d * k) * sizeof *before);
    free(before);
    ops_free(&w);
    ops_free(&norm);
    ops_free(&factor);
}

static void rows_that_have_their_own_norms_keep_every_bit(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ops_walk(run_own_norms, sizes[i]);
    }
}

enum { N = 5, D = 3, K = 4 };

struct problem {
    double magnitude[D], v[D * K], x[N * K], dy[N * D];
};

/* <dY, X diag(m / ‖V‖) V> */
static double loss(void *context)
{
    struct problem *p = context;
    double w[D * K];
    double factor[D];
    double sum = 0.0;
    memcpy(w, p->v, sizeof w);
    normalise_rows_ref(w, factor, p->magnitude, D, K);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t o = 0; o < D; o++) {
            sum += p->dy[n * D + o] * ops_dot(w + o * K, p->x + n * K, K);
        }
    }
    return sum;
}

static void the_gradient_of_magnitudes_agrees_with_finite_differences(void **state)
{
    (void)state;
    struct problem p;
    double w[D * K];
    double factor[D];
    double y[N * D];
    double dm[D] = {0};
    double *values = ops_random(7, (int64_t)(sizeof p / sizeof(double)), 1.0);
    memcpy(&p, values, sizeof p);
    memcpy(w, p.v, sizeof w);
    normalise_rows_ref(w, factor, p.magnitude, D, K);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t o = 0; o < D; o++) {
            y[n * D + o] = ops_dot(w + o * K, p.x + n * K, K);
        }
    }
    dot_columns_ref(dm, p.dy, y, p.magnitude, N, D, D);
    ops_check_gradient(dm, p.magnitude, D, loss, &p, 1e-6);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_agree_with_the_reference),
        cmocka_unit_test(rows_that_have_their_own_norms_keep_every_bit),
        cmocka_unit_test(the_gradient_of_magnitudes_agrees_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
