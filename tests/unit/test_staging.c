#include "proto/base/file.h"
#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/staging.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    char output[PATH_BYTES_MAX];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;
    test_folder_create(fixture->folder);
    assert_ok(path_printf(fixture->output, &err, "%s/deep/out", fixture->folder), &err);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static bool has(const struct fixture *fixture, const char *suffix)
{
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s%s", fixture->output, suffix), &err);
    return file_exists(path);
}

/* Builds an output that holds the marker and one file. */
static enum status build(const struct fixture *fixture, const char *name, struct error *err)
{
    struct staging staging = {0};
    char path[PATH_BYTES_MAX];
    enum status status = staging_open(&staging, fixture->output, "marker", err);
    if (!status) {
        write_input(path, staging.folder, "marker", "m", 1);
        write_input(path, staging.folder, name, "x", 1);
        status = staging_commit(&staging, err);
    }
    staging_close(&staging);
    return status;
}

static void an_output_appears_whole(void **state)
{
    const struct fixture *fixture = *state;
    struct error err;
    assert_ok(build(fixture, "first", &err), &err);
    assert_true(has(fixture, "/marker"));
    assert_true(has(fixture, "/first"));
    assert_false(has(fixture, ".partial"));
}

static void an_old_output_is_replaced(void **state)
{
    const struct fixture *fixture = *state;
    struct error err;
    assert_ok(build(fixture, "first", &err), &err);
    assert_ok(build(fixture, "second", &err), &err);
    assert_false(has(fixture, "/first"));
    assert_true(has(fixture, "/second"));
    assert_false(has(fixture, ".partial"));
}

static void what_is_not_ours_is_left_alone(void **state)
{
    const struct fixture *fixture = *state;
    char path[PATH_BYTES_MAX];
    struct error err = {0};
    assert_ok(folder_create(fixture->output, 0700, &err), &err);
    assert_ok(build(fixture, "into an empty folder", &err), &err);
    assert_ok(folder_remove(fixture->output, &err), &err);
    assert_ok(folder_create(fixture->output, 0700, &err), &err);
    write_input(path, fixture->output, "thesis.tex", "x", 1);
    assert_int_equal(build(fixture, "second", &err), STATUS_CONFLICT);
    assert_string_equal(err.field, "output");
    assert_true(has(fixture, "/thesis.tex"));
    assert_false(has(fixture, ".partial"));
}

static void what_is_not_committed_is_removed(void **state)
{
    const struct fixture *fixture = *state;
    struct staging staging = {0};
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(staging_open(&staging, fixture->output, "marker", &err), &err);
    write_input(path, staging.folder, "half", "x", 1);
    staging_close(&staging);
    assert_false(has(fixture, ""));
    assert_false(has(fixture, ".partial"));
}

static void two_builders_exclude_each_other(void **state)
{
    const struct fixture *fixture = *state;
    struct staging staging = {0};
    struct error err = {0};
    assert_ok(staging_open(&staging, fixture->output, "marker", &err), &err);
    assert_int_equal(build(fixture, "second", &err), STATUS_BUSY);
    staging_close(&staging);
    assert_ok(build(fixture, "second", &err), &err);
}

/* As after a power cut: files lie in the staging folder, nobody holds its lock. */
static void remains_of_a_dead_builder_are_removed(void **state)
{
    const struct fixture *fixture = *state;
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(folder, &err, "%s.partial/train", fixture->output), &err);
    assert_ok(folder_create(folder, 0700, &err), &err);
    write_input(path, folder, "00000.tokens.part", "x", 1);
    assert_ok(build(fixture, "first", &err), &err);
    assert_false(has(fixture, "/train"));
    assert_true(has(fixture, "/first"));
}

static void a_slash_at_the_end_means_the_same(void **state)
{
    struct fixture *fixture = *state;
    struct staging staging = {0};
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s//", fixture->output), &err);
    assert_ok(staging_open(&staging, path, "marker", &err), &err);
    assert_string_equal(staging.output, fixture->output);
    staging_close(&staging);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_output_appears_whole),           TEST(an_old_output_is_replaced),
        TEST(what_is_not_ours_is_left_alone),    TEST(what_is_not_committed_is_removed),
        TEST(two_builders_exclude_each_other),   TEST(remains_of_a_dead_builder_are_removed),
        TEST(a_slash_at_the_end_means_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
