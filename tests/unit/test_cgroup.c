#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/cgroup.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "tests/support/test.h"

/* A bound on hangs, never a measurement. */
#define PATIENCE_NS ((int64_t)20 * 1000000000)

static char path[PATH_BYTES_MAX];

/* Starts a process that enters the group and has a child that nothing else leads to: its parent is
 * gone, its session is its own, its environment is empty. */
static void start_group(void)
{
    int ends[2];
    char byte = 0;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        byte = cgroup_enter(path) ? '1' : '0';
        (void)!write(ends[1], &byte, 1);
        if (byte == '1' && fork() == 0) {
            char program[] = "/bin/sleep";
            char seconds[] = "60";
            (void)setsid();
            (void)execve(program, (char *[]){program, seconds, NULL}, (char *[]){NULL});
        }
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(byte, '1');
    (void)close(ends[0]);
}

static void all_of_a_group_are_counted_and_killed(void **state)
{
    int64_t deadline_ns = sys_monotonic_ns() + PATIENCE_NS;

    (void)state;
    start_group();
    assert_int_equal(cgroup_count(path), 1);
    cgroup_remove(path); /* not while somebody lives there */
    assert_true(file_exists(path));
    cgroup_kill(path);
    while (cgroup_count(path) > 0) {
        assert_true(sys_monotonic_ns() < deadline_ns);
        (void)usleep(1000);
    }
    cgroup_remove(path);
    assert_false(file_exists(path));
}

static void a_group_whose_processes_are_ending_is_removed(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        start_group();
        cgroup_kill(path);
        cgroup_remove(path); /* at once: what was killed has hardly noticed */
        assert_false(file_exists(path));
    }
}

static void a_group_that_is_not_there_is_empty(void **state)
{
    static const char *const paths[] = {"", "/nonexistent/remora.x"};

    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_false(cgroup_enter(paths[i]));
        assert_int_equal(cgroup_count(paths[i]), 0);
        cgroup_kill(paths[i]);
        cgroup_remove(paths[i]);
    }
}

/* What cannot be entered is not left behind: a folder that is no group takes no processes. */
static void a_group_that_cannot_be_entered_is_removed(void **state)
{
    char folder[PATH_BYTES_MAX];
    char group[PATH_BYTES_MAX];
    struct error err;

    (void)state;
    test_folder_create(folder);
    assert_ok(path_printf(group, &err, "%s/remora.x", folder), &err);
    assert_false(cgroup_enter(group));
    assert_false(file_exists(group));
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_group_are_counted_and_killed),
        cmocka_unit_test(a_group_whose_processes_are_ending_is_removed),
        cmocka_unit_test(a_group_that_is_not_there_is_empty),
        cmocka_unit_test(a_group_that_cannot_be_entered_is_removed),
    };
    char id[64];

    (void)snprintf(id, sizeof id, "test-%d-%lld", (int)getpid(), (long long)sys_monotonic_ns());
    cgroup_path(path, id);
    if (path[0] == '\0' || sys_mkdir(path, 0755) < 0) {
        test_skip_all("control groups (version 2) cannot be made here", false);
    }
    cgroup_remove(path);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
