#include "proto/base/reader.h"
#include "tests/support/test.h"

static const uint8_t golden[] = {1, 2, 1, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1, 'a', 'b'};

/* Reads all fields of golden; true when they were there and nothing is left. */
static bool decode(const uint8_t *data, size_t size)
{
    struct reader reader = reader_over(data, size);
    bool right = reader_u8(&reader) == 1;
    right = (reader_u16(&reader) == 0x0102) && right;
    right = (reader_u32(&reader) == 0x01020304) && right;
    right = (reader_u64(&reader) == 0x0102030405060708) && right;
    const uint8_t *text = reader_raw(&reader, 2);
    right = text != NULL && memcmp(text, "ab", 2) == 0 && right;
    return reader_finished(&reader) && right;
}

static void fields_are_little_endian(void **state)
{
    (void)state;
    assert_true(decode(golden, sizeof golden));
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < sizeof golden; size++) {
        assert_false(decode(golden, size));
    }
}

static void a_byte_left_over_is_refused(void **state)
{
    (void)state;
    uint8_t longer[sizeof golden + 1] = {0};
    memcpy(longer, golden, sizeof golden);
    assert_false(decode(longer, sizeof longer));
}

static void the_first_failure_sticks(void **state)
{
    (void)state;
    struct reader reader = reader_over(golden, 3);
    assert_int_equal(reader_u32(&reader), 0);
    assert_int_equal(reader_u8(&reader), 0); /* though there are bytes left */
    assert_null(reader_raw(&reader, SIZE_MAX));
    assert_null(reader_raw(&reader, 0));
    assert_false(reader_finished(&reader));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_little_endian),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(a_byte_left_over_is_refused),
        cmocka_unit_test(the_first_failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
