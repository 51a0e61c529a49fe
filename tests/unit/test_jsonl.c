#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/jsonl.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct collected collected;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    test_folder_create(fixture->folder);
    collected_init(&fixture->collected);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    collected_deinit(&fixture->collected);
    free(fixture);
    return 0;
}

static enum status import(struct fixture *fixture, const void *data, size_t size,
                          const char *text_field, struct error *err)
{
    struct stream *stream = NULL;
    collected_deinit(&fixture->collected);
    collected_init(&fixture->collected);
    write_input(fixture->path, fixture->folder, "input.jsonl", data, size);
    assert_ok(stream_open(&stream, fixture->path, err), err);
    enum status status =
        jsonl_import(stream, fixture->path, text_field, &fixture->collected.sink, err);
    stream_close(stream);
    return status;
}

static void lines_become_texts(void **state)
{
    static const struct {
        const char *jsonl;
        const char *field;
        const char *texts;
    } cases[] = {
        {"{\"text\": \"a\"}\n{\"text\": \"b c\"}\n", "text", "a|b c|"},
        {"{\"text\": \"no newline at the end\"}", "text", "no newline at the end|"},
        {"\n  \n{\"text\": \"x\"}\r\n\r\n", "text", "x|"},
        {"\xef\xbb\xbf{\"text\": \"behind a mark\"}\n", "text", "behind a mark|"},
        {"{\"body\": \"b\", \"text\": 3}\n", "body", "b|"},
        {"{\"text\": \"l\\n\\u00e9\\ud83d\\ude00\"}", "text", "l\n\xc3\xa9\xf0\x9f\x98\x80|"},
        {"{\"id\": 18446744073709551615, \"text\": \"large numbers pass\"}", "text",
         "large numbers pass|"},
        {"", "text", ""},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        assert_ok(import(fixture, cases[i].jsonl, strlen(cases[i].jsonl), cases[i].field, &err),
                  &err);
        assert_string_equal(fixture->collected.texts.data, cases[i].texts);
    }
}

static void a_bad_line_is_named(void **state)
{
    static const struct {
        const char *jsonl;
        const char *text;
    } cases[] = {
        {"{\"text\": \"a\"}\n{\"text\": \n", "line 2"},
        {"{\"text\": \"a\"}\n\n[1]\n", "line 3: not a JSON object"},
        {"{\"text\": 5}\n", "line 1: field 'text' is not a string"},
        {"{\"text\": \"a\"} x\n", "line 1"},
        {"{\"text\": \"a\", \"text\": \"b\"}\n", "line 1: duplicate"},
        {"{\"text\": \"cut in the mid", "line 1"},
        {"plain\n", "line 1"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err = {0};
        assert_int_equal(import(fixture, cases[i].jsonl, strlen(cases[i].jsonl), "text", &err),
                         STATUS_INVALID);
        assert_contains(err.message, fixture->path);
        assert_contains(err.message, cases[i].text);
    }
}

static void bad_bytes_are_counted_and_named(void **state)
{
    struct fixture *fixture = *state;
    const struct document_counts *counts = &fixture->collected.sink.counts;
    struct error err;
    const char jsonl[] =
        "{\"text\": \"good\"}\n{\"text\": \"caf\xe9\"}\n{\"text\": \"a\\u0000b\"}\n"
        "{\"text\": \" \"}\n{\"text\": \"last\"}\n";
    assert_ok(import(fixture, jsonl, sizeof jsonl - 1, "text", &err), &err);
    assert_string_equal(fixture->collected.texts.data, "good|last|");
    assert_int_equal(counts->records, 5);
    assert_int_equal(counts->documents, 2);
    assert_int_equal(counts->drops[DOCUMENT_DROP_BAD_BYTES], 2);
    assert_int_equal(counts->drops[DOCUMENT_DROP_EMPTY], 1);
    assert_contains(fixture->collected.notices.data, "input.jsonl:2: ");
    assert_contains(fixture->collected.notices.data, "byte 0xe9 in column 14");
    assert_contains(fixture->collected.notices.data, "input.jsonl:3: ");
}

static void a_missing_field_is_counted_or_named(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    const char *some = "{\"a\": 1}\n{\"text\": \"x\"}\n{\"text\": null}\n";
    assert_ok(import(fixture, some, strlen(some), "text", &err), &err);
    assert_string_equal(fixture->collected.texts.data, "x|");
    assert_int_equal(fixture->collected.sink.counts.drops[DOCUMENT_DROP_NO_FIELD], 2);
    const char *none = "{\"body\": \"b\", \"id\": 1}\n";
    assert_int_equal(import(fixture, none, strlen(none), "text", &err), STATUS_INVALID);
    assert_contains(err.message, "no line has the field 'text'");
    assert_contains(err.message, "'body', 'id'");
    assert_contains(err.hint, "--text-field");
}

/* Lines that begin in one block of the stream and end in another. */
static void lines_may_be_longer_than_blocks(void **state)
{
    struct fixture *fixture = *state;
    struct bytes jsonl = {0};
    struct bytes expected = {0};
    struct error err;
    for (int i = 0; i < 7; i++) {
        bytes_append_text(&jsonl, "{\"text\": \"");
        for (int j = 0; j < 200 * (int)KIB; j++) {
            bytes_append_char(&jsonl, (char)('a' + (i + j) % 26));
            bytes_append_char(&expected, (char)('a' + (i + j) % 26));
        }
        bytes_append_text(&jsonl, "\"}\n");
        bytes_append_char(&expected, '|');
    }
    assert_ok(import(fixture, jsonl.data, jsonl.size, "text", &err), &err);
    assert_int_equal(fixture->collected.texts.size, expected.size);
    assert_memory_equal(fixture->collected.texts.data, expected.data, expected.size);
    bytes_deinit(&jsonl);
    bytes_deinit(&expected);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(lines_become_texts),
        TEST(a_bad_line_is_named),
        TEST(bad_bytes_are_counted_and_named),
        TEST(a_missing_field_is_counted_or_named),
        TEST(lines_may_be_longer_than_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
