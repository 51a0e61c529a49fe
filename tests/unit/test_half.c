#include <math.h>

#include "tests/support/test.h"
#include "worker/convert/half.h"

/* By the definition: sign, exponent and fraction as numbers. */
static double value_of(uint32_t half)
{
    const int exponent = (int)(half >> 10 & 0x1F);
    const double fraction = (double)(half & 0x3FF) / 1024.0;
    const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;

    if (exponent == 0x1F) {
        return fraction > 0.0 ? (double)NAN : sign * (double)INFINITY;
    }
    return exponent == 0 ? sign * ldexp(fraction, -14)
                         : sign * ldexp(1.0 + fraction, exponent - 15);
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void every_half_is_widened_exactly_and_rounds_to_itself(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 1 << 16; half++) {
        const float wide = half_widen((uint16_t)half);
        if (isnan(value_of(half))) {
            assert_true(isnan(wide));
            assert_int_equal(bits_of(wide) >> 13 & 0x3FF, half & 0x3FF); /* the payload */
            assert_true(isnan(half_widen(half_round(wide))));
        } else {
            assert_int_equal(bits_of(wide), bits_of((float)value_of(half)));
            assert_int_equal(half_round(wide), half);
        }
    }
}

/* Between any two neighbours: below the middle down, above it up, at it to the even one. */
static void what_lies_between_is_rounded_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7BFF; half++) {
        const float middle = (float)((value_of(half) + value_of(half + 1)) / 2.0);
        const uint32_t even = half % 2 == 0 ? half : half + 1;
        assert_int_equal(half_round(middle), even);
        assert_int_equal(half_round(-middle), even | 0x8000);
        assert_int_equal(half_round(nextafterf(middle, 0.0F)), half);
        assert_int_equal(half_round(nextafterf(middle, 1e9F)), half + 1);
    }
    assert_int_equal(half_round(65519.996F), 0x7BFF);
    assert_int_equal(half_round(65520.0F), 0x7C00);
    assert_int_equal(half_round(3e38F), 0x7C00);
    assert_int_equal(half_round(-1e-30F), 0x8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_is_widened_exactly_and_rounds_to_itself),
        cmocka_unit_test(what_lies_between_is_rounded_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
