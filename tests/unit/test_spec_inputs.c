#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/shards/shard_writer.h"
#include "proto/spec/inputs.h"
#include "proto/spec/spec.h"
#include "tests/support/test.h"

static char folder[PATH_BYTES_MAX];

static void write_text(const char *name, const char *text)
{
    struct error err = {0};
    char path[PATH_BYTES_MAX];
    assert_ok(path_printf(path, &err, "%s/%s", folder, name), &err);
    assert_ok(file_write(path, text, strlen(text), 0600, &err), &err);
}

/* A folder of shards with one document, made with the tokenizer whose bytes are given. */
static void write_shards(const char *name, uint32_t token, const char *tokenizer)
{
    struct error err = {0};
    char path[PATH_BYTES_MAX];
    struct shard_writer *writer = NULL;
    struct shard_writer_options options = {.vocab_size = 100, .eos_id = 2};
    digest_of(&options.tokenizer_digest, tokenizer, strlen(tokenizer));
    assert_ok(path_printf(path, &err, "%s/%s", folder, name), &err);
    assert_ok(folder_remove(path, &err), &err);
    assert_ok(shard_writer_create(&writer, path, &options, &err), &err);
    assert_ok(shard_writer_append(writer, &token, 1, &err), &err);
    assert_ok(shard_writer_end_document(writer, &err), &err);
    assert_ok(shard_writer_finish(writer, NULL, &err), &err);
    shard_writer_destroy(writer);
}

static int set_up(void **state)
{
    (void)state;
    test_folder_create(folder);
    write_text("tokenizer.model", "T");
    write_text("b.txt", "bee");
    write_text("a.txt", "ay");
    write_shards("train", 5, "T");
    write_shards("validation", 6, "T");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static json_t *spec_of(const char *sources)
{
    struct error err = {0};
    char yaml[1024];
    json_t *spec = NULL;
    (void)snprintf(yaml, sizeof yaml,
                   "{kind: train, name: s, model: {preset: llama-9m, tokenizer: tokenizer.model}, "
                   "data: {train: [%s], validation: {shards: validation}, sequence_length: 8}, "
                   "method: {name: full}, optimizer: {lr: 1}, schedule: {name: constant}, "
                   "batch: {global: 1, micro: 1}, steps: 5}",
                   sources);
    assert_ok(spec_parse(&spec, yaml, strlen(yaml), SPEC_FORMAT_YAML, "a.yaml", &err), &err);
    assert_ok(spec_resolve_paths(spec, folder, &err), &err);
    assert_ok(spec_validate(spec, &err), &err);
    return spec;
}

static void assert_input(const json_t *inputs, size_t index, const char *field, const char *kind,
                         const char *name)
{
    const json_t *input = json_array_get(inputs, index);
    struct digest digest;
    assert_string_equal(json_get_text(input, "field", ""), field);
    assert_string_equal(json_get_text(input, "kind", ""), kind);
    assert_contains(json_get_text(input, "path", ""), name);
    assert_true(digest_from_hex(&digest, json_get_text(input, "digest", "")));
}

static void each_input_is_listed_with_its_digest(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *inputs = NULL;
    json_t *spec = spec_of("{shards: train}, {files: '*.txt'}");
    assert_ok(spec_inputs(&inputs, spec, &err), &err);
    assert_int_equal(json_array_size(inputs), 5);
    assert_input(inputs, 0, "model.tokenizer", "file", "/tokenizer.model");
    assert_input(inputs, 1, "data.train[0].shards", "shards", "/train");
    assert_input(inputs, 2, "data.train[1].files", "file", "/a.txt");
    assert_input(inputs, 3, "data.train[1].files", "file", "/b.txt");
    assert_input(inputs, 4, "data.validation.shards", "shards", "/validation");
    /* printf ay | sha256sum */
    assert_string_equal(json_get_text(json_array_get(inputs, 2), "digest", ""),
                        "69d61997a241e97931db9dd1cfcef218041a752485f5f7956b09766287682da3");
    assert_ok(spec_inputs_check(spec, inputs, &err), &err);
    json_decref(inputs);
    json_decref(spec);
}

/* Takes the inputs, lets something happen, and expects the check to say what. */
static void check_after(void (*happen)(void), const char *field, const char *message)
{
    struct error err = {0};
    json_t *inputs = NULL;
    json_t *spec = spec_of("{shards: train}, {files: '*.txt'}");
    assert_ok(spec_inputs(&inputs, spec, &err), &err);
    happen();
    assert_int_equal(spec_inputs_check(spec, inputs, &err), STATUS_CONFLICT);
    assert_contains(err.message, message);
    assert_contains(err.message, field);
    assert_string_equal(err.field, field);
    assert_contains(err.hint, "submit a new job");
    json_decref(inputs);
    json_decref(spec);
}

static void change_file(void)
{
    write_text("a.txt", "AY");
}
static void add_file(void)
{
    write_text("c.txt", "see");
}
static void remove_file(void)
{
    char path[PATH_BYTES_MAX];
    struct error err = {0};
    assert_ok(path_printf(path, &err, "%s/b.txt", folder), &err);
    assert_int_equal(unlink(path), 0);
}
static void change_shards(void)
{
    write_shards("train", 7, "T");
}

static void a_change_of_an_input_is_named(void **state)
{
    (void)state;
    check_after(change_file, "data.train[1].files", "/a.txt' has changed since the job");
    check_after(add_file, "data.train[1].files", "/c.txt' has appeared since the job");
    check_after(remove_file, "data.train[1].files", "/b.txt' has gone since the job");
    check_after(change_shards, "data.train[0].shards", "/train' has changed since the job");
}

static void refuse(const char *sources, enum status expected, const char *field,
                   const char *message)
{
    struct error err = {0};
    json_t *inputs = NULL;
    json_t *spec = spec_of(sources);
    assert_int_equal(spec_inputs(&inputs, spec, &err), expected);
    assert_null(inputs);
    assert_string_equal(err.field, field);
    assert_contains(err.message, message);
    json_decref(spec);
}

static void what_is_missing_or_wrong_is_named(void **state)
{
    (void)state;
    struct error err = {0};
    char path[PATH_BYTES_MAX];
    write_shards("other", 5, "U");
    refuse("{shards: nowhere}", STATUS_NOT_FOUND, "data.train[0].shards", "nowhere");
    refuse("{shards: train}, {files: '*.xml'}", STATUS_NOT_FOUND, "data.train[1].files",
           "data.train[1].files: no file matches");
    refuse("{files: train}", STATUS_INVALID, "data.train[0].files", "is a folder");
    refuse("{shards: other}", STATUS_CONFLICT, "data.train[0].shards",
           "was made with another tokenizer than model.tokenizer");

    assert_ok(path_printf(path, &err, "%s/train/00000.tokens", folder), &err);
    assert_int_equal(truncate(path, 200), 0);
    refuse("{shards: train}", STATUS_CORRUPT, "data.train[0].shards", "00000.tokens");
}

static void a_relative_path_is_not_followed(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *inputs = NULL;
    json_t *spec = spec_of("{shards: train}");
    assert_ok(spec_override(spec, "model.tokenizer=tokenizer.model", &err), &err);
    assert_int_equal(spec_inputs(&inputs, spec, &err), STATUS_INVALID);
    assert_contains(err.message, "model.tokenizer: the path 'tokenizer.model' is not absolute");
    json_decref(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_input_is_listed_with_its_digest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_change_of_an_input_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_missing_or_wrong_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_relative_path_is_not_followed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
