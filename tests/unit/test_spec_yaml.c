#include "proto/base/json.h"
#include "proto/spec/spec.h"
#include "tests/support/spec_example.h"
#include "tests/support/test.h"

static enum status parse(json_t **out, const char *text, size_t size, struct error *err)
{
    return spec_parse(out, text, size, SPEC_FORMAT_YAML, "a.yaml", err);
}

/* The value that stands in text, as canonical JSON; the caller frees it. */
static char *value_of(const char *yaml)
{
    struct error err = {0};
    struct bytes text = {0};
    json_t *spec = NULL;
    assert_ok(parse(&spec, yaml, strlen(yaml), &err), &err);
    json_canonical(&text, spec);
    char *copy = strdup(text.data);
    bytes_deinit(&text);
    json_decref(spec);
    return copy;
}

static void a_plain_scalar_has_the_type_that_is_due(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *json;
    } cases[] = {
        {"kind: train\nname: no", "{\"kind\":\"train\",\"name\":\"no\"}"},
        {"kind: train\nname: 1e3", "{\"kind\":\"train\",\"name\":\"1e3\"}"},
        {"kind: train\nname: null", "{\"kind\":\"train\",\"name\":\"null\"}"},
        {"kind: train\nname: 'x'", "{\"kind\":\"train\",\"name\":\"x\"}"},
        {"kind: train\nname:", "{\"kind\":\"train\",\"name\":null}"},
        {"kind: train\nname: |\n  x\n", "{\"kind\":\"train\",\"name\":\"x\\n\"}"},
        {"kind: train\noptimizer: {lr: 1e-3}", "{\"kind\":\"train\",\"optimizer\":{\"lr\":0.001}}"},
        {"kind: train\noptimizer: {lr: .5}", "{\"kind\":\"train\",\"optimizer\":{\"lr\":0.5}}"},
        {"kind: train\noptimizer: {lr: +1.}", "{\"kind\":\"train\",\"optimizer\":{\"lr\":1.0}}"},
        {"kind: train\noptimizer: {lr: 1}", "{\"kind\":\"train\",\"optimizer\":{\"lr\":1}}"},
        {"kind: train\noptimizer: {lr: '1'}", "{\"kind\":\"train\",\"optimizer\":{\"lr\":\"1\"}}"},
        {"kind: train\noptimizer: {lr: .inf}",
         "{\"kind\":\"train\",\"optimizer\":{\"lr\":\".inf\"}}"},
        {"kind: train\noptimizer: {lr: nan}",
         "{\"kind\":\"train\",\"optimizer\":{\"lr\":\"nan\"}}"},
        {"kind: train\noptimizer: {lr: 1_0}",
         "{\"kind\":\"train\",\"optimizer\":{\"lr\":\"1_0\"}}"},
        {"kind: train\noptimizer: {lr: .}", "{\"kind\":\"train\",\"optimizer\":{\"lr\":\".\"}}"},
        {"kind: train\noptimizer: {lr: 1e}", "{\"kind\":\"train\",\"optimizer\":{\"lr\":\"1e\"}}"},
        {"kind: train\noptimizer: {betas: [0, 9e-1]}",
         "{\"kind\":\"train\",\"optimizer\":{\"betas\":[0,0.9]}}"},
        {"kind: train\nsteps: 1e3", "{\"kind\":\"train\",\"steps\":1000.0}"},
        {"kind: train\nsteps: 0", "{\"kind\":\"train\",\"steps\":0}"},
        {"kind: train\nsteps: -7", "{\"kind\":\"train\",\"steps\":-7}"},
        {"kind: train\nsteps: 0x10", "{\"kind\":\"train\",\"steps\":\"0x10\"}"},
        {"kind: train\nsteps: 007", "{\"kind\":\"train\",\"steps\":\"007\"}"},
        {"kind: train\nsteps: true", "{\"kind\":\"train\",\"steps\":\"true\"}"},
        {"kind: train\nsteps: ~", "{\"kind\":\"train\",\"steps\":null}"},
        {"kind: train\nmodel: {tokenizer: 12}",
         "{\"kind\":\"train\",\"model\":{\"tokenizer\":\"12\"}}"},
        {"kind: train\nmodel: {tokenizer: {train: 400}}",
         "{\"kind\":\"train\",\"model\":{\"tokenizer\":{\"train\":400}}}"},
        /* The discriminator decides wherever it stands. */
        {"name: 5\nkind: train", "{\"kind\":\"train\",\"name\":\"5\"}"},
        {"method: {r: 4, name: mora}\nkind: train",
         "{\"kind\":\"train\",\"method\":{\"name\":\"mora\",\"r\":4}}"},
        {"tokenizer: 3\nkind: prepare\ninputs: 7",
         "{\"inputs\":\"7\",\"kind\":\"prepare\",\"tokenizer\":\"3\"}"},
        {"kind: prepare\ninputs: [7, '8']", "{\"inputs\":[\"7\",\"8\"],\"kind\":\"prepare\"}"},
        /* Nothing is known about these: YAML's core schema. */
        {"zz: [1, 1.5, x, true, null, '1', ~, .5]",
         "{\"zz\":[1,1.5,\"x\",true,null,\"1\",null,0.5]}"},
        /* JSON is YAML. */
        {"{\"kind\": \"train\", \"steps\": 5, \"name\": \"a\\u00e4\"}",
         "{\"kind\":\"train\",\"name\":\"aä\",\"steps\":5}"},
        {"\xEF\xBB\xBFkind: train", "{\"kind\":\"train\"}"},
        {"%YAML 1.2\n---\nkind: train\n...\n", "{\"kind\":\"train\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *json = value_of(cases[i].yaml);
        assert_string_equal(json, cases[i].json);
        free(json);
    }
}

