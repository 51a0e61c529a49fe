#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/store/blob.h"
#include "proto/store/store.h"
#include "tests/support/checkpoints.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    struct store *store; /* the writer, generation 1 */
};

static int setup(void **state)
{
    struct error err;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    test_folder_create(fixture->folder);
    assert_ok(store_create(&fixture->store, fixture->folder, &err), &err);
    assert_ok(store_begin(fixture->store, 1, NULL, &err), &err);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    store_close(fixture->store);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static struct checkpoint_ref write_step(struct store *store, int64_t step)
{
    struct error err;
    struct checkpoint_written written;
    assert_ok(test_checkpoint_write(store, step, &written, &err), &err);
    return written.ref;
}

/* Another process: a store of its own that begins generation at parent. */
static struct store *begin_again(const struct fixture *fixture, int64_t generation,
                                 const struct checkpoint_ref *parent)
{
    struct error err;
    struct store *store = NULL;
    assert_ok(store_create(&store, fixture->folder, &err), &err);
    assert_ok(store_begin(store, generation, parent, &err), &err);
    return store;
}

/* The step that a new process would resume from, or -1; what it reads is checked. */
static int64_t newest_step(const struct fixture *fixture)
{
    struct error err;
    struct store *store = NULL;
    struct checkpoint *checkpoint = NULL;
    int64_t step = -1;
    assert_ok(store_open(&store, fixture->folder, &err), &err);
    if (checkpoint_open_newest(&checkpoint, store, NULL, NULL, &err) == STATUS_OK) {
        test_checkpoint_assert(checkpoint);
        step = checkpoint_ref_of(checkpoint)->step;
    }
    checkpoint_close(checkpoint);
    store_close(store);
    return step;
}

/* The steps of the listing, newest first, as text: "200 100 f300": f is fenced, x unreadable. */
static void list_text(char out[256], struct store *store)
{
    struct error err;
    struct arena arena = {0};
    struct store_entry *entries = NULL;
    size_t count = 0;
    size_t size = 0;
    assert_ok(store_list(store, &arena, &entries, &count, &err), &err);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        int added = snprintf(out + size, 256 - size, "%s%s%s%lld", i == 0 ? "" : " ",
                             entries[i].is_fenced ? "f" : "", entries[i].problem.status ? "x" : "",
                             (long long)entries[i].ref.step);
        size += (size_t)added;
    }
    arena_deinit(&arena);
}

/* Flips the last byte of the blob of a tensor's chunk; its path into out. */
static void damage_blob(struct store *store, int64_t step, const char *name,
                        char out[PATH_BYTES_MAX])
{
    struct error err;
    struct bytes text = {0};
    json_t *manifest = NULL;
    struct arena arena = {0};
    struct store_entry *entries = NULL;
    size_t count = 0;
    const char *hex = NULL;
    assert_ok(store_list(store, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].ref.step == step) {
            assert_ok(file_read(&text, entries[i].path, 1 * MIB, &err), &err);
        }
    }
    assert_ok(json_parse(&manifest, text.data, text.size, "manifest", &err), &err);
    const json_t *tensors = json_object_get(manifest, "tensors");
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        if (strcmp(json_get_text(tensor, "name", ""), name) == 0) {
            hex = json_get_text(json_array_get(json_object_get(tensor, "chunks"), 0), "digest", "");
        }
    }
    assert_non_null(hex);
    char folder[PATH_BYTES_MAX];
    assert_ok(path_printf(folder, &err, "%.*s",
                          (int)(strstr(entries[0].path, "/manifests") - entries[0].path),
                          entries[0].path),
              &err);
    assert_ok(path_printf(out, &err, "%s/blobs/%.2s/%s", folder, hex, hex), &err);
    bytes_clear(&text);
    assert_ok(file_read(&text, out, 16 * MIB, &err), &err);
    text.data[text.size - 1] = (char)(text.data[text.size - 1] ^ 1);
    assert_ok(file_write(out, text.data, text.size, 0600, &err), &err);
    bytes_deinit(&text);
    json_decref(manifest);
    arena_deinit(&arena);
}

