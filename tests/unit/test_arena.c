#include "proto/base/arena.h"
#include "tests/support/test.h"

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena = {0};
    unsigned char *last = NULL;
    for (size_t size = 0; size < 300; size++) {
        unsigned char *memory = arena_alloc(&arena, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(memory[i], 0);
        }
        memset(memory, 0xFF, size);
        assert_ptr_not_equal(memory, last);
        last = memory;
    }
    arena_deinit(&arena);
}

static void a_reset_arena_hands_out_zeroed_memory_again(void **state)
{
    (void)state;
    struct arena arena = {0};
    memset(arena_alloc(&arena, 100), 0xFF, 100);
    memset(arena_alloc(&arena, 10 * MIB), 0xFF, 10 * MIB); /* larger than a block */
    arena_reset(&arena);
    assert_int_equal(arena.bytes_used, 0);
    const unsigned char *memory = arena_alloc(&arena, 5 * MIB);
    for (size_t i = 0; i < 5 * MIB; i += 997) {
        assert_int_equal(memory[i], 0);
    }
    arena_deinit(&arena);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 15));
    assert_null(arena_alloc_array(&arena, SIZE_MAX / 2, 3));
    assert_non_null(arena_alloc_array(&arena, 3, 7));
    arena_deinit(&arena);
}

static void texts_are_copied(void **state)
{
    (void)state;
    struct arena arena = {0};
    assert_string_equal(arena_strdup(&arena, "whole"), "whole");
    assert_string_equal(arena_strndup(&arena, "whole", 3), "who");
    assert_string_equal(arena_strndup(&arena, "whole", 99), "whole");
    assert_string_equal(arena_printf(&arena, "%s-%d", "step", 7), "step-7");
    arena_deinit(&arena);
}

static enum status allocate_some(void *context, struct error *err)
{
    (void)context;
    struct arena arena = {0};
    bool done = arena_alloc(&arena, 10) != NULL && arena_alloc(&arena, 1 * MIB) != NULL &&
                arena_printf(&arena, "%0*d", 100000, 1) != NULL;
    arena_deinit(&arena);
    return done ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "out of memory");
}

static void every_failing_allocation_gives_null(void **state)
{
    (void)state;
    test_fail_each_call(allocate_some, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(a_reset_arena_hands_out_zeroed_memory_again),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(every_failing_allocation_gives_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
