#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/shards/shard.h"
#include "proto/shards/shard_set.h"
#include "proto/shards/shard_writer.h"
#include "tests/support/test.h"

#define DOCUMENTS  40
#define TOKENS_MAX 1000

struct fixture {
    char parent[PATH_BYTES_MAX];
    char folder[PATH_BYTES_MAX];
    struct shard_writer_options options;
    uint32_t stream[TOKENS_MAX]; /* what was written */
    int64_t stream_count;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;
    test_folder_create(fixture->parent);
    assert_ok(path_printf(fixture->folder, &err, "%s/made/shards", fixture->parent), &err);
    fixture->options = (struct shard_writer_options){.vocab_size = 300, .eos_id = 2};
    digest_of(&fixture->options.tokenizer_digest, "model", 5);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->parent);
    free(fixture);
    return 0;
}

/* Documents of 1 … 37 tokens, appended in two parts. */
static enum status write_documents(struct fixture *fixture, struct shard_writer *writer,
                                   struct error *err)
{
    fixture->stream_count = 0;
    for (uint32_t document = 0; document < DOCUMENTS; document++) {
        uint32_t *tokens = fixture->stream + fixture->stream_count;
        int64_t count = 1 + rng_below(7, 0, document, 37);
        for (int64_t i = 0; i < count; i++) {
            uint64_t index = (uint64_t)(fixture->stream_count + i);
            tokens[i] = 3 + rng_below(7, 1, index, fixture->options.vocab_size - 3);
        }
        tokens[count] = fixture->options.eos_id;
        fixture->stream_count += count + 1;
        assert_true(fixture->stream_count <= TOKENS_MAX);
        enum status status = shard_writer_append(writer, tokens, count / 3, err);
        if (!status) {
            status = shard_writer_append(writer, tokens + count / 3, count - count / 3, err);
        }
        if (!status) {
            status = shard_writer_end_document(writer, err);
        }
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status write_set(void *context, struct error *err)
{
    struct fixture *fixture = context;
    struct shard_writer *writer = NULL;

    enum status status = shard_writer_create(&writer, fixture->folder, &fixture->options, err);
    if (!status) {
        status = write_documents(fixture, writer, err);
    }
    if (!status) {
        status = shard_writer_finish(writer, NULL, err);
    }
    shard_writer_destroy(writer);
    return status;
}

static void assert_reads_back(const struct fixture *fixture, size_t file_count)
{
    struct shard_set *set = NULL;
    struct error err;
    uint32_t tokens[TOKENS_MAX];

    assert_ok(shard_set_open(&set, fixture->folder, &err), &err);
    assert_int_equal(shard_set_file_count(set), file_count);
    assert_int_equal(shard_set_token_count(set), fixture->stream_count);
    assert_int_equal(shard_set_document_count(set), DOCUMENTS);
    assert_int_equal(shard_set_vocab_size(set), fixture->options.vocab_size);
    assert_int_equal(shard_set_eos_id(set), 2);
    assert_true(digest_equal(shard_set_tokenizer_digest(set), &fixture->options.tokenizer_digest));
    for (int64_t first = 0; first < fixture->stream_count; first += 13) {
        int64_t count = fixture->stream_count - first;
        assert_ok(shard_set_read(set, first, count, tokens, &err), &err);
        assert_memory_equal(tokens, fixture->stream + first, (size_t)count * sizeof *tokens);
    }
    int64_t document = 0;
    for (int64_t token = 0; token < fixture->stream_count; token++) {
        assert_int_equal(shard_set_document_at(set, token), document);
        document += fixture->stream[token] == fixture->options.eos_id;
    }
    assert_ok(shard_set_verify(set, &err), &err);
    shard_set_close(set);
}

static void what_is_written_reads_back(void **state)
{
    static const struct {
        uint32_t vocab_size;
        int64_t file_tokens_max;
    } cases[] = {{300, 0},     {300, 1},     {300, 64},   {300, 17},
                 {65536, 100}, {65537, 100}, {32000, 999}};
    struct fixture *fixture = *state;
    struct error err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture->options.vocab_size = cases[i].vocab_size;
        fixture->options.file_tokens_max = cases[i].file_tokens_max;
        assert_ok(folder_remove(fixture->folder, &err), &err);
        assert_ok(write_set(fixture, &err), &err);
        int64_t max = cases[i].file_tokens_max ? cases[i].file_tokens_max : SHARD_FILE_TOKENS;
        assert_reads_back(fixture, (size_t)((fixture->stream_count + max - 1) / max));
    }
}

static void the_digest_names_the_stream(void **state)
{
    struct fixture *fixture = *state;
    struct digest first;
    struct digest again;
    struct digest other;
    struct error err;

    assert_ok(write_set(fixture, &err), &err);
    assert_ok(shard_set_digest_of(&first, fixture->folder, &err), &err);
    assert_ok(folder_remove(fixture->folder, &err), &err);
    assert_ok(write_set(fixture, &err), &err);
    assert_ok(shard_set_digest_of(&again, fixture->folder, &err), &err);
    assert_true(digest_equal(&first, &again));
    assert_ok(folder_remove(fixture->folder, &err), &err);
    fixture->options.tokenizer_digest.bytes[0] ^= 1;
    assert_ok(write_set(fixture, &err), &err);
    assert_ok(shard_set_digest_of(&other, fixture->folder, &err), &err);
    assert_false(digest_equal(&first, &other));
}

static void sequences_overlap_by_one(void **state)
{
    struct fixture *fixture = *state;
    struct shard_set *set = NULL;
    struct error err = {0};
    uint32_t tokens[9];

    fixture->options.file_tokens_max = 50;
    assert_ok(write_set(fixture, &err), &err);
    assert_ok(shard_set_open(&set, fixture->folder, &err), &err);
    int64_t count = shard_set_sequence_count(set, 8);
    assert_int_equal(count, (fixture->stream_count - 1) / 8);
    for (int64_t j = 0; j < count; j++) {
        assert_ok(shard_set_read_sequence(set, j, 8, tokens, &err), &err);
        assert_memory_equal(tokens, fixture->stream + j * 8, sizeof tokens);
    }
    assert_int_equal(shard_set_read_sequence(set, count, 8, tokens, &err), STATUS_INVALID);
    assert_int_equal(shard_set_read_sequence(set, -1, 8, tokens, &err), STATUS_INVALID);
    /* A stream of exactly T + 1 tokens has one sequence; of T, none. */
    assert_int_equal(shard_set_sequence_count(set, fixture->stream_count - 1), 1);
    assert_int_equal(shard_set_sequence_count(set, fixture->stream_count), 0);
    shard_set_close(set);
}

static void reading_past_the_stream_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct shard_set *set = NULL;
    struct error err = {0};
    uint32_t token;