static void a_checkpoint_is_read_back_by_another_process(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct store *store = NULL;
    struct checkpoint *checkpoint = NULL;
    struct checkpoint_ref ref = write_step(fixture->store, 100);
    assert_ok(store_open(&store, fixture->folder, &err), &err);
    assert_int_equal(store_generation(store), 1);
    assert_ok(checkpoint_open_ref(&checkpoint, store, &ref, &err), &err);
    test_checkpoint_assert(checkpoint);
    assert_ok(checkpoint_verify(checkpoint, &err), &err);
    const struct tensor_info *info = checkpoint_find(checkpoint, "frozen");
    assert_int_equal(info->bytes, 4 * TEST_FROZEN_COUNT);
    assert_null(checkpoint_find(checkpoint, "other"));
    char byte = 0;
    assert_int_equal(checkpoint_read_tensor(checkpoint, "other", &byte, 1, &err), STATUS_NOT_FOUND);
    assert_int_equal(checkpoint_read_tensor(checkpoint, "frozen", &byte, 1, &err), STATUS_INVALID);
    checkpoint_close(checkpoint);
    ref.digest.bytes[0] ^= 1;
    assert_int_equal(checkpoint_open_ref(&checkpoint, store, &ref, &err), STATUS_CONFLICT);
    store_close(store);
}

static void a_tensor_of_many_chunks_comes_back(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct checkpoint_writer *writer = NULL;
    struct checkpoint *checkpoint = NULL;
    struct checkpoint_written written;
    const size_t size = 2 * CHUNK_BYTES + 12;
    const struct tensor_shape shape = {1, {(int64_t)size / 4}};
    uint32_t *data = malloc(size);
    uint32_t *back = malloc(size);
    assert_non_null(data);
    assert_non_null(back);
    for (size_t i = 0; i < size / 4; i++) {
        data[i] = (uint32_t)i * 2654435761U;
    }
    json_t *meta = test_checkpoint_meta(7);
    assert_ok(checkpoint_writer_begin(&writer, fixture->store, 7, meta, &err), &err);
    assert_ok(checkpoint_writer_tensor(writer, "w", TENSOR_DTYPE_F32, &shape, data, &err), &err);
    assert_int_equal(checkpoint_writer_tensor(writer, "w", TENSOR_DTYPE_F32, &shape, data, &err),
                     STATUS_CONFLICT);
    assert_int_equal(checkpoint_writer_tensor(writer, "", TENSOR_DTYPE_F32, &shape, data, &err),
                     STATUS_INVALID);
    assert_ok(checkpoint_writer_commit(writer, &written, &err), &err);
    assert_int_equal(written.logical_bytes, size);
    assert_ok(checkpoint_open_step(&checkpoint, fixture->store, 7, &err), &err);
    assert_ok(checkpoint_read_tensor(checkpoint, "w", back, size, &err), &err);
    assert_memory_equal(back, data, size);
    checkpoint_close(checkpoint);
    json_decref(meta);
    free(data);
    free(back);
}

static void blobs_that_are_there_are_not_written_again(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct checkpoint_written first;
    struct checkpoint_written second;
    struct checkpoint_written third;
    assert_ok(test_checkpoint_write(fixture->store, 0, &first, &err), &err);
    assert_int_equal(first.new_bytes, first.stored_bytes);
    assert_ok(test_checkpoint_write(fixture->store, 100, &second, &err), &err);
    assert_true(second.new_bytes < second.stored_bytes / 4); /* only "moving" */
    struct store *store = begin_again(fixture, 2, &second.ref);
    assert_ok(test_checkpoint_write(store, 200, &third, &err), &err);
    assert_true(third.new_bytes < third.stored_bytes / 4); /* also across processes */
    assert_int_equal(newest_step(fixture), 200);
    store_close(store);
}

static void a_damaged_blob_is_not_trusted_but_replaced(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    struct checkpoint_written written;
    struct checkpoint_ref ref = write_step(fixture->store, 100);
    damage_blob(fixture->store, 100, "frozen", path);
    assert_int_equal(newest_step(fixture), -1);
    struct store *store = begin_again(fixture, 2, &ref); /* meets the blob for the first time */
    assert_ok(test_checkpoint_write(store, 200, &written, &err), &err);
    assert_true(written.new_bytes > written.stored_bytes / 2);
    assert_int_equal(newest_step(fixture), 200);
    assert_int_equal(truncate(path, 10), 0); /* behind the back of the process that wrote it */
    assert_ok(test_checkpoint_write(store, 300, &written, &err), &err);
    assert_int_equal(newest_step(fixture), 300);
    store_close(store);
}

