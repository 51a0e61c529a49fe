#include <unistd.h>

#include "proto/base/file.h"
#include "proto/shards/shard.h"
#include "tests/support/test.h"

/* Three documents (1 2 0 | 3 0 | 4 0) of a vocabulary of 5, 16-bit tokens; EOS is 0. The
 * bytes were put together outside of this program, from the format's description. */
#define GOLDEN_TOKENS     7
#define GOLDEN_TOKENS_END (SHARD_HEADER_BYTES + 2 * GOLDEN_TOKENS)
#define GOLDEN_DOCUMENTS  (SHARD_HEADER_BYTES + 16)
#define GOLDEN_BYTES      (GOLDEN_DOCUMENTS + 24)

static const uint8_t golden[GOLDEN_BYTES] = {
    0x72, 0x65, 0x6d, 0x6f, 0x72, 0x61, 0x54, 0x4b, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
    0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x5f, 0x97, 0xe3, 0x77, 0x4c, 0x51, 0xed, 0xd1,
    0xd6, 0x37, 0x06, 0xc2, 0xec, 0x38, 0x26, 0xc5, 0x64, 0xa0, 0x67, 0x79, 0x47, 0x70, 0xcd, 0xab,
    0x0f, 0x8c, 0x47, 0x97, 0x97, 0x1c, 0xac, 0xf9, 0xcb, 0x29, 0xd9, 0x5d, 0x29, 0x8b, 0x4a, 0x3d,
    0x64, 0x2d, 0xff, 0x26, 0xeb, 0xda, 0x4e, 0x8e, 0x19, 0xdd, 0x84, 0xf4, 0xc3, 0xdd, 0xe9, 0xb4,
    0xb0, 0xc8, 0xa2, 0x94, 0xb4, 0xf7, 0xfd, 0xc2, 0xca, 0x3c, 0xe3, 0x38, 0xf5, 0x11, 0x11, 0x80,
    0xd8, 0xab, 0x7e, 0xeb, 0xde, 0x2d, 0x90, 0x08, 0x11, 0x21, 0xaf, 0x12, 0x23, 0x8a, 0x0b, 0x5a,
    0x44, 0x19, 0xf8, 0xeb, 0xaa, 0x19, 0xe6, 0xf4, 0x19, 0xc8, 0xb2, 0xba, 0x65, 0xae, 0xa3, 0x4f,
    0x6f, 0x0f, 0x8d, 0x5a, 0xbf, 0xf2, 0x86, 0xa4, 0x41, 0x52, 0xac, 0xdd, 0x16, 0xaf, 0x67, 0xb7,
    0x5c, 0xdc, 0x48, 0x8f, 0xa3, 0x87, 0xe1, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    uint8_t bytes[GOLDEN_BYTES];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;
    test_folder_create(fixture->folder);
    assert_ok(path_printf(fixture->path, &err, "%s/00000.tokens", fixture->folder), &err);
    memcpy(fixture->bytes, golden, sizeof golden);
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

static void put(uint8_t *at, int count, uint64_t value)
{
    for (int i = 0; i < count; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Makes the header's digest true again after a field was changed. */
static void sign(uint8_t *bytes)
{
    struct digest digest;
    digest_of(&digest, bytes, SHARD_DIGEST_AT);
    memcpy(bytes + SHARD_DIGEST_AT, digest.bytes, DIGEST_BYTES);
}

static enum status open_bytes(struct fixture *fixture, size_t size, struct shard **out,
                              struct error *err)
{
    assert_ok(file_write(fixture->path, fixture->bytes, size, 0600, err), err);
    return shard_open(out, fixture->path, err);
}

/* The file with these bytes is refused, the message naming the file and the field. */
static void assert_refused(struct fixture *fixture, size_t size, enum status expected,
                           const char *field)
{
    struct shard *shard = NULL;
    struct error err = {0};
    enum status status = open_bytes(fixture, size, &shard, &err);
    if (!status) {
        status = shard_verify(shard, &err);
        shard_close(shard);
    }
    assert_int_equal(status, expected);
    assert_contains(err.message, fixture->path);
    assert_contains(err.message, field);
}

static void golden_bytes_are_read(void **state)
{
    static const uint32_t expected[GOLDEN_TOKENS] = {1, 2, 0, 3, 0, 4, 0};
    struct shard *shard = NULL;
    struct error err;

    assert_ok(open_bytes(*state, GOLDEN_BYTES, &shard, &err), &err);
    const struct shard_header *header = shard_header_of(shard);
    assert_int_equal(header->token_bytes, 2);
    assert_int_equal(header->vocab_size, 5);
    assert_int_equal(header->eos_id, 0);
    assert_int_equal(header->token_count, GOLDEN_TOKENS);
    assert_int_equal(header->document_count, 3);
    assert_int_equal(shard_document_start(shard, 0), 0);
    assert_int_equal(shard_document_start(shard, 1), 3);
    assert_int_equal(shard_document_start(shard, 2), 5);
    uint32_t tokens[GOLDEN_TOKENS];
    assert_ok(shard_read(shard, 0, GOLDEN_TOKENS, tokens, &err), &err);
    assert_memory_equal(tokens, expected, sizeof tokens);
    assert_ok(shard_read(shard, 3, 2, tokens, &err), &err);
    assert_memory_equal(tokens, expected + 3, 2 * sizeof *tokens);
    assert_ok(shard_verify(shard, &err), &err);
    shard_close(shard);
}

static void the_header_encodes_to_golden_bytes(void **state)
{
    (void)state;
    struct shard_header header;
    struct error err;
    uint8_t bytes[SHARD_HEADER_BYTES];

    assert_ok(shard_header_decode(&header, golden, sizeof golden, &err), &err);
    memset(&header.digest, 0, sizeof header.digest);
    shard_header_encode(bytes, &header);
    assert_memory_equal(bytes, golden, sizeof bytes);
    assert_int_equal(shard_file_bytes(&header), GOLDEN_BYTES);
}

static void every_truncation_is_refused(void **state)
{
    for (size_t size = 0; size < GOLDEN_BYTES; size++) {
        assert_refused(*state, size, STATUS_CORRUPT,
                       size < SHARD_HEADER_BYTES ? "header" : "token_count");
    }
}

static void every_flipped_bit_is_found(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < GOLDEN_BYTES; i++) {
        fixture->bytes[i] ^= (uint8_t)(1U << i % 8);
        struct shard *shard = NULL;
        struct error err = {0};
        enum status status = open_bytes(fixture, GOLDEN_BYTES, &shard, &err);
        if (!status) {
            status = shard_verify(shard, &err);
            shard_close(shard);
        }
        assert_true(status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
        assert_contains(err.message, fixture->path);
        fixture->bytes[i] = golden[i];
    }
}

static void each_field_is_held_to_its_limits(void **state)
{
    static const struct {
        size_t offset;
        int bytes;
        uint64_t value;
        enum status status;
        const char *field;
    } cases[] = {
        {0, 8, 0, STATUS_CORRUPT, "magic"},
        {0, 8, UINT64_MAX, STATUS_CORRUPT, "magic"},
        {8, 4, 0, STATUS_CORRUPT, "version"},
        {8, 4, SHARD_VERSION + 1, STATUS_UNSUPPORTED, "version"},
        {8, 4, UINT32_MAX, STATUS_UNSUPPORTED, "version"},
        {12, 4, 0, STATUS_CORRUPT, "token_bytes"},
        {12, 4, 1, STATUS_CORRUPT, "token_bytes"},
        {12, 4, 4, STATUS_CORRUPT, "token_bytes"},
        {12, 4, UINT32_MAX, STATUS_CORRUPT, "token_bytes"},
        {16, 4, 0, STATUS_CORRUPT, "vocab_size"},
        {16, 4, 4, STATUS_CORRUPT, "vocabulary"}, /* token 4 is then outside */
        {16, 4, (1 << 16) + 1, STATUS_CORRUPT, "token_bytes"},
        {16, 4, VOCAB_SIZE_MAX, STATUS_CORRUPT, "token_bytes"},
        {16, 4, VOCAB_SIZE_MAX + 1, STATUS_CORRUPT, "vocab_size"},
        {16, 4, UINT32_MAX, STATUS_CORRUPT, "vocab_size"},
        {20, 4, 5, STATUS_CORRUPT, "eos_id"},
        {20, 4, UINT32_MAX, STATUS_CORRUPT, "eos_id"},
        {24, 8, 0, STATUS_CORRUPT, "token_count"},
        {24, 8, GOLDEN_TOKENS - 4, STATUS_CORRUPT, "token_count"},
        {24, 8, GOLDEN_TOKENS + 2, STATUS_CORRUPT, "token_count"},
        {24, 8, SHARD_TOKENS_MAX, STATUS_CORRUPT, "token_count"},
        {24, 8, SHARD_TOKENS_MAX + 1, STATUS_CORRUPT, "token_count"},
        {24, 8, UINT64_MAX, STATUS_CORRUPT, "token_count"},
        {24, 8, (uint64_t)1 << 63, STATUS_CORRUPT, "token_count"},
        {32, 8, 0, STATUS_CORRUPT, "token_count"},
        {32, 8, 2, STATUS_CORRUPT, "documents"},
        {32, 8, GOLDEN_TOKENS + 1, STATUS_CORRUPT, "document_count"},
        {32, 8, UINT64_MAX, STATUS_CORRUPT, "document_count"},
        {72, 4, 1, STATUS_CORRUPT, "tokens_digest"},
        {104, 4, 1, STATUS_CORRUPT, "documents_digest"},
        {168, 8, 1, STATUS_CORRUPT, "reserved"},
        {191, 1, 0x80, STATUS_CORRUPT, "reserved"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(fixture->bytes, golden, sizeof golden);
        put(fixture->bytes + cases[i].offset, cases[i].bytes, cases[i].value);
        sign(fixture->bytes);
        assert_refused(fixture, GOLDEN_BYTES, cases[i].status, cases[i].field);
    }
}

/* The reader refuses a token outside the vocabulary even without verify. */
static void reading_a_token_outside_the_vocabulary_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct shard *shard = NULL;
    struct error err = {0};
    uint32_t tokens[GOLDEN_TOKENS];

    put(fixture->bytes + SHARD_HEADER_BYTES + 2, 2, 5);
    assert_ok(open_bytes(fixture, GOLDEN_BYTES, &shard, &err), &err);
    assert_int_equal(shard_read(shard, 0, GOLDEN_TOKENS, tokens, &err), STATUS_CORRUPT);
    assert_contains(err.message, "token 1: 5");
    assert_ok(shard_read(shard, 2, 5, tokens, &err), &err);
    shard_close(shard);
}

/* Verify names what is wrong when the digests were made to match. */
static void verify_checks_what_the_digests_cover(void **state)
{
    static const struct {
        size_t offset;
        int bytes;
        uint64_t value;
        const char *field;
    } cases[] = {
        {SHARD_HEADER_BYTES + 2, 2, 5, "token 1: 5"},
        {SHARD_HEADER_BYTES, 2, UINT16_MAX, "token 0: 65535"},
        {GOLDEN_TOKENS_END, 1, 1, "padding"},
        {GOLDEN_DOCUMENTS + 8, 8, 0, "document offset 1"},
        {GOLDEN_DOCUMENTS + 16, 8, GOLDEN_TOKENS, "document offset 2"},
        {GOLDEN_DOCUMENTS + 16, 8, UINT64_MAX, "document offset 2"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct digest digest;
        memcpy(fixture->bytes, golden, sizeof golden);
        put(fixture->bytes + cases[i].offset, cases[i].bytes, cases[i].value);
        digest_of(&digest, fixture->bytes + SHARD_HEADER_BYTES, 2 * GOLDEN_TOKENS);
        memcpy(fixture->bytes + 72, digest.bytes, DIGEST_BYTES);
        digest_of(&digest, fixture->bytes + GOLDEN_DOCUMENTS, 24);
        memcpy(fixture->bytes + 104, digest.bytes, DIGEST_BYTES);
        sign(fixture->bytes);
        assert_refused(fixture, GOLDEN_BYTES, STATUS_CORRUPT, cases[i].field);
    }
}

static void what_is_no_file_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct shard *shard = NULL;
    struct error err = {0};

    assert_int_equal(shard_open(&shard, fixture->path, &err), STATUS_NOT_FOUND);
    assert_contains(err.message, fixture->path);
    assert_int_equal(shard_open(&shard, fixture->folder, &err), STATUS_CORRUPT);
    assert_contains(err.message, "not a regular file");
    assert_null(shard);
}

static enum status open_golden(void *context, struct error *err)
{
    struct fixture *fixture = context;
    struct shard *shard = NULL;
    enum status status = shard_open(&shard, fixture->path, err);
    shard_close(shard);
    return status;
}

static void each_failing_call_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    assert_ok(file_write(fixture->path, golden, sizeof golden, 0600, &err), &err);
    test_fail_each_call(open_golden, NULL, fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(golden_bytes_are_read),
        TEST(the_header_encodes_to_golden_bytes),
        TEST(every_truncation_is_refused),
        TEST(every_flipped_bit_is_found),
        TEST(each_field_is_held_to_its_limits),
        TEST(reading_a_token_outside_the_vocabulary_is_refused),
        TEST(verify_checks_what_the_digests_cover),
        TEST(what_is_no_file_is_named),
        TEST(each_failing_call_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
