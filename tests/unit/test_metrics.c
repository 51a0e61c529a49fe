#include "daemon/metrics.h"
#include "proto/base/file.h"
#include "tests/support/test.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    struct metrics *metrics;
    int64_t offset; /* of the next line of job 1 */
};

static int fixture_create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char path[PATH_BYTES_MAX];
    bool was_replaced = false;
    struct error err;

    test_folder_create(fixture->folder);
    assert_ok(path_printf(path, &err, "%s/metrics.db", fixture->folder), &err);
    assert_ok(metrics_open(&fixture->metrics, path, &was_replaced, &err), &err);
    assert_true(was_replaced);
    *state = fixture;
    return 0;
}

static int fixture_destroy(void **state)
{
    struct fixture *fixture = *state;

    metrics_close(fixture->metrics);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void ingest(struct fixture *fixture, const char *line, bool is_record)
{
    json_t *record = NULL;
    struct error err;

    assert_ok(
        metrics_ingest(fixture->metrics, 1, fixture->offset, line, strlen(line), &record, &err),
        &err);
    assert_int_equal(record != NULL, is_record);
    json_decref(record);
    fixture->offset += (int64_t)strlen(line) + 1;
}

static void ingest_step(struct fixture *fixture, const char *kind, int attempt, int64_t step,
                        size_t padding_bytes)
{
    char *line = calloc(padding_bytes + 256, 1);
    int size = snprintf(line, 256, "{\"type\": \"%s\", \"attempt\": %d, \"step\": %lld, \"p\": \"",
                        kind, attempt, (long long)step);

    memset(line + size, 'x', padding_bytes);
    memcpy(line + size + padding_bytes, "\"}", 3);
    ingest(fixture, line, true);
    free(line);
}

/* Steps of a page as text, "1 2 3 | 4": rows, then where to go on. */
static void expect_page(struct fixture *fixture, const struct metrics_query *query,
                        const char *expected)
{
    char seen[256] = "";
    json_t *rows = json_array();
    int64_t next = 0;
    size_t index = 0;
    json_t *row = NULL;
    struct error err;

    assert_ok(metrics_page(fixture->metrics, query, rows, &next, &err), &err);
    json_array_foreach(rows, index, row)
    {
        size_t used = strlen(seen);
        (void)snprintf(seen + used, sizeof seen - used, "%lld ",
                       (long long)json_get_int(row, "step", -1));
    }
    json_decref(rows);
    size_t used = strlen(seen);
    (void)snprintf(seen + used, sizeof seen - used, "| %lld", (long long)next);
    assert_string_equal(seen, expected);
}

static void pages_end_at_a_number_of_rows_or_bytes(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        int64_t from_step;
        int64_t limit;
        size_t bytes_max;
        const char *expected;
    } cases[] = {
        {0, 100, MIB, "1 2 3 4 5 6 | -1"}, /* everything */
        {0, 2, MIB, "1 2 | 3"},            /* rows */
        {3, 3, MIB, "3 4 5 | 6"},
        {0, 100, 2500, "1 2 3 | 4"}, /* bytes, of about 1000 a row */
        {4, 100, 2500, "4 5 6 | -1"},
        {0, 100, 1, "1 | 2"}, /* never nothing, or nobody would come further */
        {7, 100, MIB, "| -1"},
    };

    for (int64_t step = 1; step <= 6; step++) {
        ingest_step(fixture, "step", 1, step, 1000);
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct metrics_query query = {.job = 1,
                                            .kind = "step",
                                            .from_step = cases[i].from_step,
                                            .limit = cases[i].limit,
                                            .bytes_max = cases[i].bytes_max};
        expect_page(fixture, &query, cases[i].expected);
    }
}

static void a_later_attempt_supersedes_what_it_does_again(void **state)
{
    struct fixture *fixture = *state;
    struct metrics_query query = {.job = 1, .kind = "step", .limit = 3, .bytes_max = MIB};
    int64_t step = 0;
    int64_t steps = 0;
    struct error err;

    ingest(fixture, "{\"type\": \"start\", \"attempt\": 1, \"step\": 0, \"steps\": 5}", true);
    for (int64_t i = 1; i <= 4; i++) {
        ingest_step(fixture, "step", 1, i, 0);
    }
    ingest(fixture,
           "{\"type\": \"start\", \"attempt\": 2, \"step\": 2, \"steps\": 5, \"resumed_from\": 2}",
           true);
    assert_ok(metrics_progress(fixture->metrics, 1, &step, &steps, &err), &err);
    assert_int_equal(step, 2);
    assert_int_equal(steps, 5);
    ingest_step(fixture, "step", 2, 3, 0);
    expect_page(fixture, &query, "1 2 3 | -1");
    query.with_superseded = true;
    expect_page(fixture, &query, "1 2 3 3 | 4"); /* a step is not cut in two */
}

static void what_is_no_record_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    static const char *const lines[] = {
        "",
        "no JSON",
        "[]",
        "{\"type\": 1, \"attempt\": 1, \"step\": 1}",
        "{\"type\": \"step\", \"step\": 1}",
        "{\"type\": \"step\", \"attempt\": 1, \"step\": \"1\"}",
    };
    int64_t offset = 0;
    struct error err;

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        ingest(fixture, lines[i], false);
    }
    assert_ok(metrics_offset(fixture->metrics, 1, &offset, &err), &err);
    assert_int_equal(offset, fixture->offset);
}

static void a_rollback_takes_rows_and_offset_back_together(void **state)
{
    struct fixture *fixture = *state;
    const struct metrics_query query = {.job = 1, .kind = "step", .limit = 9, .bytes_max = MIB};
    int64_t offset = 0;
    struct error err;

    ingest_step(fixture, "step", 1, 1, 0);
    assert_ok(metrics_commit(fixture->metrics, &err), &err);
    int64_t committed = fixture->offset;
    ingest_step(fixture, "step", 1, 2, 0);
    metrics_rollback(fixture->metrics);
    assert_ok(metrics_offset(fixture->metrics, 1, &offset, &err), &err);
    assert_int_equal(offset, committed);
    expect_page(fixture, &query, "1 | -1");
}

#define with_metrics(test) cmocka_unit_test_setup_teardown(test, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_metrics(pages_end_at_a_number_of_rows_or_bytes),
        with_metrics(a_later_attempt_supersedes_what_it_does_again),
        with_metrics(what_is_no_record_is_passed_over),
        with_metrics(a_rollback_takes_rows_and_offset_back_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
