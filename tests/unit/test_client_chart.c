#include <math.h>

#include "client/chart.h"
#include "tests/support/test.h"

static void a_series_keeps_its_shape_in_bounded_memory(void **state)
{
    struct series series = {0};
    double samples[4];
    (void)state;
    for (int64_t step = 1; step <= 100000; step++) {
        series_add(&series, step, (double)step);
    }
    assert_true(series.count >= SERIES_POINTS_MAX / 2);
    assert_true(series.count <= SERIES_POINTS_MAX);
    assert_true(fabs(series_at(&series, 50000) - 50000) < 1);
    assert_true(series_sample(&series, samples, 4));
    assert_true(fabs(samples[0] - 12500) < 200);
    assert_true(fabs(samples[3] - 87500) < 200);
}

static void a_resumed_run_replaces_what_it_computes_again(void **state)
{
    struct series series = {0};
    (void)state;
    for (int64_t step = 1; step <= 50; step++) {
        series_add(&series, step, 1);
    }
    series_add(&series, 41, 2);
    assert_int_equal(series.count, 41);
    assert_true(series_at(&series, 40) < 1.5);
    assert_true(series_at(&series, 45) > 1.5);
}

static void non_finite_values_leave_no_mark(void **state)
{
    struct series series = {0};
    double sample;
    (void)state;
    series_add(&series, 1, (double)NAN);
    series_add(&series, 2, (double)INFINITY);
    assert_int_equal(series.count, 0);
    assert_false(series_sample(&series, &sample, 1));
}

static const char *spark(const double *values, size_t count, int columns, bool has_unicode,
                         struct bytes *out)
{
    struct series series = {0};
    for (size_t i = 0; i < count; i++) {
        series_add(&series, (int64_t)i, values[i]);
    }
    bytes_clear(out);
    sparkline_render(&series, columns, has_unicode, out);
    bytes_append_char(out, '\0');
    return out->data;
}

static void a_sparkline_spans_its_range(void **state)
{
    static const double falling[] = {8, 7, 6, 5, 4, 3, 2, 1};
    static const double flat[] = {3, 3, 3};
    struct bytes out = {0};
    (void)state;
    assert_string_equal(spark(falling, 8, 8, true, &out), "█▇▆▅▄▃▂▁");
    assert_string_equal(spark(falling, 8, 4, true, &out), "█▆▃▁");
    assert_string_equal(spark(falling, 8, 20, false, &out), "#*+=~-._");
    assert_string_equal(spark(flat, 3, 8, true, &out), "▁▁▁");
    assert_string_equal(spark(flat, 0, 8, true, &out), "");
    assert_string_equal(spark(flat, 3, 0, true, &out), "");
    bytes_deinit(&out);
}

static void a_chart_has_axes_and_both_curves(void **state)
{
    struct series training = {0};
    struct series validation = {0};
    struct terminal terminal = {.columns = 29};
    struct chart chart = {.training = &training, .validation = &validation, .rows = 5};
    struct bytes out = {0};
    (void)state;
    for (int64_t step = 1; step <= 10; step++) {
        series_add(&training, step, 11 - (double)step);
    }
    series_add(&validation, 1, 10);
    series_add(&validation, 10, 2);
    chart_render(&chart, &terminal, &out);
    assert_string_equal(out.data, "  10.00 +o**\n"
                                  "        |   *****\n"
                                  "        |        ****\n"
                                  "        |            *****\n"
                                  "  1.000 +                 **o\n"
                                  "        +--------------------\n"
                                  "         1                 10\n"
                                  "         ** loss by step   o validation loss\n");
    bytes_deinit(&out);
}

static void a_chart_in_braille_stays_within_the_width(void **state)
{
    struct series training = {0};
    struct series none = {0};
    struct terminal terminal = {.columns = 40, .has_unicode = true};
    struct chart chart = {.training = &training, .validation = &none, .rows = 6};
    struct bytes out = {0};
    int lines = 0;
    (void)state;
    for (int64_t step = 0; step < 3000; step++) {
        series_add(&training, step, 3 + 5 * exp(-(double)step / 300));
    }
    chart_render(&chart, &terminal, &out);
    assert_contains(out.data, "⢇"); /* the steep start is one unbroken line */
    assert_contains(out.data, "└───");
    assert_contains(out.data, " 2999\n");
    char *line = strtok(out.data, "\n");
    for (; line != NULL; line = strtok(NULL, "\n"), lines++) {
        assert_true(text_columns(line) <= 40);
    }
    assert_int_equal(lines, 9);
    bytes_deinit(&out);
}

static void one_point_and_a_flat_line_can_be_drawn(void **state)
{
    struct series training = {0};
    struct series none = {0};
    struct terminal terminal = {.columns = 20};
    struct chart chart = {.training = &training, .validation = &none, .rows = CHART_ROWS_MIN};
    struct bytes out = {0};
    (void)state;
    series_add(&training, 1, 4);
    chart_render(&chart, &terminal, &out);
    series_add(&training, 2, 4);
    chart_render(&chart, &terminal, &out);
    assert_false(bytes_failed(&out));
    bytes_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_series_keeps_its_shape_in_bounded_memory),
        cmocka_unit_test(a_resumed_run_replaces_what_it_computes_again),
        cmocka_unit_test(non_finite_values_leave_no_mark),
        cmocka_unit_test(a_sparkline_spans_its_range),
        cmocka_unit_test(a_chart_has_axes_and_both_curves),
        cmocka_unit_test(a_chart_in_braille_stays_within_the_width),
        cmocka_unit_test(one_point_and_a_flat_line_can_be_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
