#include "tests/support/test.h"
#include "worker/text/utf8.h"

static void well_formed_text_is_valid_to_its_end(void **state)
{
    static const char *const texts[] = {
        "",
        "plain",
        "h\xc3\xa9llo w\xc3\xb6rld, longer than a word of eight bytes",
        "\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf",
        "\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(utf8_valid_prefix(texts[i], strlen(texts[i])), strlen(texts[i]));
    }
}

static void the_first_bad_byte_is_found(void **state)
{
    static const struct {
        const char *text;
        size_t prefix;
    } cases[] = {
        {"\x80", 0},
        {"abc\xff", 3},
        {"12345678\xc3", 8},
        {"a\xc0\xaf", 1},                 /* overlong */
        {"a\xe0\x9f\xbf", 1},             /* overlong */
        {"a\xf0\x8f\xbf\xbf", 1},         /* overlong */
        {"a\xed\xa0\x80", 1},             /* surrogate */
        {"a\xf4\x90\x80\x80", 1},         /* above U+10FFFF */
        {"a\xf5\x80\x80\x80", 1},         /* above U+10FFFF */
        {"\xe2\x82", 0},                  /* cut */
        {"\xf0\x9f\x98", 0},              /* cut */
        {"ok \xe2\x28\xa1", 3},           /* no continuation */
        {"ok \xf0\x9f\x98\x28", 3},       /* no continuation */
        {"caf\xe9 in Latin-1 letters", 3} /* as old files have it */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(utf8_valid_prefix(cases[i].text, strlen(cases[i].text)), cases[i].prefix);
    }
}

static void cutting_keeps_characters_whole(void **state)
{
    const char *text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
    (void)state;
    for (size_t max = 0; max < sizeof expected / sizeof *expected; max++) {
        assert_int_equal(utf8_cut(text, 10, max), expected[max]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_text_is_valid_to_its_end),
        cmocka_unit_test(the_first_bad_byte_is_found),
        cmocka_unit_test(cutting_keeps_characters_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