struct skipped {
    int count;
    int64_t step;
    struct error why;
};

static void note_skipped(void *context, int64_t step, int64_t generation, const struct error *why)
{
    struct skipped *skipped = context;
    (void)generation;
    skipped->count++;
    skipped->step = step;
    skipped->why = *why;
}

static void the_newest_that_verifies_is_chosen_and_the_rest_reported(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    struct checkpoint *checkpoint = NULL;
    struct skipped skipped = {0};
    assert_int_equal(
        checkpoint_open_newest(&checkpoint, fixture->store, note_skipped, &skipped, &err),
        STATUS_NOT_FOUND);
    (void)write_step(fixture->store, 100);
    (void)write_step(fixture->store, 200);
    damage_blob(fixture->store, 200, "moving", path);
    assert_ok(checkpoint_open_newest(&checkpoint, fixture->store, note_skipped, &skipped, &err),
              &err);
    assert_int_equal(checkpoint_ref_of(checkpoint)->step, 100);
    test_checkpoint_assert(checkpoint);
    checkpoint_close(checkpoint);
    checkpoint = NULL;
    assert_int_equal(skipped.count, 1);
    assert_int_equal(skipped.step, 200);
    assert_int_equal(skipped.why.status, STATUS_CORRUPT);
    assert_contains(skipped.why.message, "000000000200-000001.json");
    assert_contains(skipped.why.message, "tensor 'moving', chunk 0");
    assert_contains(skipped.why.message, path);
    damage_blob(fixture->store, 100, "moving", path);
    assert_int_equal(
        checkpoint_open_newest(&checkpoint, fixture->store, note_skipped, &skipped, &err),
        STATUS_CORRUPT);
    assert_contains(err.message, "none of 2 checkpoints");
    assert_null(checkpoint);
}

static void a_step_is_found_or_the_newest_named(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct checkpoint *checkpoint = NULL;
    (void)write_step(fixture->store, 100);
    (void)write_step(fixture->store, 200);
    assert_ok(checkpoint_open_step(&checkpoint, fixture->store, 100, &err), &err);
    test_checkpoint_assert(checkpoint);
    checkpoint_close(checkpoint);
    assert_int_equal(checkpoint_open_step(&checkpoint, fixture->store, 150, &err),
                     STATUS_NOT_FOUND);
    assert_string_equal(err.hint, "the newest is of step 200");
}

static void a_replaced_writer_can_neither_commit_nor_delete(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct checkpoint_writer *writer = NULL;
    struct checkpoint_written written;
    struct checkpoint_ref ref = write_step(fixture->store, 100);
    json_t *meta = test_checkpoint_meta(200);
    assert_ok(checkpoint_writer_begin(&writer, fixture->store, 200, meta, &err), &err);
    struct store *store = begin_again(fixture, 2, &ref);
    assert_int_equal(checkpoint_writer_commit(writer, &written, &err), STATUS_CONFLICT);
    assert_contains(err.message, "attempt 2 began meanwhile");
    assert_int_equal(checkpoint_writer_begin(&writer, fixture->store, 300, meta, &err),
                     STATUS_CONFLICT);
    assert_int_equal(store_retain(fixture->store, 1, NULL, &err), STATUS_CONFLICT);
    assert_int_equal(newest_step(fixture), 100);
    json_decref(meta);
    store_close(store);
}

