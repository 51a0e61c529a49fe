#include "client/table.h"
#include "tests/support/test.h"

static const struct table_column columns[] = {
    {.title = "JOB", .is_number = true},
    {.title = "NAME", .is_flexible = true},
    {.title = "STATE"},
};

static void fill(struct table *table)
{
    table_init(table, columns, 3);
    table_cell(table, STYLE_PLAIN, "%d", 7);
    table_cell(table, STYLE_PLAIN, "pubmed-demo-with-a-long-name");
    table_cell(table, STYLE_GREEN, "running");
    table_cell(table, STYLE_PLAIN, "%d", 1234);
    table_cell(table, STYLE_PLAIN, "學");
    table_cell(table, STYLE_PLAIN, "failed");
}

static const char *render(const struct table *table, const struct terminal *terminal,
                          struct bytes *out)
{
    struct error err;
    bytes_clear(out);
    assert_ok(table_render(table, terminal, out, &err), &err);
    return out->data;
}

static void columns_align(void **state)
{
    struct terminal pipe = {.columns = 20, .has_unicode = true};
    struct table table;
    struct bytes out = {0};
    (void)state;
    fill(&table);
    assert_string_equal(render(&table, &pipe, &out),
                        " JOB  NAME                          STATE\n"
                        "   7  pubmed-demo-with-a-long-name  running\n"
                        "1234  學                            failed\n");
    table_deinit(&table);
    bytes_deinit(&out);
}

static void a_terminal_gets_the_flexible_column_cut_and_colours(void **state)
{
    struct terminal terminal = {.columns = 30, .can_redraw = true, .has_colour = true};
    struct table table;
    struct bytes out = {0};
    (void)state;
    fill(&table);
    assert_contains(render(&table, &terminal, &out), " \x1b[2mJOB\x1b[0m");
    assert_contains(out.data, "   7  pubmed-demo-...  \x1b[32mrunning\x1b[0m\n");
    assert_contains(out.data, "1234  ?               failed\n");
    table_deinit(&table);
    bytes_deinit(&out);
}

static void no_line_ends_in_blanks(void **state)
{
    struct terminal pipe = {.columns = 80};
    struct table table;
    struct bytes out = {0};
    (void)state;
    table_init(&table, columns, 3);
    table_cell(&table, STYLE_PLAIN, "%d", 7);
    table_cell(&table, STYLE_PLAIN, "name");
    table_cell(&table, STYLE_GREEN, "%s", "");
    assert_string_equal(render(&table, &pipe, &out), "JOB  NAME  STATE\n  7  name\n");
    table_deinit(&table);
    bytes_deinit(&out);
}

static void an_empty_table_has_titles(void **state)
{
    struct terminal pipe = {.columns = 80};
    struct table table;
    struct bytes out = {0};
    (void)state;
    table_init(&table, columns, 3);
    assert_string_equal(render(&table, &pipe, &out), "JOB  NAME  STATE\n");
    table_deinit(&table);
    bytes_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_align),
        cmocka_unit_test(a_terminal_gets_the_flexible_column_cut_and_colours),
        cmocka_unit_test(no_line_ends_in_blanks),
        cmocka_unit_test(an_empty_table_has_titles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
