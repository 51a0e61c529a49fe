#include <math.h>

#include "tests/support/test.h"
#include "worker/optim/schedule.h"

/* The MoRA paper's pretraining run. */
static struct schedule paper(enum schedule_name name)
{
    return (struct schedule){.name = name,
                             .peak = 1.0,
                             .steps = 10000,
                             .warmup = 1000,
                             .cycle = 2000,
                             .restart_warmup = 50,
                             .min_lr_ratio = 0.1};
}

static void jagged_cosine_gives_the_published_values(void **state)
{
    (void)state;
    const struct schedule schedule = paper(SCHEDULE_NAME_JAGGED_COSINE);
    static const struct {
        int64_t t;
        double lr;
    } rows[] = {
        {0, 0.0},        {500, 0.5},      {999, 0.999},    {1000, 1.0},     {1999, 0.97292},
        {2000, 0.0},     {2025, 0.48506}, {2050, 0.97011}, {3999, 0.77514}, {4050, 0.76816},
        {5999, 0.47201}, {6050, 0.46414}, {7999, 0.20538}, {8050, 0.20028}, {9999, 0.10000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(fabs(schedule_lr(&schedule, rows[i].t) - rows[i].lr) < 0.5001e-5);
    }
    double sum = 0.0;
    for (int64_t t = 0; t < schedule.steps; t++) {
        sum += schedule_lr(&schedule, t);
    }
    assert_true(fabs(sum / (double)schedule.steps - 0.5388) < 0.5e-4);
}

/* What MoRA's own code does without ReLoRA's scheduler. */
static void mora_hf_gives_the_published_values(void **state)
{
    (void)state;
    struct schedule schedule = paper(SCHEDULE_NAME_MORA_HF);
    static const struct {
        int64_t t;
        double lr;
    } rows[] = {
        {500, 0.5},      {1000, 1.0},     {1999, 0.96991}, {2000, 0.96985}, {2025, 0.48492},
        {2050, 0.96985}, {3999, 0.83299}, {4050, 0.83286}, {5999, 0.63115}, {6050, 0.63096},
        {7999, 0.32200}, {8050, 0.32175}, {9999, 0.00000},
    };
    schedule.min_lr_ratio = 0.0;
    schedule.unwarmed_first = true;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(fabs(schedule_lr(&schedule, rows[i].t) - rows[i].lr) < 0.5001e-5);
    }
    double sum = 0.0;
    for (int64_t t = 0; t < schedule.steps; t++) {
        sum += schedule_lr(&schedule, t);
    }
    assert_true(fabs(sum / (double)schedule.steps - 0.6174) < 0.5e-4);

    schedule.unwarmed_first = false;
    for (int64_t restart = 2000; restart < 10000; restart += 2000) {
        assert_true(schedule_lr(&schedule, restart) == 0.0);
        assert_true(schedule_lr(&schedule, restart + 1) > 0.0);
    }
}

/* Behind full-rank steps cycles count from their end, which is a restart too. */
static void cycles_count_from_the_end_of_full_rank_steps(void **state)
{
    (void)state;
    static const enum schedule_name names[] = {SCHEDULE_NAME_JAGGED_COSINE, SCHEDULE_NAME_MORA_HF};
    for (size_t i = 0; i < 2; i++) {
        struct schedule schedule = paper(names[i]);
        struct error err = {0};
        schedule.first = 1500;
        schedule.cycle = 1700;
        assert_ok(schedule_validate(&schedule, &err), &err);
        for (int64_t t = 1; t < schedule.steps; t++) {
            const bool restarts = t >= 1500 && (t - 1500) % 1700 == 0;
            assert_int_equal(schedule_lr(&schedule, t) == 0.0, restarts);
        }
        schedule.steps = 10001;
        assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
        assert_contains(err.hint, "11700");
        schedule.steps = 10000;
        schedule.first = 999;
        schedule.cycle = 9001;
        assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
        assert_string_equal(err.field, "schedule.warmup");
    }
}

