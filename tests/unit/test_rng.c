#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/test.h"

#define DRAWS 200000

/* The known answers of Philox4x32-10 that Random123 ships (kat_vectors). */
static void blocks_are_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t index, stream, seed;
        uint32_t block[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x85a308d3243f6a88,
         0x0370734413198a2e,
         0x299f31d0a4093822,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t block[4];
        rng_block(block, cases[i].seed, cases[i].stream, cases[i].index);
        assert_memory_equal(block, cases[i].block, sizeof block);
    }
}

static void streams_keep_purposes_and_parts_apart(void **state)
{
    (void)state;
    assert_true(rng_stream(RNG_PURPOSE_SAMPLER, 1, 2) == 0x0200000010000002);
    assert_true(rng_stream(RNG_PURPOSE_INIT, (1 << 28) - 1, (1 << 28) - 1) == 0x01FFFFFFFFFFFFFF);
    assert_true(rng_u64(0, 0, 0) == 0xe169c58d6627e8d5);
}

static void uniform_numbers_fill_the_unit_interval(void **state)
{
    (void)state;
    double sum = 0.0;
    for (uint64_t i = 0; i < DRAWS; i++) {
        double value = rng_uniform(7, 1, i);
        assert_true(value >= 0.0 && value < 1.0);
        sum += value;
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 4.0 * sqrt(1.0 / 12.0 / DRAWS));
}

static void bounded_numbers_are_even_and_below(void **state)
{
    (void)state;
    int counts[7] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint32_t value = rng_below(7, 2, i, 7);
        assert_true(value < 7);
        counts[value]++;
        assert_int_equal(rng_below(7, 2, i, 1), 0);
        /* The definition, in one 128-bit product. */
        __extension__ typedef unsigned __int128 wide;
        uint32_t bound = UINT32_MAX - (uint32_t)i;
        assert_int_equal(rng_below(7, 2, i, bound),
                         (uint32_t)((wide)rng_u64(7, 2, i) * bound >> 64));
    }
    for (int i = 0; i < 7; i++) {
        assert_true(fabs(counts[i] - DRAWS / 7.0) < 4.5 * sqrt(DRAWS / 7.0));
    }
}

static void normal_numbers_have_the_first_four_moments(void **state)
{
    (void)state;
    double sums[5] = {0};
    for (uint64_t i = 0; i < DRAWS; i++) {
        double value = rng_normal(7, 3, i);
        double power = 1.0;
        for (int k = 0; k <= 4; k++) {
            sums[k] += power;
            power *= value;
        }
    }
    assert_true(fabs(sums[1] / DRAWS) < 4.0 / sqrt(DRAWS));
    assert_true(fabs(sums[2] / DRAWS - 1.0) < 4.0 * sqrt(2.0 / DRAWS));
    assert_true(fabs(sums[3] / DRAWS) < 4.0 * sqrt(15.0 / DRAWS));
    assert_true(fabs(sums[4] / DRAWS - 3.0) < 4.0 * sqrt(96.0 / DRAWS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_the_known_answers),
        cmocka_unit_test(streams_keep_purposes_and_parts_apart),
        cmocka_unit_test(uniform_numbers_fill_the_unit_interval),
        cmocka_unit_test(bounded_numbers_are_even_and_below),
        cmocka_unit_test(normal_numbers_have_the_first_four_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
