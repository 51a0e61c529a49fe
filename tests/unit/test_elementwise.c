#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/ops.h"

enum { BLOCK = ELEMENTWISE_BLOCK };
static const int64_t counts[] = {0,     1,         15,        17,           BLOCK - 1,
                                 BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 3};

static void run_all(struct ops_run *run, const void *context)
{
    const int64_t n = *(const int64_t *)context;
    const struct backend_table *op = run->backend->op;
    struct ops_tensor a = ops_input(run, n, 1.0);
    struct ops_tensor b = ops_input(run, n, 1.0);
    struct ops_tensor sum = ops_output(run, n);
    struct ops_tensor zeros = ops_input(run, n, 1.0);
    double squares[2] = {-1.0, -1.0};
    int64_t nonzero = -1;

    op->add(run->backend, sum.fast, a.fast, b.fast, n);
    op->scale(run->backend, a.fast, -0.25f, n);
    op->zero(run->backend, zeros.fast, n);
    op->sum_squares(run->backend, squares, b.fast, n);
    op->count_nonzero(run->backend, &nonzero, b.fast, n);
    for (int64_t i = 0; i < n; i++) {
        sum.ref[i] = a.ref[i] + b.ref[i];
        a.ref[i] *= -0.25;
        zeros.ref[i] = 0.0;
        nonzero -= b.ref[i] != 0.0;
    }
    assert_int_equal(nonzero, 0);
    op->count_nonzero(run->backend, &nonzero, zeros.fast, n);
    assert_int_equal(nonzero, 0);
    squares[1] = sum_squares_ref(b.ref, n);
    assert_true(fabs(squares[0] - squares[1]) <= 1e-13 * squares[1]);
    /* The sum's own bits are part of what must not depend on threads. */
    run->hash ^= (uint64_t)(squares[0] * 1e12);
    op->add(run->backend, b.fast, b.fast, b.fast, n);
    for (int64_t i = 0; i < n; i++) {
        b.ref[i] *= 2.0;
    }
    ops_check(run, &sum, 1e-7);
    ops_check(run, &a, 0.0);
    ops_check(run, &b, 0.0);
    ops_check(run, &zeros, 0.0);
}

static void operations_agree_with_plain_loops(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        ops_walk(run_all, &counts[i]);
    }
}

static void run_odd_values(struct ops_run *run, const void *context)
{
    (void)context;
    const float values[] = {0.0f, -0.0f, 1e-45f, NAN, INFINITY, 3e38f};
    int64_t nonzero = -1;
    double squares = 0.0;
    run->backend->op->count_nonzero(run->backend, &nonzero, values, 6);
    assert_int_equal(nonzero, 4);
    run->backend->op->sum_squares(run->backend, &squares, values + 5, 1);
    assert_true(fabs(squares - 9e76) < 1e70); /* beyond fp32 */
    run->backend->op->sum_squares(run->backend, &squares, values, 6);
    assert_true(isnan(squares));
}

static void odd_values_are_counted_and_summed(void **state)
{
    (void)state;
    ops_walk(run_odd_values, NULL);
}

/* The two bf16 next to a number, or twice the number itself. */
static void neighbours(float out[2], float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    out[0] = bf16_widen((uint16_t)(bits >> 16));
    out[1] = (bits & 0xFFFF) == 0 ? out[0] : bf16_widen((uint16_t)((bits >> 16) + 1));
}

