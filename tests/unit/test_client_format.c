#include <math.h>
#include <time.h>

#include "client/format.h"
#include "tests/support/test.h"

typedef const char *format_fn(char out[FORMAT_BYTES], double value);

struct format_case {
    double value;
    const char *expected;
};

static void check(format_fn *format, const struct format_case *cases, size_t count)
{
    char out[FORMAT_BYTES];

    for (size_t i = 0; i < count; i++) {
        assert_string_equal(format(out, cases[i].value), cases[i].expected);
    }
}
#define CHECK(format, cases) check(format, cases, sizeof cases / sizeof cases[0])

static void durations_carry_into_the_next_unit(void **state)
{
    static const struct format_case cases[] = {
        {0, "0.0s"},        {0.44, "0.4s"},          {9.94, "9.9s"},         {9.96, "10s"},
        {59.4, "59s"},      {59.6, "1m00s"},         {185, "3m05s"},         {3599.6, "1h00m"},
        {7620, "2h07m"},    {86400, "1d00h"},        {86400 * 3.2, "3d04h"}, {-1, "-"},
        {(double)NAN, "-"}, {(double)INFINITY, "-"},
    };
    (void)state;
    CHECK(format_duration, cases);
}

static void counts_have_three_digits(void **state)
{
    static const struct format_case cases[] = {
        {0, "0"},          {7, "7"},           {999, "999"},     {999.6, "1.00k"},
        {1000, "1.00k"},   {12345, "12.3k"},   {99960, "100k"},  {999499, "999k"},
        {999600, "1.00M"}, {4.56e6, "4.56M"},  {1.2e9, "1.20G"}, {3e20, "300000P"},
        {-1500, "-1.50k"}, {(double)NAN, "-"},
    };
    (void)state;
    CHECK(format_count, cases);
}

static void losses_have_four_digits(void **state)
{
    static const struct format_case cases[] = {
        {4.3121, "4.312"},  {28.412, "28.41"},    {99.996, "100.0"},
        {314.16, "314.2"},  {4096.2, "4096"},     {2.5e7, "2.500e+07"},
        {0.00004, "0.000"}, {(double)NAN, "nan"}, {(double)INFINITY, "inf"},
    };
    (void)state;
    CHECK(format_loss, cases);
}

static void rates_are_short(void **state)
{
    static const struct format_case cases[] = {
        {1e-3, "1e-3"}, {5.5e-4, "5.5e-4"}, {8.14e-4, "8.1e-4"}, {9.96e-4, "1e-3"},  {0, "0"},
        {1, "1"},       {2.5, "2.5"},       {1e-10, "1e-10"},    {(double)NAN, "-"},
    };
    (void)state;
    CHECK(format_rate, cases);
}

static void sizes_use_binary_units(void **state)
{
    char out[FORMAT_BYTES];
    (void)state;
    assert_string_equal(format_size(out, 512), "512 B");
    assert_string_equal(format_size(out, 1536), "1.5 KiB");
    assert_string_equal(format_size(out, 38U << 20), "38 MiB");
    assert_string_equal(format_size(out, 1023 * 1024 + 800), "1.0 MiB");
    assert_string_equal(format_size(out, UINT64_MAX), "16384 PiB");
}

static void ages_are_rounded_down(void **state)
{
    char out[FORMAT_BYTES];
    const int64_t now_ms = 1700000000000;
    (void)state;
    assert_string_equal(format_age(out, now_ms - 900, now_ms), "just now");
    assert_string_equal(format_age(out, now_ms + 5000, now_ms), "just now"); /* clocks differ */
    assert_string_equal(format_age(out, now_ms - 59999, now_ms), "59s ago");
    assert_string_equal(format_age(out, now_ms - 3600000, now_ms), "1h ago");
    assert_string_equal(format_age(out, now_ms - 200000000, now_ms), "2d ago");
    assert_string_equal(format_age(out, 0, now_ms), "-");
}

static void times_are_local(void **state)
{
    char out[FORMAT_BYTES];
    (void)state;
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    tzset();
    assert_string_equal(format_time(out, 1714566601999), "2024-05-01 12:30:01");
    assert_string_equal(format_time(out, 0), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_carry_into_the_next_unit),
        cmocka_unit_test(counts_have_three_digits),
        cmocka_unit_test(losses_have_four_digits),
        cmocka_unit_test(rates_are_short),
        cmocka_unit_test(sizes_use_binary_units),
        cmocka_unit_test(ages_are_rounded_down),
        cmocka_unit_test(times_are_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
