#include "embedded/manifest_schema_json.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/spec/schema.h"
#include "proto/store/manifest.h"
#include "tests/support/checkpoints.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX]; /* of the one manifest */
    struct bytes text;
};

/* A store with one checkpoint, of step 100 by generation 1, and its manifest's text. */
static int setup(void **state)
{
    struct error err;
    struct store *store = NULL;
    struct checkpoint_written written;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    test_folder_create(fixture->folder);
    assert_ok(store_create(&store, fixture->folder, &err), &err);
    assert_ok(store_begin(store, 1, NULL, &err), &err);
    assert_ok(test_checkpoint_write(store, 100, &written, &err), &err);
    store_close(store);
    assert_ok(
        path_printf(fixture->path, &err, "%s/manifests/000000000100-000001.json", fixture->folder),
        &err);
    assert_ok(file_read(&fixture->text, fixture->path, 1 * MIB, &err), &err);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    bytes_deinit(&fixture->text);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void the_manifest_is_as_the_schema_says(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct schema *schema = NULL;
    struct schema_problems problems = {0};
    struct bytes before = {0};
    json_t *document = NULL;
    assert_ok(
        schema_create(&schema, manifest_schema_json, manifest_schema_json_size, "manifest", &err),
        &err);
    assert_ok(json_parse(&document, fixture->text.data, fixture->text.size, "manifest", &err),
              &err);
    json_canonical(&before, document);
    bytes_append_char(&before, '\n');
    assert_string_equal(before.data, fixture->text.data); /* the file is in canonical form */
    assert_ok(schema_apply(schema, schema_document(schema), document, "", &problems, &err), &err);
    bytes_deinit(&before);
    json_decref(document);
    schema_destroy(schema);
}

static void what_was_written_is_read_back(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct manifest manifest;
    assert_ok(manifest_read(&manifest, fixture->path, &err), &err);
    assert_int_equal(manifest.ref.step, 100);
    assert_int_equal(manifest.ref.generation, 1);
    assert_false(manifest.lineage.has_parent);
    assert_int_equal(manifest.tensor_count, 3);
    assert_int_equal(manifest.chunk_count, 2);
    assert_string_equal(manifest.tensors[0].info.name, "frozen");
    assert_int_equal(manifest.tensors[0].info.shape.extents[1], 100);
    assert_int_equal(manifest.tensors[2].chunk_count, 0);
    assert_int_equal(manifest.logical_bytes, 4 * (TEST_FROZEN_COUNT + TEST_MOVING_COUNT));
    assert_string_equal(json_get_text(manifest.meta, "run", ""), "test");
    manifest_deinit(&manifest);
}

static void every_truncation_and_every_flipped_byte_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct manifest manifest;
    struct bytes *text = &fixture->text;
    for (size_t size = 0; size + 1 < text->size; size++) { /* without the newline it is whole */
        assert_ok(file_write(fixture->path, text->data, size, 0600, &err), &err);
        assert_int_equal(manifest_read(&manifest, fixture->path, &err), STATUS_CORRUPT);
        assert_contains(err.message, fixture->path);
    }
    for (size_t i = 0; i + 1 < text->size; i++) {
        text->data[i] = (char)(text->data[i] ^ 1);
        assert_ok(file_write(fixture->path, text->data, text->size, 0600, &err), &err);
        assert_int_equal(manifest_read(&manifest, fixture->path, &err), STATUS_CORRUPT);
        text->data[i] = (char)(text->data[i] ^ 1);
    }
}

/* Puts patch's members into the manifest, seals it again and reads it. */
static enum status read_patched(const struct fixture *fixture, const char *patch, struct error *err)
{
    struct digest digest;
    char hex[DIGEST_HEX_BYTES];
    struct bytes text = {0};
    struct manifest manifest = {0};
    json_t *document = NULL;
    json_t *members = NULL;
    assert_ok(json_parse(&document, fixture->text.data, fixture->text.size, "a", err), err);
    assert_ok(json_parse(&members, patch, strlen(patch), "b", err), err);
    assert_int_equal(json_object_update(document, members), 0);
    (void)json_object_del(document, "digest");
    json_canonical(&text, document);
    digest_of(&digest, text.data, text.size);
    digest_to_hex(hex, &digest);
    assert_int_equal(json_object_set_new(document, "digest", json_string(hex)), 0);
    bytes_clear(&text);
    json_canonical(&text, document);
    assert_ok(file_write(fixture->path, text.data, text.size, 0600, err), err);
    enum status status = manifest_read(&manifest, fixture->path, err);
    if (status == STATUS_OK) {
        manifest_deinit(&manifest);
    }
    json_decref(document);
    json_decref(members);
    bytes_deinit(&text);
    return status;
}

