/* The vectorisable exponential against libm in double. */
#include <math.h>

#include "tests/support/test.h"
#include "worker/ops/cpu_level.h"
#include "worker/ops/exp.h"

static double ulp_of(double value)
{
    int exponent;
    (void)frexp(value, &exponent);
    return ldexp(1.0, exponent - 24);
}

static void it_is_within_two_ulp_over_its_whole_range(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int sign = 0; sign < 2; sign++) {
        for (uint32_t bits = 0; bits < 0x42B20000u; bits += 101) { /* up to 89, every exponent */
            float x;
            memcpy(&x, &bits, sizeof x);
            x = sign ? -x : x;
            const double expected = exp((double)x);
            if (x < EXP_F32_MIN || expected > 3.4028234e38) {
                continue;
            }
            const double error = fabs((double)exp_f32(x) - expected) / ulp_of(expected);
            worst = error > worst ? error : worst;
        }
    }
    print_message("worst error %.3f ulp\n", worst);
    assert_true(worst <= 2.0);
}

static void its_edges_are_exact(void **state)
{
    (void)state;
    assert_true(exp_f32(0.0f) == 1.0f);
    assert_true(exp_f32(-0.0f) == 1.0f);
    assert_true(exp_f32(INFINITY) == INFINITY);
    assert_true(exp_f32(88.73f) == INFINITY);
    assert_true(isfinite(exp_f32(88.72f)));
    assert_true(exp_f32(3.4e38f) == INFINITY);
    assert_true(exp_f32(-INFINITY) == 0.0f && !signbit(exp_f32(-INFINITY)));
    assert_true(exp_f32(-87.34f) == 0.0f);
    assert_true(exp_f32(-3.4e38f) == 0.0f);
    assert_true(exp_f32(EXP_F32_MIN) >= 1.17549435e-38f);
    assert_true(isnan(exp_f32(NAN)));
}

static void it_never_falls_where_its_argument_rises_by_much(void **state)
{
    (void)state;
    float before = 0.0f;
    for (float x = -90.0f; x < 90.0f; x += 0.001f) {
        const float now = exp_f32(x);
        assert_true(now >= before);
        before = now;
    }
}

int main(void)
{
#ifdef __FMA__
    if (!cpu_level_supported(CPU_LEVEL_AVX2)) {
        test_skip_all("this processor has no AVX2 and FMA", false);
    }
#endif
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_within_two_ulp_over_its_whole_range),
        cmocka_unit_test(its_edges_are_exact),
        cmocka_unit_test(it_never_falls_where_its_argument_rises_by_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
