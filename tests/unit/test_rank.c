#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/test.h"
#include "worker/method/draw.h"
#include "worker/method/rank.h"

/* y[d,p] of the given rank: a product of Gaussian matrices, its i-th part scaled by decay^i. */
static float *matrix_of_rank(int64_t d, int64_t p, int64_t rank, double decay)
{
    float *left = calloc((size_t)(d * rank + rank * p + 1), sizeof *left);
    float *y = calloc((size_t)(d * p), sizeof *y);

    assert_non_null(left);
    assert_non_null(y);
    float *right = left + d * rank;
    draw_normal(left, d * rank, 3, rng_stream(RNG_PURPOSE_TEST, 1, 1));
    draw_normal(right, rank * p, 3, rng_stream(RNG_PURPOSE_TEST, 1, 2));
    for (int64_t o = 0; o < d; o++) {
        for (int64_t i = 0; i < rank; i++) {
            const double factor = pow(decay, (double)i) * (double)left[o * rank + i];
            for (int64_t j = 0; j < p; j++) {
                y[o * p + j] += (float)(factor * (double)right[i * p + j]);
            }
        }
    }
    free(left);
    return y;
}

static void the_rank_of_a_product_is_found(void **state)
{
    (void)state;
    static const struct {
        int64_t d, p, rank;
        double decay;
        int64_t expected;
    } cases[] = {
        {5, 3, 0, 1.0, 0},     {5, 3, 1, 1.0, 1},
        {5, 3, 3, 1.0, 3},     {3, 5, 3, 1.0, 3},
        {90, 64, 17, 1.0, 17}, {90, 64, 64, 1.0, 64},
        {64, 90, 40, 1.0, 40}, {300, 200, 120, 1.0, 120},
        {60, 60, 20, 0.1, 3}, /* 1, 0.1, 0.01 and then 0.001 and less, which do not count */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        int64_t rank = -1;
        float *y = matrix_of_rank(cases[i].d, cases[i].p, cases[i].rank, cases[i].decay);
        assert_ok(rank_of_sketch(&rank, y, cases[i].d, cases[i].p, &err), &err);
        if (cases[i].decay < 1.0) {
            assert_true(rank >= cases[i].expected && rank <= cases[i].expected + 1);
        } else {
            assert_int_equal(rank, cases[i].expected);
        }
        free(y);
    }
}

static void a_sketch_has_the_smaller_side_but_not_more_than_is_affordable(void **state)
{
    (void)state;
    assert_int_equal(rank_sketch_columns(768, 2560), 768);
    assert_int_equal(rank_sketch_columns(352, 128), 128);
    assert_int_equal(rank_sketch_columns(2048, 5461), RANK_SKETCH_COLUMNS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rank_of_a_product_is_found),
        cmocka_unit_test(a_sketch_has_the_smaller_side_but_not_more_than_is_affordable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
