#include "proto/base/rng.h"
#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/stream.h"

#define LARGE_BYTES (1500 * KIB) /* several blocks */

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct bytes plain;
    struct bytes packed;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    test_folder_create(fixture->folder);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    bytes_deinit(&fixture->plain);
    bytes_deinit(&fixture->packed);
    free(fixture);
    return 0;
}

/* Letters that compress somewhat. */
static void fill(struct bytes *out, size_t size)
{
    bytes_clear(out);
    for (size_t i = 0; out->size < size; i++) {
        bytes_append_char(out, (char)('a' + rng_below(3, 0, i, 20)));
    }
}

static enum status read_all(struct fixture *fixture, struct bytes *out, struct error *err)
{
    struct stream *stream = NULL;
    enum status status = stream_open(&stream, fixture->path, err);
    for (;;) {
        const char *data = NULL;
        size_t size = 0;
        if (!status) {
            status = stream_next(stream, &data, &size, err);
        }
        if (status || size == 0) {
            break;
        }
        bytes_append(out, data, size);
    }
    if (!status) {
        assert_int_equal(stream_bytes_read(stream), fixture->packed.size);
    }
    stream_close(stream);
    return status;
}

static void assert_reads_back(struct fixture *fixture)
{
    struct bytes out = {0};
    struct error err;
    write_input(fixture->path, fixture->folder, "input", fixture->packed.data,
                fixture->packed.size);
    assert_ok(read_all(fixture, &out, &err), &err);
    assert_int_equal(out.size, fixture->plain.size);
    if (out.size > 0) {
        assert_memory_equal(out.data, fixture->plain.data, out.size);
    }
    bytes_deinit(&out);
}

static void files_of_all_sizes_read_back(void **state)
{
    static const size_t sizes[] = {1,          3, 1000, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1,
                                   LARGE_BYTES};
    struct fixture *fixture = *state;
    for (int packing = PACKING_NONE; packing <= PACKING_ZSTD; packing++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            fill(&fixture->plain, sizes[i]);
            bytes_clear(&fixture->packed);
            pack(&fixture->packed, (enum packing)packing, fixture->plain.data, fixture->plain.size);
            assert_reads_back(fixture);
        }
    }
}

static void an_empty_file_has_no_bytes(void **state)
{
    struct fixture *fixture = *state;
    assert_reads_back(fixture);
    pack(&fixture->packed, PACKING_GZIP, "", 0);
    assert_reads_back(fixture);
    bytes_clear(&fixture->packed);
    pack(&fixture->packed, PACKING_ZSTD, "", 0);
    assert_reads_back(fixture);
}

static void members_and_frames_follow_each_other(void **state)
{
    struct fixture *fixture = *state;
    for (int packing = PACKING_GZIP; packing <= PACKING_ZSTD; packing++) {
        fill(&fixture->plain, LARGE_BYTES);
        bytes_clear(&fixture->packed);
        for (size_t at = 0; at < LARGE_BYTES; at += LARGE_BYTES / 5) {
            pack(&fixture->packed, (enum packing)packing, fixture->plain.data + at,
                 LARGE_BYTES / 5);
        }
        assert_reads_back(fixture);
    }
}

static void the_first_block_can_be_looked_at(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = NULL;
    struct error err;
    const char *peeked = NULL;
    const char *data = NULL;
    size_t peeked_size = 0;
    size_t size = 0;

    pack(&fixture->packed, PACKING_GZIP, "look", 4);
    write_input(fixture->path, fixture->folder, "input", fixture->packed.data,
                fixture->packed.size);
    assert_ok(stream_open(&stream, fixture->path, &err), &err);
    stream_peek(stream, &peeked, &peeked_size);
    assert_int_equal(peeked_size, 4);
    assert_memory_equal(peeked, "look", 4);
    assert_ok(stream_next(stream, &data, &size, &err), &err);
    assert_int_equal(size, 4);
    assert_ok(stream_next(stream, &data, &size, &err), &err);
    assert_int_equal(size, 0);
    stream_close(stream);
}

static void assert_corrupt(struct fixture *fixture, size_t size)
{
    struct bytes out = {0};
    struct error err = {0};
    write_input(fixture->path, fixture->folder, "input", fixture->packed.data, size);
    assert_int_equal(read_all(fixture, &out, &err), STATUS_CORRUPT);
    assert_contains(err.message, fixture->path);
    bytes_deinit(&out);
}

static void every_cut_of_a_packed_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    fill(&fixture->plain, 400);
    for (int packing = PACKING_GZIP; packing <= PACKING_ZSTD; packing++) {
        bytes_clear(&fixture->packed);
        pack(&fixture->packed, (enum packing)packing, fixture->plain.data, 400);
        for (size_t size = 4; size < fixture->packed.size; size++) {
            assert_corrupt(fixture, size);
        }
    }
}

static void garbage_is_refused(void **state)
{
    struct fixture *fixture = *state;
    fill(&fixture->plain, 400);
    for (int packing = PACKING_GZIP; packing <= PACKING_ZSTD; packing++) {
        bytes_clear(&fixture->packed);
        pack(&fixture->packed, (enum packing)packing, fixture->plain.data, 400);
        size_t size = fixture->packed.size;
        bytes_append_text(&fixture->packed, "behind the end");
        assert_corrupt(fixture, fixture->packed.size);
        fixture->packed.data[size / 2] ^= 0x55;
        if (packing == PACKING_GZIP) { /* our zstd frames carry no checksum */
            assert_corrupt(fixture, size);
        }
    }
}

static void a_missing_file_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = NULL;
    struct error err = {0};
    assert_int_equal(stream_open(&stream, "/nowhere/at/all", &err), STATUS_NOT_FOUND);
    assert_contains(err.message, "/nowhere/at/all");
    assert_int_not_equal(stream_open(&stream, fixture->folder, &err), STATUS_OK);
    assert_null(stream);
}

static enum status open_and_close(void *context, struct error *err)
{
    struct fixture *fixture = context;
    struct stream *stream = NULL;
    enum status status = stream_open(&stream, fixture->path, err);
    stream_close(stream);
    return status;
}

static void each_failing_call_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    pack(&fixture->packed, PACKING_GZIP, "text", 4);
    write_input(fixture->path, fixture->folder, "input", fixture->packed.data,
                fixture->packed.size);
    test_fail_each_call(open_and_close, NULL, fixture);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(files_of_all_sizes_read_back),
        TEST(an_empty_file_has_no_bytes),
        TEST(members_and_frames_follow_each_other),
        TEST(the_first_block_can_be_looked_at),
        TEST(every_cut_of_a_packed_file_is_refused),
        TEST(garbage_is_refused),
        TEST(a_missing_file_is_named),
        TEST(each_failing_call_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