static void what_a_spec_may_not_use_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *message;
        const char *hint;
    } cases[] = {
        {"a: &x 1", "a.yaml: line 1, column 4: anchors are not allowed", "'&'"},
        {"a: &x [1]", "a.yaml: line 1, column 4: anchors are not allowed", ""},
        {"a: 1\nb: *x", "a.yaml: line 2, column 4: aliases are not allowed", "'*'"},
        {"a: !!str 1", "a.yaml: line 1, column 4: tags are not allowed", "'!'"},
        {"a: !x {b: 1}", "a.yaml: line 1, column 4: tags are not allowed", ""},
        {"%TAG !e! tag:e,2000:\n---\na: 1", "tags are not allowed", ""},
        {"a: {<<: {b: 1}}", "a.yaml: line 1, column 5: merge keys are not allowed", ""},
        {"a: 1\nb: 2\na: 3", "a.yaml: line 3, column 1: the key 'a' stands here twice", ""},
        {"a: 1\n'a': 3", "line 2, column 1: the key 'a' stands here twice", ""},
        {"a: 1\n---\nb: 1", "a.yaml: line 2, column 1: a second document begins", "one document"},
        {"? [a]\n: 1", "a.yaml: line 1, column 3: a key must be a word", ""},
        {"{{a: 1}: 2}", "a.yaml: line 1, column 2: a key must be a word", ""},
        {"a: \"\\0\"", "a.yaml: line 1, column 4: text must not contain NUL", ""},
        {"a:\n\tb: 1", "a.yaml: line 2, column 1: ", "spaces, not tabs"},
        {"a: [1", "a.yaml: line 2, column 1: did not find", "that begins at line 1, column 4"},
        {"a: 'x", "a.yaml: line 1, column 6: found unexpected end", "line 1, column 4"},
        {"a: b: c", "a.yaml: line 1, column 5: mapping values are not allowed", ""},
        {"", "a.yaml: is empty", ""},
        {"# nothing\n", "a.yaml: is empty", ""},
        {"- a\n- b", "a.yaml: is not a mapping of fields", "kind: train"},
        {"hello", "a.yaml: is not a mapping of fields", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        json_t *spec = NULL;
        if (parse(&spec, cases[i].yaml, strlen(cases[i].yaml), &err) != STATUS_INVALID) {
            fail_msg("'%s' was taken", cases[i].yaml);
        }
        assert_contains(err.message, cases[i].message);
        assert_contains(err.hint, cases[i].hint);
    }
}

