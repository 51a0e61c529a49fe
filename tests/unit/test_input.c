#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/input.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    struct input_list list;
};

static int set_up(void **state)
{
    static const char *const names[] = {"b.txt",       "a.xml.gz",    "c.jsonl.zst", "notes.md5",
                                        ".hidden.txt", "deep/d.json", "deep/e.bin",  "z[1].txt"};
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char path[PATH_BYTES_MAX];
    struct error err;
    test_folder_create(fixture->folder);
    assert_ok(path_printf(path, &err, "%s/deep", fixture->folder), &err);
    assert_ok(folder_create(path, 0700, &err), &err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        write_input(path, fixture->folder, names[i], names[i], strlen(names[i]));
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    input_list_deinit(&fixture->list);
    free(fixture);
    return 0;
}

/* Fills the list from folder/input. */
static enum status fill(struct fixture *fixture, const char *input, struct error *err)
{
    char path[PATH_BYTES_MAX];
    const char *inputs[] = {path};
    assert_ok(path_printf(path, err, "%s/%s", fixture->folder, input), err);
    input_list_deinit(&fixture->list);
    return input_list_fill(&fixture->list, inputs, 1, err);
}

/* The names of the list's files, relative to the folder, separated by spaces. */
static void assert_names(const struct fixture *fixture, const char *expected)
{
    struct bytes names = {0};
    bytes_append_text(&names, "");
    for (size_t i = 0; i < fixture->list.count; i++) {
        const char *path = fixture->list.files[i].path + strlen(fixture->folder) + 1;
        bytes_append_text(&names, i ? " " : "");
        bytes_append_text(&names, path);
    }
    assert_string_equal(names.data ? names.data : "", expected);
    bytes_deinit(&names);
}

static void inputs_become_sorted_files(void **state)
{
    static const struct {
        const char *input;
        const char *names;
    } cases[] = {
        {"b.txt", "b.txt"},
        {"notes.md5", "notes.md5"}, /* named by itself, so taken */
        {"*.txt", "b.txt z[1].txt"},
        {"z[1].txt", "z[1].txt"}, /* a name, not a pattern */
        {"{b.txt,a.*}", "a.xml.gz b.txt"},
        {"deep", "deep/d.json"},
        {"", "/a.xml.gz /b.txt /c.jsonl.zst /deep/d.json /z[1].txt"},
        {"*", "a.xml.gz b.txt c.jsonl.zst deep/d.json notes.md5 z[1].txt"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        assert_ok(fill(fixture, cases[i].input, &err), &err);
        assert_names(fixture, cases[i].names);
    }
}

static void a_file_named_twice_is_there_once(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_BYTES_MAX];
    char pattern[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s/b.txt", fixture->folder), &err);
    assert_ok(path_printf(pattern, &err, "%s/?.txt", fixture->folder), &err);
    const char *inputs[] = {path, pattern, path};
    assert_ok(input_list_fill(&fixture->list, inputs, 3, &err), &err);
    assert_names(fixture, "b.txt");
    assert_int_equal(fixture->list.bytes, 5);
}

static void what_names_nothing_is_an_error(void **state)
{
    static const struct {
        const char *input;
        const char *text;
    } cases[] = {
        {"none.txt", "none.txt"}, {"*.pdf", "no file matches"}, {"empty", "no text files"}};
    struct fixture *fixture = *state;
    char path[PATH_BYTES_MAX];
    struct error err = {0};
    assert_ok(path_printf(path, &err, "%s/empty", fixture->folder), &err);
    assert_ok(folder_create(path, 0700, &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(fill(fixture, cases[i].input, &err), STATUS_NOT_FOUND);
        assert_contains(err.message, cases[i].text);
        assert_string_equal(err.field, "inputs[0]");
    }
}

static void a_loop_of_links_is_not_followed(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s/deep/loop", fixture->folder), &err);
    assert_int_equal(symlink("..", path), 0);
    assert_ok(fill(fixture, "deep", &err), &err);
    assert_names(fixture, "deep/d.json");
}

static void a_changed_file_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_BYTES_MAX];
    struct error err = {0};
    assert_ok(fill(fixture, "*.txt", &err), &err);
    assert_ok(input_list_check_unchanged(&fixture->list, &err), &err);
    write_input(path, fixture->folder, "b.txt", "longer", 6);
    assert_int_equal(input_list_check_unchanged(&fixture->list, &err), STATUS_CONFLICT);
    assert_contains(err.message, "b.txt");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(inputs_become_sorted_files),     TEST(a_file_named_twice_is_there_once),
        TEST(what_names_nothing_is_an_error), TEST(a_loop_of_links_is_not_followed),
        TEST(a_changed_file_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
