#include "proto/base/json.h"
#include "proto/spec/schema.h"
#include "tests/support/test.h"

static enum status check_text(const char *text, struct error *err)
{
    struct schema *schema = NULL;
    assert_ok(schema_create(&schema, text, strlen(text), "s.json", err), err);
    enum status status = schema_check(schema, schema_document(schema), err);
    schema_destroy(schema);
    return status;
}

static void a_keyword_that_is_not_known_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *schema;
        const char *message;
    } cases[] = {
        {"{\"multipleOf\": 2}", "at /: 'multipleOf' is a keyword the validator does not know"},
        {"{\"properties\": {\"a\": {\"anyOf\": []}}}", "at /properties/a: 'anyOf'"},
        {"{\"items\": {\"contains\": {}}}", "at /items: 'contains'"},
        {"{\"$defs\": {\"a\": {\"if\": {}}}}", "at /$defs/a: 'if'"},
        {"{\"oneOf\": [{\"type\": \"string\", \"format\": \"uri\"}]}", "at /oneOf/0: 'format'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        assert_int_equal(check_text(cases[i].schema, &err), STATUS_INVALID);
        assert_contains(err.message, cases[i].message);
    }
}

static void a_keyword_with_a_value_it_cannot_have_is_refused(void **state)
{
    (void)state;
    static const char *const schemas[] = {
        "{\"type\": \"text\"}",
        "{\"type\": []}",
        "{\"enum\": []}",
        "{\"enum\": [[1]]}",
        "{\"const\": null}",
        "{\"minLength\": -1}",
        "{\"minimum\": \"1\"}",
        "{\"pattern\": \"[\"}",
        "{\"required\": [1]}",
        "{\"additionalProperties\": {}}",
        "{\"$ref\": \"#/$defs/none\"}",
        "{\"$ref\": \"other.json\"}",
        "{\"$ref\": \"#/$defs/a\", \"type\": \"string\", \"$defs\": {\"a\": {}}}",
        "{\"$defs\": {\"a\": {\"$ref\": \"#/$defs/a\"}}}",
        "{\"x-path\": \"url\"}",
        "{\"x-refused\": {\"a\": 1}}",
        "{\"type\": \"integer\", \"minimum\": 1, \"default\": 0}",
        "{\"properties\": 1}",
        "{\"items\": []}",
        "{\"oneOf\": []}",
        "{\"oneOf\": [{\"type\": \"string\"}, {\"type\": \"string\"}]}",
        "{\"oneOf\": [{\"required\": [\"a\"]}, {\"type\": \"string\"}]}",
        "{\"x-discriminator\": \"k\", \"oneOf\": [{\"type\": \"object\"}]}",
    };
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        struct error err = {0};
        if (check_text(schemas[i], &err) != STATUS_INVALID) {
            fail_msg("%s was taken", schemas[i]);
        }
    }
}

static const char numbers[] =
    "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
    "\"i\": {\"type\": \"integer\", \"minimum\": -5, \"maximum\": 5},"
    "\"n\": {\"type\": \"number\", \"exclusiveMinimum\": 0, \"exclusiveMaximum\": 1},"
    "\"w\": {\"type\": \"integer\"},"
    "\"b\": {\"type\": \"boolean\", \"default\": true},"
    "\"c\": {\"const\": 1},"
    "\"t\": {\"type\": \"string\", \"minLength\": 2, \"maxLength\": 3}}}";

static enum status apply_text(const char *instance, char **canonical, struct error *err)
{
    struct schema *schema = NULL;
    json_t *value = NULL;
    struct bytes text = {0};
    assert_ok(schema_create(&schema, numbers, sizeof numbers - 1, "numbers", err), err);
    assert_ok(json_parse(&value, instance, strlen(instance), "instance", err), err);
    enum status status = schema_apply(schema, schema_document(schema), value, "", NULL, err);
    json_canonical(&text, value);
    *canonical = strdup(text.data);
    bytes_deinit(&text);
    json_decref(value);
    schema_destroy(schema);
    return status;
}

