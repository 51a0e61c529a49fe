#include <unistd.h>

#include "client/screen.h"
#include "client/terminal.h"
#include "tests/support/test.h"

static void columns_count_what_a_terminal_shows(void **state)
{
    (void)state;
    assert_int_equal(text_columns(""), 0);
    assert_int_equal(text_columns("loss"), 4);
    assert_int_equal(text_columns("▁▂█"), 3);
    assert_int_equal(text_columns("学習"), 4);
    assert_int_equal(text_columns("e\xcc\x81"), 1);    /* e and a combining accent */
    assert_int_equal(text_columns("\xff\xe2\x82"), 3); /* malformed: one each */
    assert_int_equal(text_columns("\xc0\xaf"), 2);     /* an overlong '/' */
}

static const char *cut(struct bytes *out, const char *text, int columns, bool has_unicode)
{
    bytes_clear(out);
    text_append_cut(out, text, columns, has_unicode);
    bytes_append_char(out, '\0');
    return out->data;
}

static void text_is_cut_at_characters(void **state)
{
    struct bytes out = {0};
    (void)state;
    assert_string_equal(cut(&out, "pubmed-demo", 11, true), "pubmed-demo");
    assert_string_equal(cut(&out, "pubmed-demo", 10, true), "pubmed-de…");
    assert_string_equal(cut(&out, "pubmed-demo", 10, false), "pubmed-...");
    assert_string_equal(cut(&out, "学習学習", 6, true), "学習…");
    assert_string_equal(cut(&out, "pubmed", 1, true), "…");
    assert_string_equal(cut(&out, "pubmed", 0, true), "");
    assert_string_equal(cut(&out, "pubmed", 2, false), "");
    bytes_deinit(&out);
}

static void text_cannot_steer_the_terminal(void **state)
{
    struct bytes out = {0};
    (void)state;
    assert_string_equal(cut(&out, "a\x1b[31mb\r\n", 20, true), "a?[31mb??");
    assert_string_equal(cut(&out,
                            "\xc2\x9b"
                            "31m",
                            20, true),
                        "?31m"); /* CSI as one character */
    assert_string_equal(cut(&out, "\xff", 20, true), "?");
    assert_string_equal(cut(&out, "x\xe2\x80\xae", 20, true), "x?"); /* right-to-left override */
    bytes_deinit(&out);
}

/* The file's bytes since the last call, NUL-terminated. */
static const char *drained(FILE *file, char out[512])
{
    long end = ftell(file);
    rewind(file);
    size_t size = fread(out, 1, (size_t)end < 511 ? (size_t)end : 511, file);
    out[size] = '\0';
    rewind(file);
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    return out;
}

static void a_screen_redraws_its_lines_in_place(void **state)
{
    struct terminal terminal = {.stream = tmpfile(), .columns = 80, .can_redraw = true};
    struct screen screen;
    struct bytes lines = {0};
    struct bytes text = {0};
    char out[512];
    (void)state;

    screen_init(&screen, &terminal);
    bytes_append_text(&lines, "one\ntwo\n");
    screen_draw(&screen, &lines);
    assert_string_equal(drained(terminal.stream, out), "one\ntwo\n");
    screen_draw(&screen, &lines); /* unchanged */
    assert_string_equal(drained(terminal.stream, out), "");
    bytes_append_text(&text, "event\n");
    screen_print(&screen, &text);
    assert_string_equal(drained(terminal.stream, out), "\r\x1b[2A\x1b[0Jevent\none\ntwo\n");
    screen_erase(&screen);
    assert_string_equal(drained(terminal.stream, out), "\r\x1b[2A\x1b[0J");
    screen_print(&screen, &text);
    assert_string_equal(drained(terminal.stream, out), "event\n");

    (void)fclose(terminal.stream);
    screen_deinit(&screen);
    bytes_deinit(&lines);
    bytes_deinit(&text);
}

static void a_pipe_gets_no_drawing_and_no_escapes(void **state)
{
    struct terminal terminal;
    struct screen screen;
    struct bytes text = {0};
    char out[512];
    FILE *file = tmpfile();
    (void)state;

    terminal_init(&terminal, file);
    assert_false(terminal.can_redraw);
    assert_false(terminal.has_colour);
    assert_string_equal(terminal_style(&terminal, STYLE_RED), "");
    screen_init(&screen, &terminal);
    bytes_append_text(&text, "line\n");
    screen_draw(&screen, &text);
    screen_print(&screen, &text);
    screen_erase(&screen);
    assert_string_equal(drained(file, out), "line\n");
    (void)fclose(file);
    screen_deinit(&screen);
    bytes_deinit(&text);
}

static void the_width_comes_from_columns_within_limits(void **state)
{
    static const struct {
        const char *columns;
        int expected;
    } cases[] = {{"132", 132},
                 {"3", TERMINAL_COLUMNS_MIN},
                 {"99999", TERMINAL_COLUMNS_MAX},
                 {"", 80},
                 {"wide", 80}};
    struct terminal terminal = {.stream = tmpfile()};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(setenv("COLUMNS", cases[i].columns, 1), 0);
        terminal_update_columns(&terminal);
        assert_int_equal(terminal.columns, cases[i].expected);
    }
    (void)fclose(terminal.stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_count_what_a_terminal_shows),
        cmocka_unit_test(text_is_cut_at_characters),
        cmocka_unit_test(text_cannot_steer_the_terminal),
        cmocka_unit_test(a_screen_redraws_its_lines_in_place),
        cmocka_unit_test(a_pipe_gets_no_drawing_and_no_escapes),
        cmocka_unit_test(the_width_comes_from_columns_within_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
