#include <math.h>

#include "proto/base/json.h"
#include "proto/base/rng.h"
#include "tests/support/test.h"

static json_t *parsed(const char *text)
{
    struct error err;
    json_t *value = NULL;
    assert_ok(json_parse(&value, text, strlen(text), "test", &err), &err);
    return value;
}

static void assert_refused(const char *text, size_t size, const char *part)
{
    struct error err;
    json_t *value = NULL;
    assert_int_equal(json_parse(&value, text, size, "spec 'a.json'", &err), STATUS_INVALID);
    assert_null(value);
    assert_contains(err.message, "spec 'a.json': ");
    assert_contains(err.message, part);
}

static void what_is_not_strict_json_is_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"a\": 1, \"a\": 2}", "duplicate"},
        {"{\"a\": 1} x", "end of file expected"},
        {"{\"a\": 1,}", "string or '}' expected"},
        {"{'a': 1}", "line 1, column 2"},
        {"\"\xC3\"", "unable to decode byte 0xc3"},
        {"[1e400]", "overflow"},
        {"[NaN]", "invalid token"},
        {"[01]", "invalid token"},
        {"\"\\u0000\"", "\\u0000"},
        {"", "line 1"},
        {"[9007199254740992]", "2^53"},
        {"[-9007199254740992]", "2^53"},
        {"[9223372036854775808]", "too big integer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_refused(cases[i][0], strlen(cases[i][0]), cases[i][1]);
    }
    assert_refused("[1]\0", 4, "line 1");
    json_decref(parsed("[9007199254740991, -9007199254740991]"));
}

static void depth_has_a_limit(void **state)
{
    (void)state;
    char text[2 * (JSON_DEPTH_MAX + 1) + 1] = "";
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        if (depth == JSON_DEPTH_MAX) {
            json_decref(parsed(text));
        } else {
            assert_refused(text, strlen(text), "deeper");
        }
    }
}

static void the_canonical_form_is_a_fixed_point(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {" { \"b\" : [ 1 , 2.50, true,null,false ], \"a\" : { } } ",
         "{\"a\":{},\"b\":[1,2.5,true,null,false]}"},
        {"{\"aa\":1,\"a\":2,\"B\":3,\"é\":4,\"\":5}", "{\"\":5,\"B\":3,\"a\":2,\"aa\":1,\"é\":4}"},
        {"\"\\u00e9\\n\\t\\\"\\\\\\/\\u0001\\ud83d\\ude00\\u007f\"",
         "\"é\\n\\t\\\"\\\\/\\u0001😀\x7f\""},
        {"[1e0, -0.0, 1E3, 1e22, 0.1, 1e-7]", "[1.0,-0.0,1000.0,1e22,0.1,1e-7]"},
        {"[-0, 9007199254740991]", "[0,9007199254740991]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bytes first = {0};
        struct bytes second = {0};
        json_t *value = parsed(cases[i][0]);
        json_canonical(&first, value);
        assert_string_equal(first.data, cases[i][1]);
        json_t *again = parsed(first.data);
        assert_true(json_equal(value, again));
        json_canonical(&second, again);
        assert_string_equal(second.data, first.data);
        json_decref(value);
        json_decref(again);
        bytes_deinit(&first);
        bytes_deinit(&second);
    }
}

static void reals_are_written_with_the_fewest_digits(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.001, "0.001"},
        {0.0001, "0.0001"},
        {0.00001, "1e-5"},
        {0.000123, "0.000123"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e16"},
        {123456789012345678.0, "1.2345678901234568e17"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e308"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3.0, "0.3333333333333333"},
        {-1.5, "-1.5"},
        {9007199254740992.0, "9007199254740992.0"},
        {0x1p-44, "5.684341886080802e-14"}, /* not the nearest 16 digits, which read back as less */
        {0x1.fffffffffffffp-1, "0.9999999999999999"},
        {99999999999999990.0, "9.999999999999998e16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        json_real_text(text, cases[i].value);
        assert_string_equal(text, cases[i].text);
        assert_true(strtod(text, NULL) == cases[i].value);
    }
}

static void every_double_reads_back_bit_by_bit(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 50000; i++) {
        union {
            uint64_t bits;
            double value;
        } number = {.bits = rng_u64(1, rng_stream(RNG_PURPOSE_TEST, 0, 0), i)};
        if (i % 4 == 0) {
            number.bits &= ~(uint64_t)0xFFFFFFFFFFFFF; /* powers of two */
        }
        if (!isfinite(number.value)) {
            continue;
        }
        char text[32];
        json_real_text(text, number.value);
        assert_true(strpbrk(text, ".e") != NULL);
        double back = strtod(text, NULL);
        assert_memory_equal(&back, &number.value, sizeof back);
    }
}

static void non_finite_numbers_keep_their_kind(void **state)
{
    (void)state;
    static const double values[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    static const char *const texts[] = {
        "{\"loss\":null,\"loss_non_finite\":\"nan\"}",
        "{\"loss\":null,\"loss_non_finite\":\"inf\"}",
        "{\"loss\":null,\"loss_non_finite\":\"-inf\"}",
    };
    for (size_t i = 0; i < 3; i++) {
        struct bytes text = {0};
        json_t *object = json_object();
        json_set_real(object, "loss", values[i]);
        json_canonical(&text, object);
        assert_string_equal(text.data, texts[i]);
        double back = json_get_real(object, "loss", 7.0);
        assert_true(isnan(values[i]) ? isnan(back) : back == values[i]);
        json_set_real(object, "loss", 2.5); /* takes the sibling away */
        assert_int_equal(json_object_size(object), 1);
        assert_true(json_get_real(object, "loss", 7.0) == 2.5);
        json_decref(object);
        bytes_deinit(&text);
    }
}

static void lookups_fall_back_on_a_wrong_type(void **state)
{
    (void)state;
    json_t *object = parsed("{\"t\": \"x\", \"i\": 3, \"r\": 0.5, \"b\": true, \"n\": null}");
    assert_string_equal(json_get_text(object, "t", "?"), "x");
    assert_string_equal(json_get_text(object, "i", "?"), "?");
    assert_int_equal(json_get_int(object, "i", 9), 3);
    assert_int_equal(json_get_int(object, "r", 9), 9);
    assert_true(json_get_real(object, "i", 9.0) == 3.0);
    assert_true(json_get_real(object, "n", 9.0) == 9.0);
    assert_true(json_get_bool(object, "b", false));
    assert_true(json_get_bool(object, "missing", true));
    assert_int_equal(json_get_int(NULL, "x", 4), 4);
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_strict_json_is_refused),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(the_canonical_form_is_a_fixed_point),
        cmocka_unit_test(reals_are_written_with_the_fewest_digits),
        cmocka_unit_test(every_double_reads_back_bit_by_bit),
        cmocka_unit_test(non_finite_numbers_keep_their_kind),
        cmocka_unit_test(lookups_fall_back_on_a_wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