static void what_a_cut_off_writer_adds_is_ignored_and_removed(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char list[256];
    char from[PATH_BYTES_MAX];
    char to[PATH_BYTES_MAX];
    size_t removed = 0;
    (void)write_step(fixture->store, 0);
    struct checkpoint_ref ref = write_step(fixture->store, 100);
    (void)write_step(fixture->store, 200);
    (void)write_step(fixture->store, 300);
    struct store *second = begin_again(fixture, 2, &ref);
    assert_int_equal(newest_step(fixture), 100); /* before generation 2 has written anything */
    /* As if 300 had come from a host that was cut off: it appears after generation 2 began. */
    assert_ok(path_printf(from, &err, "%s/manifests/000000000300-000001.json", fixture->folder),
              &err);
    assert_ok(path_printf(to, &err, "%s/manifests/000000000400-000001.json", fixture->folder),
              &err);
    assert_int_equal(rename(from, to), 0);
    (void)write_step(second, 200);
    list_text(list, second);
    assert_string_equal(list, "fx400 200 f200 100 0");
    assert_int_equal(newest_step(fixture), 200);
    assert_ok(store_retain(second, 2, &removed, &err), &err);
    list_text(list, second);
    assert_string_equal(list, "200 100 0");
    assert_int_equal(removed, 2);
    assert_int_equal(newest_step(fixture), 200);
    store_close(second);
}

static void ancestry_survives_removed_checkpoints_and_several_attempts(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char list[256];
    (void)write_step(fixture->store, 0);
    struct checkpoint_ref ref = write_step(fixture->store, 100);
    struct store *second = begin_again(fixture, 2, &ref);
    ref = write_step(second, 200);
    (void)write_step(second, 300);
    struct store *third = begin_again(fixture, 3, &ref);
    (void)write_step(third, 250);
    (void)write_step(third, 350);
    assert_ok(store_retain(third, 1, NULL, &err), &err);
    list_text(list, third);
    assert_string_equal(list, "350 0"); /* step 0 is generation 1's, its heirs are gone */
    store_close(second);
    store_close(third);
    assert_int_equal(newest_step(fixture), 350);
}

static void generations_only_go_up(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct store *store = NULL;
    assert_ok(store_create(&store, fixture->folder, &err), &err);
    assert_int_equal(store_begin(store, 1, NULL, &err), STATUS_CONFLICT);
    assert_int_equal(store_begin(store, 0, NULL, &err), STATUS_INVALID);
    assert_int_equal(store_begin(store, STORE_GENERATION_MAX + 1, NULL, &err), STATUS_INVALID);
    struct checkpoint_ref missing = {.step = 5, .generation = 1};
    assert_int_equal(store_begin(store, 2, &missing, &err), STATUS_NOT_FOUND);
    missing.generation = 4;
    assert_int_equal(store_begin(store, 5, &missing, &err), STATUS_INVALID);
    assert_ok(store_begin(store, STORE_GENERATION_MAX, NULL, &err), &err);
    store_close(store);
}

static void a_damaged_generation_file_does_not_lose_the_run(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    struct checkpoint_ref ref = write_step(fixture->store, 100);
    struct store *store = begin_again(fixture, 2, &ref);
    assert_ok(path_printf(path, &err, "%s/generations/000002.json", fixture->folder), &err);
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(newest_step(fixture), 100); /* generation 2 has nothing; 1's are found */
    (void)write_step(store, 200);
    assert_int_equal(newest_step(fixture), 200); /* its checkpoint tells its lineage */
    store_close(store);
}

static void retention_keeps_step_0_and_the_newest(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char list[256];
    size_t removed = 0;
    for (int64_t step = 0; step <= 500; step += 100) {
        (void)write_step(fixture->store, step);
    }
    assert_ok(store_retain(fixture->store, 2, &removed, &err), &err);
    assert_int_equal(removed, 3);
    list_text(list, fixture->store);
    assert_string_equal(list, "500 400 0");
    assert_ok(store_retain(fixture->store, 2, &removed, &err), &err);
    assert_int_equal(removed, 0);
    assert_ok(store_retain(fixture->store, 1, &removed, &err), &err);
    list_text(list, fixture->store);
    assert_string_equal(list, "500 0");
    assert_int_equal(newest_step(fixture), 500);
}

static void retention_deletes_nothing_unless_a_survivor_verifies(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    char list[256];
    for (int64_t step = 0; step <= 300; step += 100) {
        (void)write_step(fixture->store, step);
    }
    damage_blob(fixture->store, 300, "moving", path);
    assert_int_equal(store_retain(fixture->store, 1, NULL, &err), STATUS_CORRUPT);
    assert_contains(err.message, path);
    list_text(list, fixture->store);
    assert_string_equal(list, "300 200 100 0");
    assert_ok(store_retain(fixture->store, 2, NULL, &err), &err); /* 200 verifies */
    list_text(list, fixture->store);
    assert_string_equal(list, "300 200 0");
    assert_int_equal(newest_step(fixture), 200);
}

