#include "proto/base/rng.h"
#include "tests/support/test.h"
#include "worker/text/sample.h"

#define TEXTS 500

/* Offers text i = "t<i>" with key i * 37 mod TEXTS, in the order of a stride. */
static void offer_all(struct sample *sample, int stride)
{
    for (int i = 0; i < TEXTS; i++) {
        char text[16];
        int index = i * stride % TEXTS;
        struct error err;
        (void)snprintf(text, sizeof text, "t%03d", index);
        assert_ok(sample_offer(sample, (uint64_t)(index * 37 % TEXTS), text, 4, &err), &err);
    }
}

static void the_lowest_keys_stay_whatever_the_order(void **state)
{
    static const int strides[] = {1, 3, 7, 499};
    (void)state;
    for (size_t s = 0; s < sizeof strides / sizeof *strides; s++) {
        struct sample *sample = NULL;
        const struct tokenizer_sample *texts = NULL;
        size_t count = 0;
        struct error err;
        assert_ok(sample_create(&sample, 403, &err), &err); /* room for 100 of 4 bytes */
        offer_all(sample, strides[s]);
        assert_ok(sample_finish(sample, &texts, &count, &err), &err);
        assert_int_equal(count, 100);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(texts[i].size, 4);
            assert_int_equal(atoi(texts[i].text + 1) * 37 % TEXTS, i);
        }
        sample_destroy(sample);
    }
}

static void all_is_kept_that_fits(void **state)
{
    struct sample *sample = NULL;
    const struct tokenizer_sample *texts = NULL;
    size_t count = 0;
    struct error err;
    (void)state;
    assert_ok(sample_create(&sample, (size_t)4 * TEXTS, &err), &err);
    offer_all(sample, 1);
    assert_ok(sample_finish(sample, &texts, &count, &err), &err);
    assert_int_equal(count, TEXTS);
    sample_destroy(sample);
}

static void a_long_text_is_cut_between_characters(void **state)
{
    struct sample *sample = NULL;
    const struct tokenizer_sample *texts = NULL;
    size_t count = 0;
    struct error err;
    (void)state;
    assert_ok(sample_create(&sample, 64, &err), &err);
    assert_ok(sample_offer(sample, 1, "abc\xc3\xa9 and more", 14, &err), &err);
    assert_ok(sample_finish(sample, &texts, &count, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(texts[0].size, 3);
    sample_destroy(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_keys_stay_whatever_the_order),
        cmocka_unit_test(all_is_kept_that_fits),
        cmocka_unit_test(a_long_text_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