#define TENSOR(name, dtype, shape, chunks)                                     \
 "{\"tensors\": [{\"name\": " name ", \"dtype\": " dtype ", \"shape\": " shape \
 ", \"chunks\": " chunks "}]}"
#define DIGEST "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\""
#define CHUNK  "{\"digest\": " DIGEST ", \"codec\": \"raw\", \"stored\": 68}"

static void sealed_nonsense_is_refused_with_its_place(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *patch;
        enum status status;
        const char *part;
    } cases[] = {
        {"{}", STATUS_OK, ""},
        {TENSOR("\"w\"", "\"F32\"", "[]", "[" CHUNK "]"), STATUS_OK, ""},
        {"{\"format\": 2}", STATUS_UNSUPPORTED, "newer program"},
        {"{\"format\": 0}", STATUS_CORRUPT, "format"},
        {"{\"step\": -1}", STATUS_CORRUPT, "step"},
        {"{\"step\": 1099511627777}", STATUS_CORRUPT, "step"},
        {"{\"meta\": 1}", STATUS_CORRUPT, "meta"},
        {"{\"chunk_bytes\": 1}", STATUS_UNSUPPORTED, "chunks of 1 bytes"},
        {"{\"generation\": 0}", STATUS_CORRUPT, "generation"},
        {"{\"tensors\": {}}", STATUS_CORRUPT, "tensors"},
        {TENSOR("\"\"", "\"F32\"", "[1]", "[" CHUNK "]"), STATUS_CORRUPT, "bad name"},
        {TENSOR("\"w\"", "\"F31\"", "[1]", "[" CHUNK "]"), STATUS_CORRUPT, "'w': bad dtype"},
        {TENSOR("\"w\"", "\"F32\"", "[-1]", "[" CHUNK "]"), STATUS_CORRUPT, "'w': bad shape"},
        {TENSOR("\"w\"", "\"F32\"", "1", "[" CHUNK "]"), STATUS_CORRUPT, "'w': bad shape"},
        {TENSOR("\"w\"", "\"F32\"", "[1]", "[]"), STATUS_CORRUPT, "'w': 0 chunks, 1 by its shape"},
        {TENSOR("\"w\"", "\"F32\"", "[0]", "[" CHUNK "]"), STATUS_CORRUPT, "1 chunks, 0 by"},
        {TENSOR("\"w\"", "\"U8\"", "[4194305]", "[" CHUNK "]"), STATUS_CORRUPT, "1 chunks, 2 by"},
        {TENSOR("\"w\"", "\"F32\"", "[1]", "[{}]"), STATUS_CORRUPT, "'w': chunk 0: bad digest"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        assert_int_equal(read_patched(fixture, cases[i].patch, &err), cases[i].status);
        assert_contains(err.message, cases[i].part);
    }
}

static void meta_without_a_required_member_is_refused(void **state)
{
    (void)state;
    static const char *const members[] = {"run", "digests", "world", "micro", "lanes",   "dtype",
                                          "isa", "onednn",  "group", "rng",   "sampler", "receipt"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        struct error err;
        json_t *checked = NULL;
        json_t *meta = test_checkpoint_meta(1);
        assert_ok(manifest_meta_check(&checked, meta, &err), &err);
        json_decref(checked);
        assert_int_equal(json_object_del(meta, members[i]), 0);
        assert_int_equal(manifest_meta_check(&checked, meta, &err), STATUS_INVALID);
        assert_contains(err.message, members[i]);
        json_decref(meta);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_manifest_is_as_the_schema_says, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_and_every_flipped_byte_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sealed_nonsense_is_refused_with_its_place, setup, teardown),
        cmocka_unit_test(meta_without_a_required_member_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
