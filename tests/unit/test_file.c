#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "tests/support/test.h"

#define OLD "the old content"
#define NEW "the new content, which is longer"

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
};

static int setup(void **state)
{
    struct error err;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    test_folder_create(fixture->folder);
    assert_ok(path_printf(fixture->path, &err, "%s/file", fixture->folder), &err);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    assert_false(file_exists(fixture->folder));
    free(fixture);
    return 0;
}

static int entry_count(const char *folder)
{
    int count = 0;
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    while (readdir(entries) != NULL) {
        count++;
    }
    (void)closedir(entries);
    return count - 2; /* "." and ".." */
}

static void assert_content(const char *path, const char *expected)
{
    struct error err;
    struct bytes bytes = {0};
    assert_ok(file_read(&bytes, path, 1 * MIB, &err), &err);
    assert_string_equal(bytes.data, expected);
    bytes_deinit(&bytes);
}

static void what_was_written_is_read_back(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct stat facts;
    assert_ok(file_write(fixture->path, OLD, strlen(OLD), 0600, &err), &err);
    assert_content(fixture->path, OLD);
    assert_ok(file_write(fixture->path, NEW, strlen(NEW), 0600, &err), &err);
    assert_content(fixture->path, NEW);
    assert_int_equal(stat(fixture->path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777U, 0600);
    assert_int_equal(file_size(fixture->path), strlen(NEW));
    assert_int_equal(entry_count(fixture->folder), 1);
}

static void reading_stops_at_the_limit(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct bytes bytes = {0};
    assert_ok(file_write(fixture->path, OLD, strlen(OLD), 0600, &err), &err);
    assert_ok(file_read(&bytes, fixture->path, strlen(OLD), &err), &err);
    assert_int_equal(file_read(&bytes, fixture->path, strlen(OLD) - 1, &err), STATUS_LIMIT);
    assert_contains(err.message, fixture->path);
    assert_int_equal(bytes.size, 0);
    assert_int_equal(file_read(&bytes, "/dev/zero", 100000, &err), STATUS_LIMIT);
    assert_int_equal(file_read(&bytes, fixture->folder, 10, &err), STATUS_INVALID);
    bytes_deinit(&bytes);
}

static void creating_refuses_a_name_that_is_taken(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    assert_ok(file_create(fixture->path, OLD, strlen(OLD), 0600, &err), &err);
    assert_int_equal(file_create(fixture->path, NEW, strlen(NEW), 0600, &err), STATUS_CONFLICT);
    assert_content(fixture->path, OLD);
    assert_int_equal(entry_count(fixture->folder), 1);
}

static enum status write_new(void *context, struct error *err)
{
    const struct fixture *fixture = context;
    return file_write(fixture->path, NEW, strlen(NEW), 0600, err);
}

/* Old or new, never a part; nothing left beside it; and new when all went well. */
static void check_whole(void *context, enum status status, const struct error *err)
{
    struct fixture *fixture = context;
    struct error ignored;
    struct bytes bytes = {0};
    (void)err;
    assert_ok(file_read(&bytes, fixture->path, 1 * MIB, &ignored), &ignored);
    assert_true(strcmp(bytes.data, NEW) == 0 || (status && strcmp(bytes.data, OLD) == 0));
    assert_int_equal(entry_count(fixture->folder), 1);
    assert_ok(file_write(fixture->path, OLD, strlen(OLD), 0600, &ignored), &ignored);
    bytes_deinit(&bytes);
}

static void every_failing_call_leaves_a_whole_file(void **state)
{
    struct error err;
    struct fixture *fixture = *state;
    assert_ok(file_write(fixture->path, OLD, strlen(OLD), 0600, &err), &err);
    test_fail_each_call(write_new, check_whole, fixture);
    assert_content(fixture->path, NEW);
}

static enum status make_folders(void *context, struct error *err)
{
    const struct fixture *fixture = context;
    char path[PATH_BYTES_MAX];
    enum status status = path_printf(path, err, "%s/a//b/c/", fixture->folder);
    return status ? status : folder_create(path, 0700, err);
}

static void folders_are_made_whatever_was_there(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    test_fail_each_call(make_folders, NULL, fixture);
    assert_ok(path_printf(path, &err, "%s/a/b/c", fixture->folder), &err);
    assert_true(file_exists(path));
    assert_ok(file_write(fixture->path, OLD, strlen(OLD), 0600, &err), &err);
    assert_int_equal(folder_create(fixture->path, 0700, &err), STATUS_CONFLICT);
}

static void removal_does_not_follow_links(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char folder[PATH_BYTES_MAX];
    char link[PATH_BYTES_MAX];
    assert_ok(make_folders(fixture, &err), &err);
    assert_ok(file_write(fixture->path, OLD, strlen(OLD), 0600, &err), &err);
    assert_ok(path_printf(folder, &err, "%s/a", fixture->folder), &err);
    assert_ok(path_printf(link, &err, "%s/a/b/link", fixture->folder), &err);
    assert_int_equal(symlink("../../file", link), 0);
    assert_ok(path_printf(link, &err, "%s/a/b/up", fixture->folder), &err);
    assert_int_equal(symlink("../..", link), 0);
    assert_ok(folder_remove(folder, &err), &err);
    assert_false(file_exists(folder));
    assert_content(fixture->path, OLD);
    assert_ok(folder_remove(folder, &err), &err); /* a missing one is fine */
}

static void paths_are_resolved_and_limited(void **state)
{
    (void)state;
    struct error err;
    char out[PATH_BYTES_MAX];
    assert_ok(path_resolve(out, "/data", "train", &err), &err);
    assert_string_equal(out, "/data/train");
    assert_ok(path_resolve(out, "/data", "/train", &err), &err);
    assert_string_equal(out, "/train");
    assert_ok(path_resolve(out, NULL, "train", &err), &err);
    assert_string_equal(out, "train");
    assert_ok(path_printf(out, &err, "%0*d", PATH_BYTES_MAX - 1, 0), &err);
    assert_int_equal(path_printf(out, &err, "%0*d", PATH_BYTES_MAX, 0), STATUS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_stops_at_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(creating_refuses_a_name_that_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failing_call_leaves_a_whole_file, setup, teardown),
        cmocka_unit_test_setup_teardown(folders_are_made_whatever_was_there, setup, teardown),
        cmocka_unit_test_setup_teardown(removal_does_not_follow_links, setup, teardown),
        cmocka_unit_test(paths_are_resolved_and_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
