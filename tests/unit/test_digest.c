#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "tests/support/test.h"

/* FIPS 180-4's examples. */
static const struct {
    const char *text;
    const char *hex;
} known[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void digests_are_the_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct digest digest;
        char hex[DIGEST_HEX_BYTES];
        digest_of(&digest, known[i].text, strlen(known[i].text));
        digest_to_hex(hex, &digest);
        assert_string_equal(hex, known[i].hex);
    }
}

static void a_stream_in_pieces_equals_the_whole_and_starts_anew(void **state)
{
    (void)state;
    struct error err;
    struct digest_stream *stream = NULL;
    struct digest whole;
    struct digest pieces;
    assert_ok(digest_stream_create(&stream, &err), &err);
    digest_of(&whole, known[2].text, strlen(known[2].text));
    for (int round = 0; round < 2; round++) {
        for (const char *at = known[2].text; *at != '\0'; at++) {
            digest_stream_update(stream, at, 1);
        }
        digest_stream_finish(stream, &pieces);
        assert_true(digest_equal(&whole, &pieces));
    }
    digest_stream_destroy(stream);
    digest_stream_destroy(NULL);
}

static void hex_has_one_spelling(void **state)
{
    (void)state;
    struct digest digest;
    char hex[DIGEST_HEX_BYTES + 1] = "";
    assert_true(digest_from_hex(&digest, known[1].hex));
    digest_to_hex(hex, &digest);
    assert_string_equal(hex, known[1].hex);
    assert_false(digest_from_hex(&digest, ""));
    hex[0] = 'B';
    assert_false(digest_from_hex(&digest, hex));
    hex[0] = 'g';
    assert_false(digest_from_hex(&digest, hex));
    (void)strcpy(hex, known[1].hex);
    hex[63] = '\0';
    assert_false(digest_from_hex(&digest, hex));
    (void)strcpy(hex, known[1].hex);
    hex[64] = 'a';
    assert_false(digest_from_hex(&digest, hex));
}

struct file_case {
    char path[PATH_BYTES_MAX];
    struct digest expected;
};

static enum status digest_the_file(void *context, struct error *err)
{
    struct file_case *file = context;
    struct digest digest;
    enum status status = digest_of_file(&digest, file->path, err);
    if (status == STATUS_OK) {
        assert_true(digest_equal(&digest, &file->expected));
    }
    return status;
}

static void a_file_has_the_digest_of_its_bytes_whatever_fails(void **state)
{
    (void)state;
    struct error err;
    struct file_case file;
    char folder[PATH_BYTES_MAX];
    static char content[3 * 1024 * 1024 + 17];
    memset(content, 'z', sizeof content);
    test_folder_create(folder);
    assert_ok(path_printf(file.path, &err, "%s/data", folder), &err);
    assert_ok(file_write(file.path, content, sizeof content, 0600, &err), &err);
    digest_of(&file.expected, content, sizeof content);
    test_fail_each_call(digest_the_file, NULL, &file);
    assert_int_equal(digest_of_file(&file.expected, "/nonexistent/x", &err), STATUS_NOT_FOUND);
    assert_contains(err.message, "/nonexistent/x");
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_the_known_answers),
        cmocka_unit_test(a_stream_in_pieces_equals_the_whole_and_starts_anew),
        cmocka_unit_test(hex_has_one_spelling),
        cmocka_unit_test(a_file_has_the_digest_of_its_bytes_whatever_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