static void numbers_get_their_canonical_type(void **state)
{
    (void)state;
    static const struct {
        const char *instance;
        const char *canonical;
    } cases[] = {
        {"{}", "{\"b\":true}"},
        {"{\"i\": 3.0}", "{\"b\":true,\"i\":3}"},
        {"{\"i\": -0.0}", "{\"b\":true,\"i\":0}"},
        {"{\"n\": 0.25}", "{\"b\":true,\"n\":0.25}"},
        {"{\"c\": 1}", "{\"b\":true,\"c\":1}"},
        {"{\"c\": 1.0}", "{\"b\":true,\"c\":1}"},
        {"{\"w\": 9007199254740991}", "{\"b\":true,\"w\":9007199254740991}"},
        {"{\"b\": false}", "{\"b\":false}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        char *canonical = NULL;
        assert_ok(apply_text(cases[i].instance, &canonical, &err), &err);
        assert_string_equal(canonical, cases[i].canonical);
        free(canonical);
    }
}

static void both_sides_of_each_limit_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *instance;
        const char *message; /* NULL: it is fine */
    } cases[] = {
        {"{\"i\": -5}", NULL},
        {"{\"i\": -6}", "i: -6 is below the minimum -5; the maximum is 5"},
        {"{\"i\": 5}", NULL},
        {"{\"i\": 6}", "i: 6 is above the maximum 5; the minimum is -5"},
        {"{\"i\": 0.5}", "i: 0.5 is not a whole number"},
        {"{\"i\": true}", "i: true is not a whole number"},
        {"{\"w\": 1e17}", "w: 1e17 is not a whole number"},
        {"{\"n\": 0}", "n: 0 is not inside the minimum 0 (exclusive)"},
        {"{\"n\": 1.0}", "n: 1.0 is not inside the maximum 1 (exclusive)"},
        {"{\"n\": -1}", "n: -1 is below the minimum 0 (exclusive); the maximum is 1 (exclusive)"},
        {"{\"n\": null}", "n: null is not a number"},
        {"{\"b\": 0}", "b: 0 is not true or false"},
        {"{\"c\": 2}", "c: 2 is not 1"},
        {"{\"t\": \"ä\"}", "t: has 1 characters; the minimum is 2"},
        {"{\"t\": \"äöü\"}", NULL},
        {"{\"t\": \"abcd\"}", "t: has 4 characters; the maximum is 3"},
        {"{\"zz\": 1}", "zz: unknown field"},
        {"{\"a b\\u001b\": 1}", "[\"a b\\u001b\"]: unknown field"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        char *canonical = NULL;
        enum status status = apply_text(cases[i].instance, &canonical, &err);
        free(canonical);
        if (!cases[i].message) {
            assert_ok(status, &err);
            continue;
        }
        assert_int_equal(status, STATUS_INVALID);
        assert_contains(err.message, cases[i].message);
    }
}

static void all_problems_are_counted_and_the_first_are_kept(void **state)
{
    (void)state;
    struct schema *schema = NULL;
    struct error err = {0};
    struct schema_problems problems = {0};
    json_t *value = json_object();
    for (int i = 0; i < SCHEMA_PROBLEMS_MAX + 5; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "u%d", i);
        assert_int_equal(json_object_set_new(value, key, json_null()), 0);
    }
    assert_ok(schema_create(&schema, numbers, sizeof numbers - 1, "numbers", &err), &err);
    assert_int_equal(schema_apply(schema, schema_document(schema), value, "", &problems, &err),
                     STATUS_INVALID);
    assert_int_equal(problems.total, SCHEMA_PROBLEMS_MAX + 5);
    assert_int_equal(problems.count, SCHEMA_PROBLEMS_MAX);
    assert_string_equal(err.field, "u0");
    assert_string_equal(problems.items[SCHEMA_PROBLEMS_MAX - 1].field, "u15");
    json_decref(value);
    schema_destroy(schema);
}

static void long_names_and_values_are_cut(void **state)
{
    (void)state;
    struct error err = {0};
    char *canonical = NULL;
    char instance[8192] = "{\"t\": \"";
    size_t size = strlen(instance);
    for (int i = 0; i < 2000; i++) {
        memcpy(instance + size, "ä", 2);
        size += 2;
    }
    memcpy(instance + size, "\"}", 3);
    assert_int_equal(apply_text(instance, &canonical, &err), STATUS_INVALID);
    assert_contains(err.message, "t: has 2000 characters");
    free(canonical);

    memmove(instance + 2, instance + 7, strlen(instance + 7) + 1);
    instance[0] = '{';
    instance[1] = '"';
    (void)snprintf(instance + strlen(instance) - 1, 8, ": 1}");
    assert_int_equal(apply_text(instance, &canonical, &err), STATUS_INVALID);
    assert_contains(err.message, "…]: unknown field");
    assert_true(strlen(err.field) < ERROR_FIELD_BYTES);
    free(canonical);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keyword_that_is_not_known_is_refused),
        cmocka_unit_test(a_keyword_with_a_value_it_cannot_have_is_refused),
        cmocka_unit_test(numbers_get_their_canonical_type),
        cmocka_unit_test(both_sides_of_each_limit_are_told_apart),
        cmocka_unit_test(all_problems_are_counted_and_the_first_are_kept),
        cmocka_unit_test(long_names_and_values_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
