#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/rng.h"
#include "proto/store/blob.h"
#include "tests/support/test.h"

struct fixture {
    char path[PATH_BYTES_MAX];
    struct blob_folder *folder;
};

static int setup(void **state)
{
    struct error err;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    test_folder_create(fixture->path);
    assert_ok(blob_folder_create(&fixture->folder, fixture->path, &err), &err);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    blob_folder_destroy(fixture->folder);
    test_folder_remove(fixture->path);
    free(fixture);
    return 0;
}

/* "abc" as a blob, byte by byte: too short to shrink, so it is raw. */
static const uint8_t golden[] = {
    'R',  'M',  'R',  'A',  'B',  'L',  'O',  'B',  1,    0,    0,    0,    0,    0,
    0,    0,    3,    0,    0,    0,    0,    0,    0,    0,    3,    0,    0,    0,
    0,    0,    0,    0,    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41,
    0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
    0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad, 'a',  'b',  'c',
};

static struct digest write_text(struct fixture *fixture, const char *text,
                                char path[PATH_BYTES_MAX])
{
    struct error err;
    struct digest digest;
    struct blob_facts facts;
    digest_of(&digest, text, strlen(text));
    assert_ok(
        blob_write(fixture->folder, &digest, BLOB_CODEC_ZSTD, text, strlen(text), &facts, &err),
        &err);
    assert_ok(blob_path(path, fixture->folder, &digest, &err), &err);
    assert_int_equal(file_size(path), facts.stored_bytes);
    return digest;
}

static void a_short_blob_is_golden(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct bytes file = {0};
    char path[PATH_BYTES_MAX];
    (void)write_text(fixture, "abc", path);
    assert_contains(path, "/ba/ba7816bf");
    assert_ok(file_read(&file, path, 1 * MIB, &err), &err);
    assert_int_equal(file.size, sizeof golden);
    assert_memory_equal(file.data, golden, sizeof golden);
    bytes_deinit(&file);
}

static void content_of_any_size_comes_back(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {1, 63, 4096, CHUNK_BYTES - 1, CHUNK_BYTES};
    uint32_t *data = malloc(CHUNK_BYTES);
    char *back = malloc(CHUNK_BYTES);
    assert_non_null(data);
    assert_non_null(back);
    for (int is_random = 0; is_random < 2; is_random++) {
        for (size_t i = 0; i < CHUNK_BYTES / 4; i++) {
            data[i] = is_random ? (uint32_t)rng_u64(1, 1, i) : (uint32_t)i / 100;
        }
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            struct error err;
            struct digest digest;
            struct blob_facts written;
            struct blob_facts read;
            digest_of(&digest, data, sizes[i]);
            assert_ok(blob_write(fixture->folder, &digest, BLOB_CODEC_ZSTD, data, sizes[i],
                                 &written, &err),
                      &err);
            assert_ok(blob_read(fixture->folder, &digest, back, sizes[i], &read, &err), &err);
            assert_memory_equal(back, data, sizes[i]);
            assert_int_equal(written.stored_bytes, read.stored_bytes);
            assert_int_equal(written.codec, read.codec);
            assert_true(written.stored_bytes <= sizes[i] + BLOB_HEADER_BYTES);
            bool is_long = sizes[i] > 1;
            assert_int_equal(written.codec,
                             is_long && !is_random ? BLOB_CODEC_ZSTD : BLOB_CODEC_RAW);
        }
    }
    free(data);
    free(back);
}

/* Writes the file of the blob anew, each time shorter by what is left out or with one byte changed:
 * none reads, or where the byte is one that zstd does not use, the content is right. */