    assert_ok(write_set(fixture, &err), &err);
    assert_ok(shard_set_open(&set, fixture->folder, &err), &err);
    int64_t total = shard_set_token_count(set);
    assert_ok(shard_set_read(set, total, 0, &token, &err), &err);
    assert_ok(shard_set_read(set, total - 1, 1, &token, &err), &err);
    assert_int_equal(token, 2);
    const int64_t bad[][2] = {{total, 1},     {-1, 1},        {0, total + 1},
                              {0, -1},        {1, total},     {INT64_MAX, 1},
                              {1, INT64_MAX}, {total + 1, 0}, {INT64_MIN, INT64_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(shard_set_read(set, bad[i][0], bad[i][1], &token, &err), STATUS_INVALID);
    }
    shard_set_close(set);
}

/* Opens the set and expects to be refused. */
static void assert_refused(const struct fixture *fixture, enum status expected, const char *text)
{
    struct shard_set *set = NULL;
    struct error err = {0};
    assert_int_equal(shard_set_open(&set, fixture->folder, &err), expected);
    assert_contains(err.message, fixture->folder);
    assert_contains(err.message, text);
    assert_null(set);
}

/* Replaces the first occurrence of from in the index by to. */
static void edit_index(const struct fixture *fixture, const char *from, const char *to)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};
    struct bytes edited = {0};
    struct error err;

    assert_ok(path_printf(path, &err, "%s/shards.json", fixture->folder), &err);
    assert_ok(file_read(&text, path, MIB, &err), &err);
    char *at = strstr(text.data, from);
    assert_non_null(at);
    bytes_append(&edited, text.data, (size_t)(at - text.data));
    bytes_append_text(&edited, to);
    bytes_append_text(&edited, at + strlen(from));
    assert_ok(file_write(path, edited.data, edited.size, 0600, &err), &err);
    bytes_deinit(&text);
    bytes_deinit(&edited);
}

static void an_index_that_does_not_fit_is_refused(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        enum status status;
        const char *text;
    } cases[] = {
        {"{", "[", STATUS_CORRUPT, "shards.json"},
        {"\"remora-shards\"", "\"shards\"", STATUS_CORRUPT, "format"},
        {"\"version\":1", "\"version\":2", STATUS_UNSUPPORTED, "version"},
        {"\"version\":1", "\"version\":-1", STATUS_CORRUPT, "version"},
        {"\"vocab_size\":300", "\"vocab_size\":301", STATUS_CORRUPT, "vocab_size: 300"},
        {"\"vocab_size\":300", "\"vocab_size\":1048577", STATUS_CORRUPT, "vocab_size"},
        {"\"vocab_size\":300", "\"vocab_size\":\"300\"", STATUS_CORRUPT, "vocab_size"},
        {"\"eos_id\":2", "\"eos_id\":300", STATUS_CORRUPT, "eos_id"},
        {"\"eos_id\":2", "\"eos_id\":3", STATUS_CORRUPT, "eos_id"},
        {"\"token_bytes\":2", "\"token_bytes\":4", STATUS_CORRUPT, "token_bytes"},
        {"\"tokenizer_digest\":\"", "\"tokenizer_digest\":\"x", STATUS_CORRUPT, "tokenizer_digest"},
        {"00001.tokens", "../1.tokens", STATUS_CORRUPT, "files[1].name"},
        {"00001.tokens", "00002.tokens", STATUS_CORRUPT, "files[1].name"},
        {"\"tokens\":100", "\"tokens\":101", STATUS_CORRUPT, "tokens: 100"},
        {"\"documents\":40", "\"documents\":41", STATUS_CORRUPT, "documents: 40"},
        {"\"files\":", "\"file\":", STATUS_CORRUPT, "files"},
    };
    struct fixture *fixture = *state;
    struct error err;
    fixture->options.file_tokens_max = 100;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(folder_remove(fixture->folder, &err), &err);
        assert_ok(write_set(fixture, &err), &err);
        edit_index(fixture, cases[i].from, cases[i].to);
        assert_refused(fixture, cases[i].status, cases[i].text);
    }
}

