#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/process.h"
#include "proto/base/sys.h"
#include "tests/support/test.h"

/* Starts a program that waits to be killed, with a variable in its environment or none. */
static pid_t start(const char *variable)
{
    int ends[2];
    char byte = 0;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
        char program[] = "/bin/sleep";
        char seconds[] = "60";
        char entry[128];
        (void)snprintf(entry, sizeof entry, "%s", variable ? variable : "A=b");
        (void)execve(program, (char *[]){program, seconds, NULL}, (char *[]){entry, NULL});
        _exit(127);
    }
    (void)close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* closed by exec: the environment is its own */
    (void)close(ends[0]);
    return pid;
}

static void stop(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static void a_process_is_found_again_by_its_identity(void **state)
{
    struct process_identity identity;
    char boot_id[BOOT_ID_BYTES];
    int pidfd = -1;
    struct error err;

    (void)state;
    pid_t pid = start(NULL);
    assert_ok(process_identify(&identity, pid, &err), &err);
    assert_ok(boot_id_read(boot_id, &err), &err);
    assert_int_equal(identity.pid, pid);
    assert_true(identity.start_ticks > 0);
    assert_string_equal(identity.boot_id, boot_id);
    assert_ok(process_open(&pidfd, &identity, &err), &err);
    process_signal(pidfd, SIGKILL);
    int wait_status = 0;
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    assert_true(WIFSIGNALED(wait_status));
    process_signal(pidfd, SIGKILL); /* has ended: fine */
    (void)close(pidfd);
}

static void another_process_with_the_same_number_is_not_taken_for_it(void **state)
{
    struct process_identity identity;
    int pidfd = -1;
    struct error err;

    (void)state;
    pid_t pid = start(NULL);
    assert_ok(process_identify(&identity, pid, &err), &err);
    struct process_identity later = identity;
    later.start_ticks++;
    assert_int_equal(process_open(&pidfd, &later, &err), STATUS_NOT_FOUND);
    struct process_identity before_boot = identity;
    before_boot.boot_id[0] = before_boot.boot_id[0] == '0' ? '1' : '0';
    assert_int_equal(process_open(&pidfd, &before_boot, &err), STATUS_NOT_FOUND);
    assert_int_equal(pidfd, -1);
    stop(pid);
}

static void who_has_ended_is_not_found_even_as_a_zombie(void **state)
{
    struct process_identity identity;
    siginfo_t info;
    int pidfd = -1;
    struct error err;

    (void)state;
    pid_t pid = start(NULL);
    assert_ok(process_identify(&identity, pid, &err), &err);
    (void)kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0); /* stays a zombie */
    assert_int_equal(process_identify(&identity, pid, &err), STATUS_NOT_FOUND);
    assert_int_equal(process_open(&pidfd, &identity, &err), STATUS_NOT_FOUND);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(process_open(&pidfd, &identity, &err), STATUS_NOT_FOUND);
}

static void an_attempt_s_processes_are_found_by_their_environment(void **state)
{
    char id[ATTEMPT_ID_BYTES];
    char variable[128];
    char longer[sizeof variable + 1];
    pid_t members[2];

    (void)state;
    (void)snprintf(id, sizeof id, "test-%d-%lld", (int)getpid(), (long long)sys_monotonic_ns());
    (void)snprintf(variable, sizeof variable, "%s=%s", ATTEMPT_ID_VARIABLE, id);
    (void)snprintf(longer, sizeof longer, "%sx", variable);
    assert_int_equal(process_signal_attempt(id, 0), 0);
    members[0] = start(variable);
    members[1] = start(variable);
    pid_t other = start(longer);
    assert_int_equal(process_signal_attempt(id, 0), 2);
    assert_int_equal(process_signal_attempt(id, SIGKILL), 2);
    assert_int_equal(waitpid(members[0], NULL, 0), members[0]);
    assert_int_equal(waitpid(members[1], NULL, 0), members[1]);
    assert_int_equal(process_signal_attempt(id, 0), 0);
    assert_int_equal(kill(other, 0), 0);
    stop(other);
}

static void descendants_are_found_at_any_depth(void **state)
{
    int ends[2];
    char byte = 0;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)setsid(); /* neither session nor group leads to it */
        if (fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)!write(ends[1], "1", 1);
        }
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_int_equal(process_signal_descendants(getpid(), 0), 2);
    assert_int_equal(process_signal_descendants(child, SIGKILL), 1);
    while (process_signal_descendants(child, 0) > 0) { /* SIGKILL takes a moment */
        (void)usleep(1000);
    }
    assert_int_equal(process_signal_descendants(getpid(), SIGKILL), 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_found_again_by_its_identity),
        cmocka_unit_test(another_process_with_the_same_number_is_not_taken_for_it),
        cmocka_unit_test(who_has_ended_is_not_found_even_as_a_zombie),
        cmocka_unit_test(an_attempt_s_processes_are_found_by_their_environment),
        cmocka_unit_test(descendants_are_found_at_any_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