static void damage_everywhere(struct fixture *fixture, enum blob_codec codec)
{
    struct error err;
    struct bytes file = {0};
    char path[PATH_BYTES_MAX];
    uint8_t content[403]; /* a tail of 3 bytes besides 100 numbers */
    uint8_t back[sizeof content];
    struct digest digest;
    struct blob_facts facts;
    int ignored = 0;
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = i % 4 == 0 ? (uint8_t)rng_u64(1, 2, i) : (uint8_t)(i % 4);
    }
    digest_of(&digest, content, sizeof content);
    assert_ok(blob_write(fixture->folder, &digest, codec, content, sizeof content, &facts, &err),
              &err);
    assert_int_equal(facts.codec, codec);
    assert_ok(blob_path(path, fixture->folder, &digest, &err), &err);
    assert_ok(file_read(&file, path, 1 * MIB, &err), &err);
    for (size_t size = 0; size < file.size; size++) {
        assert_ok(file_write(path, file.data, size, 0600, &err), &err);
        assert_int_equal(blob_read(fixture->folder, &digest, back, sizeof back, NULL, &err),
                         STATUS_CORRUPT);
        assert_contains(err.message, path);
    }
    for (size_t i = 0; i < file.size; i++) {
        file.data[i] = (char)(file.data[i] ^ 0x10);
        assert_ok(file_write(path, file.data, file.size, 0600, &err), &err);
        memset(back, 0, sizeof back);
        if (blob_read(fixture->folder, &digest, back, sizeof back, NULL, &err)) {
            assert_contains(err.message, path);
        } else {
            assert_memory_equal(back, content, sizeof back);
            ignored++;
        }
        file.data[i] = (char)(file.data[i] ^ 0x10);
    }
    assert_true(ignored <= 4); /* one in the header of each frame */
    bytes_append_char(&file, 'x');
    assert_ok(file_write(path, file.data, file.size, 0600, &err), &err);
    assert_int_equal(blob_verify(fixture->folder, &digest, sizeof back, NULL, &err),
                     STATUS_CORRUPT);
    assert_contains(err.message, path);
    bytes_deinit(&file);
}

static void every_truncation_is_refused_and_no_flipped_byte_harms(void **state)
{
    damage_everywhere(*state, BLOB_CODEC_RAW);
    damage_everywhere(*state, BLOB_CODEC_ZSTD);
    damage_everywhere(*state, BLOB_CODEC_PLANES16);
    damage_everywhere(*state, BLOB_CODEC_PLANES32);
}

static void a_blob_of_another_size_or_content_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    char other[PATH_BYTES_MAX];
    char back[16];
    struct bytes file = {0};
    struct digest digest = write_text(fixture, "abc", path);
    struct digest another = write_text(fixture, "xyz", other);
    assert_int_equal(blob_read(fixture->folder, &digest, back, 4, NULL, &err), STATUS_CORRUPT);
    assert_int_equal(blob_read(fixture->folder, &digest, back, 2, NULL, &err), STATUS_CORRUPT);
    assert_ok(file_read(&file, other, 1 * MIB, &err), &err);
    assert_ok(file_write(path, file.data, file.size, 0600, &err), &err);
    assert_int_equal(blob_read(fixture->folder, &digest, back, 3, NULL, &err), STATUS_CORRUPT);
    assert_ok(blob_read(fixture->folder, &another, back, 3, NULL, &err), &err);
    assert_int_equal(remove(path), 0);
    assert_int_equal(blob_read(fixture->folder, &digest, back, 3, NULL, &err), STATUS_CORRUPT);
    assert_contains(err.message, "is missing");
    bytes_deinit(&file);
}

static void a_newer_version_is_unsupported(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    char back[3];
    uint8_t file[sizeof golden];
    struct digest digest = write_text(fixture, "abc", path);
    memcpy(file, golden, sizeof golden);
    file[8] = 2;
    assert_ok(file_write(path, file, sizeof file, 0600, &err), &err);
    assert_int_equal(blob_read(fixture->folder, &digest, back, 3, NULL, &err), STATUS_UNSUPPORTED);
    file[8] = 1;
    file[10] = 4; /* one above the last codec */
    assert_ok(file_write(path, file, sizeof file, 0600, &err), &err);
    assert_int_equal(blob_read(fixture->folder, &digest, back, 3, NULL, &err), STATUS_UNSUPPORTED);
}

static bool keep_none(void *context, const struct digest *digest)
{
    (void)digest;
    (*(int *)context)++;
    return false;
}

static void a_sweep_removes_blobs_and_leftovers_only(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    char leftover[PATH_BYTES_MAX];
    char stranger[PATH_BYTES_MAX];
    int asked = 0;
    (void)write_text(fixture, "abc", path);
    assert_ok(path_printf(leftover, &err, "%s%s1-1", path, FILE_TEMPORARY_MARK), &err);
    assert_ok(path_printf(stranger, &err, "%s/ba/README", fixture->path), &err);
    assert_ok(file_write(leftover, "x", 1, 0600, &err), &err);
    assert_ok(file_write(stranger, "x", 1, 0600, &err), &err);
    assert_ok(blob_sweep(fixture->folder, keep_none, &asked, &err), &err);
    assert_int_equal(asked, 1);
    assert_false(file_exists(path));
    assert_false(file_exists(leftover));
    assert_true(file_exists(stranger));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_short_blob_is_golden, setup, teardown),
        cmocka_unit_test_setup_teardown(content_of_any_size_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused_and_no_flipped_byte_harms,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_blob_of_another_size_or_content_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_newer_version_is_unsupported, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sweep_removes_blobs_and_leftovers_only, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