static void invalid_utf8_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "kind: train\nname: \xC3(",        "kind: train\nname: \xFF",
        "kind: train\nname: \xED\xA0\x80", "kind: train\nname: \xC0\x80",
        "kind: train\nname: a\x01",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err = {0};
        json_t *spec = NULL;
        assert_int_equal(parse(&spec, texts[i], strlen(texts[i]), &err), STATUS_INVALID);
        assert_contains(err.message, "a.yaml: line 2, column ");
        assert_contains(err.hint, "UTF-8");
    }
    /* UTF-16 is not guessed at. */
    struct error err = {0};
    json_t *spec = NULL;
    static const char utf16[] = "\xFF\xFE"
                                "a\0:\0 \0"
                                "1\0";
    assert_int_equal(parse(&spec, utf16, sizeof utf16 - 1, &err), STATUS_INVALID);
}

static void depth_and_size_have_limits(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *spec = NULL;
    char deep[4 * JSON_DEPTH_MAX] = "a: ";
    memset(deep + 3, '[', JSON_DEPTH_MAX - 1);
    memset(deep + 3 + JSON_DEPTH_MAX - 1, ']', JSON_DEPTH_MAX - 1);
    deep[3 + 2 * (JSON_DEPTH_MAX - 1)] = '\0';
    assert_ok(parse(&spec, deep, strlen(deep), &err), &err);
    json_decref(spec);

    memset(deep + 3, '[', JSON_DEPTH_MAX);
    memset(deep + 3 + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    deep[3 + 2 * JSON_DEPTH_MAX] = '\0';
    assert_int_equal(parse(&spec, deep, strlen(deep), &err), STATUS_INVALID);
    assert_contains(err.message, "nested too deep");

    char *large = malloc(SPEC_BYTES_MAX + 2);
    assert_non_null(large);
    memset(large, ' ', SPEC_BYTES_MAX + 1);
    memcpy(large, "a: 1\n#", 6);
    assert_ok(parse(&spec, large, SPEC_BYTES_MAX, &err), &err);
    json_decref(spec);
    assert_int_equal(parse(&spec, large, SPEC_BYTES_MAX + 1, &err), STATUS_LIMIT);
    assert_contains(err.message, "a.yaml: has 1048577 bytes; the maximum is 1048576");
    free(large);
}

/* Cut anywhere, a spec is refused or read; it is never valid with something missing. */
static void every_truncation_of_a_spec_is_survived(void **state)
{
    (void)state;
    const char *const texts[] = {SPEC_EXAMPLE_YAML, SPEC_PREPARE_YAML};
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        for (size_t size = 0; size < strlen(texts[t]); size++) {
            struct error err = {0};
            json_t *spec = NULL;
            char *cut =
                malloc(size ? size : 1); /* its own block, so that asan sees a byte too far */
            assert_non_null(cut);
            memcpy(cut, texts[t], size);
            if (parse(&spec, cut, size, &err) == STATUS_OK) {
                (void)!spec_validate(spec, &err);
                json_decref(spec);
            }
            free(cut);
        }
    }
}

static void every_truncation_of_a_json_spec_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    struct bytes text = {0};
    json_t *spec = NULL;
    assert_ok(parse(&spec, SPEC_EXAMPLE_YAML, strlen(SPEC_EXAMPLE_YAML), &err), &err);
    assert_ok(spec_validate(spec, &err), &err);
    assert_ok(spec_canonical(&text, spec, &err), &err);
    json_decref(spec);
    for (size_t size = 0; size < text.size; size++) {
        json_t *cut = NULL;
        assert_int_equal(spec_parse(&cut, text.data, size, SPEC_FORMAT_JSON, "a.json", &err),
                         STATUS_INVALID);
        assert_contains(err.message, "a.json: line 1, column");
    }
    bytes_deinit(&text);
}

static void assert_round_trip(json_t *spec)
{
    struct error err = {0};
    struct bytes text = {0};
    json_t *again = NULL;
    assert_ok(spec_write_yaml(&text, spec, &err), &err);
    if (parse(&again, text.data, text.size, &err)) {
        fail_msg("%s in\n%s", err.message, text.data);
    }
    if (!json_equal(spec, again)) {
        fail_msg("not the same again:\n%s", text.data);
    }
    json_decref(again);
    bytes_deinit(&text);
}

