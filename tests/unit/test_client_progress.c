#include "client/progress.h"
#include "proto/base/json.h"
#include "tests/support/test.h"

static bool take(struct progress *progress, const char *text)
{
    json_t *record = json_loads(text, 0, NULL);
    assert_non_null(record);
    bool is_news = progress_take(progress, record);
    json_decref(record);
    return is_news;
}

static bool take_step(struct progress *progress, int attempt, int step, double loss)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{\"type\":\"step\",\"attempt\":%d,\"step\":%d,\"loss\":%g,\"lr\":8.1e-4,"
                   "\"grad_norm\":0.9,\"tokens_per_s\":9421.5,\"eta_s\":72}",
                   attempt, step, loss);
    return take(progress, text);
}

static const char *render(const struct progress *progress, const struct terminal *terminal,
                          struct bytes *out)
{
    bytes_clear(out);
    progress_render(progress, terminal, out);
    return out->data;
}

/* A run of 600 steps at step 8, with an evaluation. */
static void fill(struct progress *progress)
{
    *progress = (struct progress){.name = "pubmed-demo", .state = "running"};
    assert_true(take(progress, "{\"type\":\"start\",\"attempt\":1,\"step\":0,\"steps\":16}"));
    for (int step = 1; step <= 8; step++) {
        assert_true(take_step(progress, 1, step, 9 - step));
    }
    assert_true(take(progress, "{\"type\":\"evaluation\",\"attempt\":1,\"step\":8,"
                               "\"loss\":4.41,\"perplexity\":82.269}"));
}

static void a_wide_terminal_shows_all(void **state)
{
    static struct progress progress;
    struct terminal terminal = {.columns = 100, .can_redraw = true, .has_unicode = true};
    struct bytes out = {0};
    (void)state;
    fill(&progress);
    assert_string_equal(
        render(&progress, &terminal, &out),
        "pubmed-demo  running  ━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────   50%  8/16  eta 1m12s\n"
        "loss 1.000 █▇▆▅▄▃▂▁  validation 4.410 (perplexity 82.27)  lr 8.1e-4  9.42k tokens/s\n");
    bytes_deinit(&out);
}

static void no_width_makes_a_line_wrap(void **state)
{
    static struct progress progress;
    struct bytes out = {0};
    (void)state;
    fill(&progress);
    for (int columns = TERMINAL_COLUMNS_MIN; columns < 200; columns++) {
        for (int has_unicode = 0; has_unicode < 2; has_unicode++) {
            struct terminal terminal = {
                .columns = columns, .can_redraw = true, .has_unicode = has_unicode};
            int lines = 0;
            (void)render(&progress, &terminal, &out);
            char *line = out.data;
            for (char *end = strchr(line, '\n'); end != NULL; end = strchr(line, '\n')) {
                *end = '\0';
                /* The tail (percent, steps, eta) is kept whole: it is what people look for. */
                assert_true(text_columns(line) < (columns < 34 ? 34 : columns));
                line = end + 1;
                lines++;
            }
            assert_int_equal(lines, PROGRESS_LINES);
        }
    }
    bytes_deinit(&out);
}

static void ascii_and_colour_follow_the_terminal(void **state)
{
    static struct progress progress;
    struct terminal terminal = {.columns = 80, .can_redraw = true};
    struct bytes out = {0};
    (void)state;
    fill(&progress);
    assert_contains(render(&progress, &terminal, &out), "####....");
    for (size_t i = 0; i < out.size; i++) {
        assert_true(out.data[i] == '\n' || (out.data[i] >= ' ' && out.data[i] <= '~'));
    }
    terminal.has_colour = true;
    assert_contains(render(&progress, &terminal, &out),
                    "\x1b[1mpubmed-demo\x1b[0m  \x1b[36mrunning");
    bytes_deinit(&out);
}

static void a_queued_job_says_why(void **state)
{
    static struct progress progress = {
        .name = "second", .state = "queued", .note = "waits for 2 slots; 0 are free"};
    struct terminal terminal = {.columns = 80, .can_redraw = true};
    struct bytes out = {0};
    (void)state;
    assert_string_equal(render(&progress, &terminal, &out),
                        "second  queued\nwaits for 2 slots; 0 are free\n");
    bytes_deinit(&out);
}

static void records_count_once_whatever_way_they_come(void **state)
{
    static struct progress progress;
    (void)state;
    fill(&progress);
    assert_false(take_step(&progress, 1, 8, 1)); /* from a page of metrics and live */
    assert_false(take_step(&progress, 1, 5, 1));
    assert_true(take_step(&progress, 1, 9, 1));
    assert_int_equal(progress.training.count, 9);
    assert_false(take(&progress, "{\"type\":\"evaluation\",\"attempt\":1,\"step\":8,\"loss\":1}"));
    assert_false(take(&progress, "{\"type\":\"merge\",\"attempt\":1,\"step\":9}"));
    assert_false(take(&progress, "{}"));
}

static void a_second_attempt_computes_steps_again(void **state)
{
    static struct progress progress;
    (void)state;
    fill(&progress);
    assert_true(take(&progress, "{\"type\":\"start\",\"attempt\":2,\"step\":4,\"steps\":16,"
                                "\"resumed_from\":4}"));
    assert_int_equal(progress.step, 4);
    assert_true(take_step(&progress, 2, 5, 4));
    assert_int_equal(progress.training.count, 5);
    assert_false(take_step(&progress, 1, 9, 1)); /* a late one of the dead attempt */
}

static void a_loss_that_is_no_number_is_shown_as_such(void **state)
{
    static struct progress progress;
    struct bytes out = {0};
    (void)state;
    assert_true(take(&progress, "{\"type\":\"step\",\"attempt\":1,\"step\":3,\"loss\":null,"
                                "\"loss_non_finite\":\"nan\"}"));
    progress_render_plain(&progress, &out);
    assert_string_equal(out.data, "step 3  loss nan  lr -  grad norm nan  - tokens/s  eta -\n");
    bytes_deinit(&out);
}

static void a_log_gets_about_twenty_lines(void **state)
{
    struct progress progress = {.steps = 600};
    int lines = 0;
    (void)state;
    for (progress.step = 1; progress.step <= 600; progress.step++) {
        lines += progress_is_milestone(&progress);
    }
    assert_int_equal(lines, 21);
    progress.steps = 7;
    progress.step = 3;
    assert_true(progress_is_milestone(&progress));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wide_terminal_shows_all),
        cmocka_unit_test(no_width_makes_a_line_wrap),
        cmocka_unit_test(ascii_and_colour_follow_the_terminal),
        cmocka_unit_test(a_queued_job_says_why),
        cmocka_unit_test(records_count_once_whatever_way_they_come),
        cmocka_unit_test(a_second_attempt_computes_steps_again),
        cmocka_unit_test(a_loss_that_is_no_number_is_shown_as_such),
        cmocka_unit_test(a_log_gets_about_twenty_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