static void run_rounding(struct ops_run *run, const void *context)
{
    const int64_t n = *(const int64_t *)context;
    const struct backend_table *op = run->backend->op;
    const struct bf16_rounding nearest = {.is_stochastic = false};
    const struct bf16_rounding drawn = {
        .is_stochastic = true, .seed = 3, .stream = rng_stream(RNG_PURPOSE_ROUNDING, 5, 7)};
    struct ops_tensor x = ops_input(run, n, 1.0);
    struct ops_tensor to_nearest = ops_output_operand(run, n, DTYPE_BF16);
    struct ops_tensor by_chance = ops_output_operand(run, n, DTYPE_BF16);

    op->round_bf16(run->backend, to_nearest.data, x.fast, n, &nearest);
    op->round_bf16(run->backend, by_chance.data, x.fast, n, &drawn);
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        float near[2];
        rng_block(words, drawn.seed, drawn.stream, (uint64_t)(i / 8));
        const uint32_t draw = words[i % 8 / 2] >> (i % 2 * 16) & 0xFFFF;
        neighbours(near, x.fast[i]);
        const float below = fabsf(x.fast[i] - near[0]);
        const float above = fabsf(near[1] - x.fast[i]);
        to_nearest.ref[i] = (double)(below < above ? near[0] : near[1]);
        if (below == above) { /* a tie goes to the even one */
            to_nearest.ref[i] = (double)dtype_load(to_nearest.data, i, DTYPE_BF16);
        }
        uint32_t bits;
        memcpy(&bits, &x.fast[i], sizeof bits);
        by_chance.ref[i] = (double)near[(bits & 0xFFFF) + draw > 0xFFFF];
    }
    ops_check(run, &to_nearest, 0.0);
    ops_check(run, &by_chance, 0.0);
    ops_free(&x);
}

static void numbers_are_rounded_to_bf16_by_the_rule(void **state)
{
    (void)state;
    for (size_t i = 1; i < sizeof counts / sizeof counts[0]; i++) {
        ops_walk(run_rounding, &counts[i]);
    }
}

/* Both ties, the largest number, infinities, NaN with any payload, the smallest numbers. */
static void odd_numbers_are_rounded_to_bf16(void **state)
{
    (void)state;
    static const struct {
        uint32_t bits;
        uint16_t expected;
    } rows[] = {
        {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0x3F808001, 0x3F81}, {0xBF808001, 0xBF81},
        {0x00000000, 0x0000}, {0x80000000, 0x8000}, {0x7F7FFFFF, 0x7F80}, {0x7F800000, 0x7F80},
        {0xFF800000, 0xFF80}, {0x7F800001, 0x7FC0}, {0xFFFFFFFF, 0x7FC0}, {0x7FFF8000, 0x7FC0},
        {0x00008001, 0x0001}, {0x00000001, 0x0000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float x;
        memcpy(&x, &rows[i].bits, sizeof x);
        assert_int_equal(bf16_round(x), rows[i].expected);
    }
}

/* What is lost by rounding to nearest is kept on average: 0.3 of the way up goes up 3 times in 10.
 */
static void stochastic_rounding_keeps_the_mean(void **state)
{
    (void)state;
    enum { COUNT = 1 << 16 };
    struct backend *backend = NULL;
    struct error err;
    const struct bf16_rounding drawn = {.is_stochastic = true, .seed = 1, .stream = 2};
    float *x = calloc(COUNT, sizeof *x);
    uint16_t *out = calloc(COUNT, sizeof *out);
    double mean = 0.0;

    assert_ok(backend_cpu_create(&backend, 2, &err), &err);
    for (int64_t i = 0; i < COUNT; i++) {
        x[i] = 1.0f + 0.3f / 128.0f; /* neighbours are 1 and 1 + 1/128 */
    }
    backend->op->round_bf16(backend, out, x, COUNT, &drawn);
    for (int64_t i = 0; i < COUNT; i++) {
        mean += (double)(bf16_widen(out[i]) - 1.0f) * 128.0 / COUNT;
    }
    assert_true(fabs(mean - 0.3) < 4.0 * 0.46 / 256.0); /* four standard deviations */
    backend_destroy(backend);
    free(x);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_rounded_to_bf16_by_the_rule),
        cmocka_unit_test(odd_numbers_are_rounded_to_bf16),
        cmocka_unit_test(stochastic_rounding_keeps_the_mean),
        cmocka_unit_test(operations_agree_with_plain_loops),
        cmocka_unit_test(odd_values_are_counted_and_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
