#include "tests/support/test.h"
#include "worker/text/model_traits.h"

/* A model of one piece "▁ab", BPE with byte fallback, nothing normalised. */
#define PIECE                   \
 "\x0a\x0e\x0a\x05\xe2\x96\x81" \
 "ab\x15\x00\x00\x00\x00\x18\x01"
#define TRAINER "\x12\x05\x18\x02\x98\x02\x01"
#define PLAIN   "\x1a\x08\x0a\x02id\x18\x01\x20\x00"

static bool read_text(struct model_traits *traits, const char *bytes, size_t size)
{
    return model_traits_read(traits, bytes, size);
}

#define READ(traits, text) read_text(traits, text, sizeof(text) - 1)

static void a_plain_model_may_be_cut_at_spaces(void **state)
{
    struct model_traits traits;
    (void)state;
    assert_true(READ(&traits, PIECE TRAINER PLAIN));
    assert_true(traits.is_bpe);
    assert_true(traits.has_byte_fallback);
    assert_true(traits.adds_space);
    assert_false(traits.removes_spaces);
    assert_true(model_traits_splits_at_spaces(&traits));
}

static void anything_that_joins_words_forbids_it(void **state)
{
    struct model_traits traits;
    (void)state;
    /* a piece "a▁b" */
    assert_true(READ(&traits, "\x0a\x07\x0a\x05"
                              "a\xe2\x96\x81"
                              "b" TRAINER PLAIN));
    assert_true(traits.has_inner_space);
    assert_false(model_traits_splits_at_spaces(&traits));
    /* a user-defined piece */
    assert_true(READ(&traits, "\x0a\x05\x0a\x01x\x18\x04" TRAINER PLAIN));
    assert_true(traits.has_user_pieces);
    assert_false(model_traits_splits_at_spaces(&traits));
    /* unigram; no byte fallback; spaces as suffixes */
    assert_true(READ(&traits, PIECE "\x12\x05\x18\x01\x98\x02\x01" PLAIN));
    assert_false(model_traits_splits_at_spaces(&traits));
    assert_true(READ(&traits, PIECE "\x12\x02\x18\x02" PLAIN));
    assert_false(model_traits_splits_at_spaces(&traits));
    assert_true(READ(&traits, PIECE "\x12\x08\x18\x02\xc0\x01\x01\x98\x02\x01" PLAIN));
    assert_false(model_traits_splits_at_spaces(&traits));
    /* spaces removed (the default); a character map */
    assert_true(READ(&traits, PIECE TRAINER));
    assert_false(model_traits_splits_at_spaces(&traits));
    assert_true(READ(&traits, PIECE TRAINER "\x1a\x05\x12\x01m\x20\x00"));
    assert_false(model_traits_splits_at_spaces(&traits));
}

static void malformed_messages_are_refused(void **state)
{
    static const char model[] = PIECE TRAINER PLAIN;
    struct model_traits traits;
    int good = 0;
    (void)state;
    /* Cut between fields is a shorter message; anywhere else is none. */
    for (size_t size = 0; size < sizeof model - 1; size++) {
        good += model_traits_read(&traits, model, size);
    }
    assert_int_equal(good, 3);
    assert_false(READ(&traits, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(READ(&traits, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(READ(&traits, "\x0b\x00"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_model_may_be_cut_at_spaces),
        cmocka_unit_test(anything_that_joins_words_forbids_it),
        cmocka_unit_test(malformed_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
