#include <errno.h>

#include "tests/support/test.h"

static void a_message_too_long_is_cut_at_a_utf8_boundary(void **state)
{
    (void)state;
    /* Two bytes each, at both parities: the cut must not fall into a character. */
    for (size_t shift = 0; shift < 2; shift++) {
        struct error err = {0};
        char text[2 * ERROR_MESSAGE_BYTES] = "";
        memset(text, 'x', shift);
        for (size_t i = shift; i + 2 < sizeof text; i += 2) {
            memcpy(text + i, "é", 2);
            text[i + 2] = '\0';
        }
        assert_int_equal(error_set(&err, STATUS_LIMIT, "%s", text), STATUS_LIMIT);
        size_t length = strlen(err.message);
        assert_true(length < ERROR_MESSAGE_BYTES);
        assert_true(length >= ERROR_MESSAGE_BYTES - 6);
        assert_string_equal(err.message + length - 3, "…");
        assert_string_equal(err.message + length - 5, "é…");
    }
}

static void a_message_that_just_fits_is_whole(void **state)
{
    (void)state;
    struct error err;
    char text[ERROR_MESSAGE_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)error_set(&err, STATUS_IO, "%s", text);
    assert_string_equal(err.message, text);
}

static void context_is_added_outwards(void **state)
{
    (void)state;
    struct error err;
    (void)error_from_errno(&err, ENOENT, "open '%s'", "a.db");
    error_set_field(&err, "data.train[%d]", 0);
    assert_int_equal(error_wrap(&err, "job store"), STATUS_NOT_FOUND);
    assert_string_equal(err.message, "job store: open 'a.db': No such file or directory");
    assert_string_equal(err.field, "data.train[0]");
}

static void a_new_error_clears_field_and_hint(void **state)
{
    (void)state;
    struct error err;
    (void)error_set(&err, STATUS_IO, "a");
    error_set_field(&err, "f");
    error_set_hint(&err, "h");
    (void)error_set(&err, STATUS_LIMIT, "%s b", err.message); /* from its own storage */
    assert_string_equal(err.message, "a b");
    assert_string_equal(err.field, "");
    assert_string_equal(err.hint, "");
}

static void no_storage_is_fine(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, STATUS_BUSY, "x"), STATUS_BUSY);
    assert_int_equal(error_from_errno(NULL, ENOSPC, "x"), STATUS_NO_SPACE);
    error_set_field(NULL, "x");
    error_set_hint(NULL, "x");
}

static void system_errors_get_the_status_a_caller_acts_on(void **state)
{
    (void)state;
    static const struct {
        int errno_value;
        enum status status;
    } cases[] = {
        {ENOENT, STATUS_NOT_FOUND},
        {EEXIST, STATUS_CONFLICT},
        {ENOMEM, STATUS_NO_MEMORY},
        {ENOSPC, STATUS_NO_SPACE},
        {EACCES, STATUS_PERMISSION},
        {EAGAIN, STATUS_BUSY},
        {EIO, STATUS_IO},
        {ENAMETOOLONG, STATUS_LIMIT},
        {ETIMEDOUT, STATUS_TIMEOUT},
        {ENOSYS, STATUS_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(error_from_errno(NULL, cases[i].errno_value, "x"), cases[i].status);
    }
}

static void statuses_have_distinct_names_and_codes(void **state)
{
    (void)state;
    for (int i = STATUS_OK; i <= STATUS_UNSUPPORTED; i++) {
        assert_int_equal(status_from_name(status_name((enum status)i)), i);
        for (int j = STATUS_OK; j < i; j++) {
            assert_int_not_equal(status_exit_code((enum status)i),
                                 status_exit_code((enum status)j));
            assert_int_not_equal(status_rpc_code((enum status)i), status_rpc_code((enum status)j));
        }
    }
    assert_int_equal(status_from_name("of_a_newer_version"), STATUS_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_too_long_is_cut_at_a_utf8_boundary),
        cmocka_unit_test(a_message_that_just_fits_is_whole),
        cmocka_unit_test(context_is_added_outwards),
        cmocka_unit_test(a_new_error_clears_field_and_hint),
        cmocka_unit_test(no_storage_is_fine),
        cmocka_unit_test(system_errors_get_the_status_a_caller_acts_on),
        cmocka_unit_test(statuses_have_distinct_names_and_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
