#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/sys.h"
#include "tests/support/test.h"

static int refuse_all(void *context, const struct sys_event *event)
{
    unsigned *seen = context;
    *seen |= 1U << event->call;
    return EIO;
}

static void a_hook_refuses_each_call_without_its_happening(void **state)
{
    (void)state;
    unsigned seen = 0;
    char byte = 0;
    sys_set_hook(refuse_all, &seen);
    assert_null(sys_malloc(1));
    assert_null(sys_calloc(1, 1));
    assert_null(sys_realloc(NULL, 1));
    assert_null(sys_strdup("x"));
    assert_int_equal(sys_open("/tmp", O_RDONLY, 0), -1);
    assert_int_equal(sys_read(0, &byte, 1), -1);
    assert_int_equal(sys_read_all(0, &byte, 1), -1);
    assert_int_equal(sys_pread_all(0, &byte, 1, 0), -1);
    assert_int_equal(sys_write_all(1, &byte, 1), -1);
    assert_int_equal(sys_fdatasync(1), -1);
    assert_int_equal(sys_fsync(1), -1);
    assert_int_equal(sys_rename("a", "b"), -1);
    assert_int_equal(sys_rename_new("a", "b"), -1);
    assert_int_equal(sys_unlink("a"), -1);
    assert_int_equal(sys_rmdir("a"), -1);
    assert_int_equal(sys_mkdir("a", 0700), -1);
    assert_int_equal(sys_ftruncate(1, 0), -1);
    assert_int_equal(sys_flock(1, 0), -1);
    assert_ptr_equal(sys_mmap(1, PROT_READ, MAP_PRIVATE, 0, 0), MAP_FAILED);
    sys_set_hook(NULL, NULL);
    assert_int_equal(errno, EIO);
    assert_int_equal(seen, (1U << (SYS_CALL_LOCK + 1)) - 1); /* every kind of call was asked for */
}

static void a_count_that_overflows_is_refused(void **state)
{
    (void)state;
    assert_null(sys_calloc(SIZE_MAX / 2, 3));
    assert_int_equal(errno, ENOMEM);
}

static void a_pipe_carries_more_than_its_buffer_through_short_reads(void **state)
{
    (void)state;
    int ends[2];
    char out[300];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(sys_write_all(ends[1], "first", 5), 0);
    assert_int_equal(sys_write_all(ends[1], " second", 7), 0);
    (void)close(ends[1]);
    assert_int_equal(sys_read_all(ends[0], out, sizeof out), 12);
    assert_memory_equal(out, "first second", 12);
    (void)close(ends[0]);
}

static void clocks_go_forward(void **state)
{
    (void)state;
    int64_t before = sys_monotonic_ns();
    assert_true(sys_monotonic_ns() >= before);
    assert_true(sys_realtime_ms() > (int64_t)1600000000 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hook_refuses_each_call_without_its_happening),
        cmocka_unit_test(a_count_that_overflows_is_refused),
        cmocka_unit_test(a_pipe_carries_more_than_its_buffer_through_short_reads),
        cmocka_unit_test(clocks_go_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