static void a_manifest_of_a_newer_program_and_its_blobs_stay(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    char path[PATH_BYTES_MAX];
    char blob[PATH_BYTES_MAX];
    char list[256];
    struct digest digest;
    char hex[DIGEST_HEX_BYTES];
    static const char rest[] = "{\"format\":9}";
    (void)write_step(fixture->store, 100);
    digest_of(&digest, rest, strlen(rest));
    digest_to_hex(hex, &digest);
    char text[128];
    int size = snprintf(text, sizeof text, "{\"digest\":\"%s\",\"format\":9}", hex);
    assert_ok(path_printf(path, &err, "%s/manifests/000000000050-000001.json", fixture->folder),
              &err);
    assert_ok(file_write(path, text, (size_t)size, 0600, &err), &err);
    assert_ok(path_printf(blob, &err, "%s/blobs/%.2s", fixture->folder, hex), &err);
    assert_ok(folder_create(blob, 0700, &err), &err);
    assert_ok(path_printf(blob, &err, "%s/blobs/%.2s/%s", fixture->folder, hex, hex), &err);
    assert_ok(file_write(blob, "x", 1, 0600, &err), &err);
    assert_ok(store_retain(fixture->store, 1, NULL, &err), &err);
    list_text(list, fixture->store);
    assert_string_equal(list, "100 x50");
    assert_true(file_exists(blob));
    assert_int_equal(remove(path), 0);
    assert_ok(store_retain(fixture->store, 1, NULL, &err), &err);
    assert_false(file_exists(blob));
}

static void the_listing_tells_sizes_and_times(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct arena arena = {0};
    struct store_entry *entries = NULL;
    size_t count = 9;
    assert_ok(store_list(fixture->store, &arena, &entries, &count, &err), &err);
    assert_int_equal(count, 0);
    struct checkpoint_ref ref = write_step(fixture->store, 100);
    assert_ok(store_list(fixture->store, &arena, &entries, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_true(digest_equal(&entries[0].ref.digest, &ref.digest));
    assert_int_equal(entries[0].logical_bytes, 4 * (TEST_FROZEN_COUNT + TEST_MOVING_COUNT));
    assert_true(entries[0].stored_bytes > 0);
    assert_true(sys_realtime_ms() - entries[0].created_ms < 60000);
    assert_true(file_exists(entries[0].path));
    arena_deinit(&arena);
}

static void a_folder_without_checkpoints_is_not_found(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct store *store = NULL;
    char path[PATH_BYTES_MAX];
    assert_ok(path_printf(path, &err, "%s/none", fixture->folder), &err);
    assert_int_equal(store_open(&store, path, &err), STATUS_NOT_FOUND);
    assert_contains(err.message, path);
    assert_false(file_exists(path));
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_checkpoint_is_read_back_by_another_process),
        STORE_TEST(a_tensor_of_many_chunks_comes_back),
        STORE_TEST(blobs_that_are_there_are_not_written_again),
        STORE_TEST(a_damaged_blob_is_not_trusted_but_replaced),
        STORE_TEST(the_newest_that_verifies_is_chosen_and_the_rest_reported),
        STORE_TEST(a_step_is_found_or_the_newest_named),
        STORE_TEST(a_replaced_writer_can_neither_commit_nor_delete),
        STORE_TEST(what_a_cut_off_writer_adds_is_ignored_and_removed),
        STORE_TEST(ancestry_survives_removed_checkpoints_and_several_attempts),
        STORE_TEST(generations_only_go_up),
        STORE_TEST(a_damaged_generation_file_does_not_lose_the_run),
        STORE_TEST(retention_keeps_step_0_and_the_newest),
        STORE_TEST(retention_deletes_nothing_unless_a_survivor_verifies),
        STORE_TEST(a_manifest_of_a_newer_program_and_its_blobs_stay),
        STORE_TEST(the_listing_tells_sizes_and_times),
        STORE_TEST(a_folder_without_checkpoints_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