static void a_missing_or_exchanged_file_is_named(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_BYTES_MAX];
    char other[PATH_BYTES_MAX];
    struct error err;

    fixture->options.file_tokens_max = 100;
    assert_ok(write_set(fixture, &err), &err);
    assert_ok(path_printf(path, &err, "%s/00001.tokens", fixture->folder), &err);
    assert_ok(path_printf(other, &err, "%s/00002.tokens", fixture->folder), &err);
    assert_int_equal(rename(other, path), 0);
    assert_refused(fixture, STATUS_CORRUPT, "'00001.tokens': digest");
    assert_int_equal(unlink(path), 0);
    assert_refused(fixture, STATUS_CORRUPT, "'00001.tokens' is listed");
}

static void a_folder_without_index_is_explained(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    assert_refused(fixture, STATUS_NOT_FOUND, "no such folder");
    assert_ok(folder_create(fixture->folder, 0700, &err), &err);
    assert_refused(fixture, STATUS_NOT_FOUND, "no shards.json");
}

static void verify_finds_a_changed_token(void **state)
{
    struct fixture *fixture = *state;
    struct shard_set *set = NULL;
    struct error err = {0};
    char path[PATH_BYTES_MAX];
    struct bytes bytes = {0};

    fixture->options.file_tokens_max = 100;
    assert_ok(write_set(fixture, &err), &err);
    assert_ok(path_printf(path, &err, "%s/00001.tokens", fixture->folder), &err);
    assert_ok(file_read(&bytes, path, MIB, &err), &err);
    bytes.data[SHARD_HEADER_BYTES + 10] ^= 1;
    assert_ok(file_write(path, bytes.data, bytes.size, 0600, &err), &err);
    bytes_deinit(&bytes);
    assert_ok(shard_set_open(&set, fixture->folder, &err), &err);
    assert_int_equal(shard_set_verify(set, &err), STATUS_CORRUPT);
    assert_contains(err.message, "00001.tokens': tokens_digest");
    shard_set_close(set);
}

static void the_writer_refuses_what_no_reader_takes(void **state)
{
    struct fixture *fixture = *state;
    struct shard_writer *writer = NULL;
    struct error err = {0};
    const uint32_t bad = fixture->options.vocab_size;

    assert_ok(shard_writer_create(&writer, fixture->folder, &fixture->options, &err), &err);
    assert_int_equal(shard_writer_append(writer, &bad, 1, &err), STATUS_INVALID);
    assert_contains(err.message, "token 300");
    shard_writer_destroy(writer);
    assert_false(file_exists(fixture->folder));

    assert_ok(shard_writer_create(&writer, fixture->folder, &fixture->options, &err), &err);
    assert_int_equal(shard_writer_finish(writer, NULL, &err), STATUS_INVALID);
    shard_writer_destroy(writer);
    assert_false(file_exists(fixture->folder));

    assert_ok(write_set(fixture, &err), &err);
    assert_int_equal(shard_writer_create(&writer, fixture->folder, &fixture->options, &err),
                     STATUS_CONFLICT);
}

static void nothing_is_left_behind(void *context, enum status status, const struct error *err)
{
    struct fixture *fixture = context;
    (void)err;
    if (status) {
        assert_false(file_exists(fixture->folder));
    } else {
        struct error ignored;
        assert_ok(folder_remove(fixture->folder, &ignored), &ignored);
    }
}

static void each_failing_call_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.file_tokens_max = 200;
    test_fail_each_call(write_set, nothing_is_left_behind, fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_reads_back),
        TEST(the_digest_names_the_stream),
        TEST(sequences_overlap_by_one),
        TEST(reading_past_the_stream_is_refused),
        TEST(an_index_that_does_not_fit_is_refused),
        TEST(a_missing_or_exchanged_file_is_named),
        TEST(a_folder_without_index_is_explained),
        TEST(verify_finds_a_changed_token),
        TEST(the_writer_refuses_what_no_reader_takes),
        TEST(each_failing_call_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