static void the_ramp_after_a_merge_ends_on_the_envelope(void **state)
{
    (void)state;
    const struct schedule jagged = paper(SCHEDULE_NAME_JAGGED_COSINE);
    const struct schedule smooth = paper(SCHEDULE_NAME_COSINE);

    for (int64_t merge = 2000; merge < 10000; merge += 2000) {
        const double end = schedule_lr(&smooth, merge + 50);
        for (int64_t s = 0; s < 50; s++) {
            assert_true(fabs(schedule_lr(&jagged, merge + s) - end * (double)s / 50.0) < 1e-15);
        }
        assert_true(schedule_lr(&jagged, merge + 50) == end);
        assert_true(schedule_lr(&jagged, merge - 1) == schedule_lr(&smooth, merge - 1));
    }
}

static void the_smooth_schedules_follow_their_definitions(void **state)
{
    (void)state;
    static const struct {
        enum schedule_name name;
        int64_t t;
        double lr;
    } rows[] = {
        {SCHEDULE_NAME_CONSTANT, 0, 0.0},    {SCHEDULE_NAME_CONSTANT, 250, 0.25},
        {SCHEDULE_NAME_CONSTANT, 1000, 1.0}, {SCHEDULE_NAME_CONSTANT, 9999, 1.0},
        {SCHEDULE_NAME_LINEAR, 250, 0.25},   {SCHEDULE_NAME_LINEAR, 1000, 1.0},
        {SCHEDULE_NAME_LINEAR, 5500, 0.55},  {SCHEDULE_NAME_LINEAR, 9999, 0.1001},
        {SCHEDULE_NAME_COSINE, 250, 0.25},   {SCHEDULE_NAME_COSINE, 1000, 1.0},
        {SCHEDULE_NAME_COSINE, 5500, 0.55},  {SCHEDULE_NAME_COSINE, 4000, 0.775},
        {SCHEDULE_NAME_COSINE, 7000, 0.325},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule schedule = paper(rows[i].name);
        assert_true(fabs(schedule_lr(&schedule, rows[i].t) - rows[i].lr) < 1e-12);
        schedule.peak = 5e-4;
        assert_true(fabs(schedule_lr(&schedule, rows[i].t) - 5e-4 * rows[i].lr) < 1e-15);
    }
}

static void a_run_without_warmup_starts_at_the_peak(void **state)
{
    (void)state;
    for (int name = SCHEDULE_NAME_JAGGED_COSINE; name <= SCHEDULE_NAME_CONSTANT; name++) {
        struct schedule schedule = paper((enum schedule_name)name);
        schedule.warmup = 0;
        assert_true(schedule_lr(&schedule, 0) == 1.0);
        schedule.restart_warmup = 0;
        assert_true(schedule_lr(&schedule, 2000) > 0.1);
    }
}

static void what_does_not_fit_is_refused_with_its_field(void **state)
{
    (void)state;
    struct error err = {0};
    struct schedule schedule = paper(SCHEDULE_NAME_JAGGED_COSINE);
    assert_ok(schedule_validate(&schedule, &err), &err);

    schedule.steps = 9999;
    assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
    assert_string_equal(err.field, "steps");
    assert_contains(err.hint, "10000");

    schedule = paper(SCHEDULE_NAME_JAGGED_COSINE);
    schedule.warmup = 2001;
    assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
    assert_string_equal(err.field, "schedule.warmup");
    schedule.warmup = 2000;
    assert_ok(schedule_validate(&schedule, &err), &err);

    schedule.restart_warmup = 2000;
    assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
    assert_string_equal(err.field, "schedule.restart_warmup");

    schedule = paper(SCHEDULE_NAME_MORA_HF);
    schedule.cycle = 0;
    assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
    assert_string_equal(err.field, "schedule.restart_every");

    schedule = paper(SCHEDULE_NAME_COSINE);
    schedule.steps = 999;
    assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
    assert_string_equal(err.field, "schedule.warmup");

    schedule = paper(SCHEDULE_NAME_LINEAR);
    schedule.min_lr_ratio = (double)NAN;
    assert_int_equal(schedule_validate(&schedule, &err), STATUS_INVALID);
    assert_string_equal(err.field, "schedule.min_lr_ratio");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jagged_cosine_gives_the_published_values),
        cmocka_unit_test(mora_hf_gives_the_published_values),
        cmocka_unit_test(cycles_count_from_the_end_of_full_rank_steps),
        cmocka_unit_test(the_ramp_after_a_merge_ends_on_the_envelope),
        cmocka_unit_test(the_smooth_schedules_follow_their_definitions),
        cmocka_unit_test(a_run_without_warmup_starts_at_the_peak),
        cmocka_unit_test(what_does_not_fit_is_refused_with_its_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
