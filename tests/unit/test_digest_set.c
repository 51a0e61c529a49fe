#include "proto/store/digest_set.h"
#include "tests/support/test.h"

#define COUNT 2000

static struct digest digest_number(int number)
{
    struct digest digest;
    digest_of(&digest, &number, sizeof number);
    return digest;
}

static void what_was_put_is_found(void **state)
{
    (void)state;
    struct digest_set set = {0};
    struct digest digest = digest_number(0);
    assert_null(digest_set_find(&set, &digest));
    for (int i = 0; i < COUNT; i++) {
        digest = digest_number(i);
        struct digest_set_item *item = digest_set_put(&set, &digest);
        assert_non_null(item);
        assert_int_equal(item->facts.stored_bytes, 0);
        item->facts.stored_bytes = (uint64_t)i + 1;
        assert_ptr_equal(digest_set_put(&set, &digest), item);
    }
    assert_int_equal(set.count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        digest = digest_number(i);
        assert_int_equal(digest_set_find(&set, &digest)->facts.stored_bytes, i + 1);
    }
    digest = digest_number(COUNT);
    assert_null(digest_set_find(&set, &digest));
    digest_set_deinit(&set);
}

/* Digests that differ only behind what chooses the slot. */
static void digests_that_collide_are_told_apart(void **state)
{
    (void)state;
    struct digest_set set = {0};
    for (int i = 0; i < 100; i++) {
        struct digest digest = {{0}};
        memset(digest.bytes, 0xFF, 8); /* the last slot: probing goes round the end */
        digest.bytes[31] = (uint8_t)i;
        digest_set_put(&set, &digest)->facts.stored_bytes = (uint64_t)i;
    }
    for (int i = 0; i < 100; i++) {
        struct digest digest = {{0}};
        memset(digest.bytes, 0xFF, 8);
        digest.bytes[31] = (uint8_t)i;
        assert_int_equal(digest_set_find(&set, &digest)->facts.stored_bytes, i);
    }
    digest_set_deinit(&set);
}

static enum status fill(void *context, struct error *err)
{
    (void)context;
    struct digest_set set = {0};
    enum status status = STATUS_OK;
    for (int i = 0; status == STATUS_OK && i < COUNT; i++) {
        struct digest digest = digest_number(i);
        if (digest_set_put(&set, &digest) == NULL) {
            status = error_set(err, STATUS_NO_MEMORY, "out of memory");
        }
    }
    digest_set_deinit(&set);
    return status;
}

static void every_failing_allocation_gives_null(void **state)
{
    (void)state;
    test_fail_each_call(fill, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_found),
        cmocka_unit_test(digests_that_collide_are_told_apart),
        cmocka_unit_test(every_failing_allocation_gives_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
