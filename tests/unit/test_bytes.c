#include "proto/base/bytes.h"
#include "tests/support/test.h"

static void appended_bytes_are_terminated(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    bytes_append_text(&bytes, "step");
    bytes_append_char(&bytes, ' ');
    bytes_printf(&bytes, "%d of %s", 7, "10");
    assert_string_equal(bytes.data, "step 7 of 10");
    assert_int_equal(bytes.size, strlen(bytes.data));
    bytes_consume(&bytes, 5);
    assert_string_equal(bytes.data, "7 of 10");
    bytes_clear(&bytes);
    assert_string_equal(bytes.data, "");
    bytes_deinit(&bytes);
}

static void integers_are_little_endian(void **state)
{
    (void)state;
    static const uint8_t golden[] = {0x02, 0x01, 0x06, 0x05, 0x04, 0x03, 0x0E,
                                     0x0D, 0x0C, 0x0B, 0x0A, 0x09, 0x08, 0x07};
    struct bytes bytes = {0};
    bytes_append_u16(&bytes, 0x0102);
    bytes_append_u32(&bytes, 0x03040506);
    bytes_append_u64(&bytes, 0x0708090A0B0C0D0E);
    assert_int_equal(bytes.size, sizeof golden);
    assert_memory_equal(bytes.data, golden, sizeof golden);
    bytes_deinit(&bytes);
}

static void the_limit_holds_on_both_sides_and_sticks(void **state)
{
    (void)state;
    struct error err;
    struct bytes bytes = {.size_max = 4};
    bytes_append(&bytes, "abcd", 4);
    assert_ok(bytes_status(&bytes, "text", &err), &err);
    bytes_append_char(&bytes, 'e');
    assert_int_equal(bytes_status(&bytes, "text", &err), STATUS_LIMIT);
    assert_string_equal(err.message, "text: more than 4 bytes");
    assert_string_equal(bytes.data, "abcd");
    bytes_clear(&bytes);
    bytes_printf(&bytes, "%s", "abcd");
    assert_false(bytes_failed(&bytes));
    bytes_clear(&bytes);
    bytes_printf(&bytes, "%s", "abcde");
    assert_true(bytes_failed(&bytes));
    bytes_append_text(&bytes, "x");
    assert_int_equal(bytes.size, 0);
    bytes_deinit(&bytes);
}

static void a_reservation_that_overflows_is_refused(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    bytes_append_text(&bytes, "x");
    assert_false(bytes_reserve(&bytes, SIZE_MAX - 1));
    assert_true(bytes_failed(&bytes));
    bytes_deinit(&bytes);
}

static enum status append_much(void *context, struct error *err)
{
    (void)context;
    struct bytes bytes = {0};
    for (int i = 0; i < 1000; i++) {
        bytes_printf(&bytes, "%d,", i);
    }
    enum status status = bytes_status(&bytes, "numbers", err);
    bytes_deinit(&bytes);
    return status;
}

static void every_failing_allocation_sticks(void **state)
{
    (void)state;
    test_fail_each_call(append_much, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_bytes_are_terminated),
        cmocka_unit_test(integers_are_little_endian),
        cmocka_unit_test(the_limit_holds_on_both_sides_and_sticks),
        cmocka_unit_test(a_reservation_that_overflows_is_refused),
        cmocka_unit_test(every_failing_allocation_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