static void what_is_written_reads_back_the_same(void **state)
{
    (void)state;
    const char *const texts[] = {SPEC_EXAMPLE_YAML, SPEC_SMALLEST_YAML, SPEC_PREPARE_YAML};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err = {0};
        json_t *spec = NULL;
        assert_ok(parse(&spec, texts[i], strlen(texts[i]), &err), &err);
        assert_round_trip(spec);
        assert_ok(spec_validate(spec, &err), &err);
        assert_round_trip(spec);
        json_decref(spec);
    }
}

static void any_text_survives_being_written(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "/a b", "no",  "~",      "null",    "1e3",      "-",      "- a",    "a: b",   "a #b",
        "#",    "'",   "\"",     "\\",      "a\nb",     " a ",    "\t",     "*.xml",  "&a",
        "!a",   "{a}", "[a]",    "a,b",     "%a",       "@a",     "`a",     "|",      ">",
        "äöü",  "€",   "😀",      "\x7f",    "\xc2\x85", "\u2028", "\ufeff", "\u00a0", "\x01\x1f",
        "?",    "? a", "---",    "...",     "<<",       "=",      "0",      "0x1",    "1:30",
        "y",    "Off", "\ufffd", "\u2029x", "a\\u0041",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        json_t *spec = json_pack("{s:s, s:s, s:[s, s], s:{s:s}}", "kind", "prepare", "output",
                                 texts[i], "inputs", texts[i], "x", "zz", texts[i], texts[i]);
        assert_non_null(spec);
        assert_round_trip(spec);
        json_decref(spec);
    }
}

static void yaml_is_written_in_the_order_of_the_schema(void **state)
{
    (void)state;
    static const char scrambled[] =
        "{batch: {micro: 1, global: 2}, epochs: 2, schedule: {name: constant}, optimizer: {lr: 1},"
        " data: {sequence_length: 8, validation: {shards: /b}, train: [{shards: /a}]}, name: s,"
        " method: {name: full}, model: {tokenizer: /t.model, preset: llama-9m}, kind: train,"
        " more: {deep: {er: [{a: 1}, {b: 'a very long text, so that the whole of it is far "
        "and further still too long"
        " for a line'}]}}}";
    static const char expected[] = "kind: train\n"
                                   "name: s\n"
                                   "model: {preset: llama-9m, tokenizer: /t.model}\n"
                                   "data:\n"
                                   "  train: [{shards: /a}]\n"
                                   "  validation: {shards: /b}\n"
                                   "  sequence_length: 8\n"
                                   "method: {name: full}\n"
                                   "optimizer: {lr: 1}\n"
                                   "schedule: {name: constant}\n"
                                   "batch: {global: 2, micro: 1}\n"
                                   "epochs: 2\n"
                                   "more:\n"
                                   "  deep:\n"
                                   "    er:\n"
                                   "      - {a: 1}\n"
                                   "      - {b: \"a very long text, so that the whole of it is far "
                                   "and further still too long for a line\"}\n";
    struct error err = {0};
    struct bytes text = {0};
    json_t *spec = NULL;
    assert_ok(parse(&spec, scrambled, sizeof scrambled - 1, &err), &err);
    assert_ok(spec_write_yaml(&text, spec, &err), &err);
    assert_string_equal(text.data, expected);
    bytes_deinit(&text);
    json_decref(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_scalar_has_the_type_that_is_due),
        cmocka_unit_test(what_a_spec_may_not_use_is_refused_with_its_place),
        cmocka_unit_test(invalid_utf8_is_refused_with_its_place),
        cmocka_unit_test(depth_and_size_have_limits),
        cmocka_unit_test(every_truncation_of_a_spec_is_survived),
        cmocka_unit_test(every_truncation_of_a_json_spec_is_refused),
        cmocka_unit_test(what_is_written_reads_back_the_same),
        cmocka_unit_test(any_text_survives_being_written),
        cmocka_unit_test(yaml_is_written_in_the_order_of_the_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
