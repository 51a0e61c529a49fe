#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/rpc/paths.h"
#include "proto/rpc/socket.h"
#include "tests/support/test.h"

static char folder[PATH_BYTES_MAX];
static char path[PATH_BYTES_MAX];

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    test_folder_create(folder);
    return path_printf(path, &err, "%s/new/r.sock", folder) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

/* ---- Paths ---- */

static void the_defaults_follow_the_environment(void **state)
{
    (void)state;
    struct error err = {0};
    char out[PATH_BYTES_MAX];
    assert_int_equal(setenv("HOME", "/home/me", 1), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/run/user/5", 1), 0);
    assert_int_equal(setenv("XDG_STATE_HOME", "/s", 1), 0);
    assert_ok(rpc_socket_path(out, NULL, &err), &err);
    assert_string_equal(out, "/run/user/5/remora/remora.sock");
    assert_ok(rpc_state_folder(out, NULL, &err), &err);
    assert_string_equal(out, "/s/remora");

    assert_int_equal(setenv("XDG_RUNTIME_DIR", "relative", 1), 0);
    assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
    assert_ok(rpc_socket_path(out, NULL, &err), &err);
    assert_string_equal(out, geteuid() == 0 ? "/run/remora/remora.sock"
                                            : "/home/me/.local/state/remora/remora.sock");
    assert_ok(rpc_state_folder(out, NULL, &err), &err);
    assert_string_equal(out, "/home/me/.local/state/remora");

    assert_int_equal(unsetenv("HOME"), 0);
    assert_ok(rpc_home_folder(out, &err), &err); /* from the password file */
    assert_int_equal(out[0], '/');
}

static void a_given_path_wins_and_becomes_absolute(void **state)
{
    (void)state;
    struct error err = {0};
    char out[PATH_BYTES_MAX];
    char current[PATH_BYTES_MAX];
    char expected[2 * PATH_BYTES_MAX];
    assert_non_null(getcwd(current, sizeof current));
    assert_ok(rpc_socket_path(out, "/x/y.sock", &err), &err);
    assert_string_equal(out, "/x/y.sock");
    assert_ok(rpc_state_folder(out, "state", &err), &err);
    (void)snprintf(expected, sizeof expected, "%s/state", current);
    assert_string_equal(out, expected);
}

static void a_path_longer_than_an_address_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    char out[PATH_BYTES_MAX];
    char given[RPC_SOCKET_PATH_BYTES_MAX + 2] = "/";
    struct rpc_listener listener = RPC_LISTENER_EMPTY;
    int fd = -1;
    memset(given + 1, 'a', RPC_SOCKET_PATH_BYTES_MAX - 1);
    assert_ok(rpc_socket_path(out, given, &err), &err);
    given[RPC_SOCKET_PATH_BYTES_MAX] = 'a';
    assert_int_equal(rpc_socket_path(out, given, &err), STATUS_LIMIT);
    assert_contains(err.message, "has 108 bytes; the system's maximum is 107");
    assert_contains(err.hint, "--socket");
    assert_int_equal(rpc_listener_open(&listener, given, &err), STATUS_LIMIT);
    assert_int_equal(rpc_connect(&fd, given, &err), STATUS_LIMIT);
}

/* ---- Listening ---- */

static unsigned mode_of(const char *name)
{
    struct stat facts;
    assert_int_equal(lstat(name, &facts), 0);
    return facts.st_mode & 0777u;
}

static void only_the_owner_can_reach_the_socket(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_listener listener = RPC_LISTENER_EMPTY;
    char parent[PATH_BYTES_MAX];
    const mode_t before = umask(0); /* the most permissive */
    assert_ok(rpc_listener_open(&listener, path, &err), &err);
    assert_int_equal(umask(before), 0); /* put back */
    assert_int_equal(mode_of(path), 0600);
    assert_ok(path_printf(parent, &err, "%s/new", folder), &err);
    assert_int_equal(mode_of(parent), 0700);
    rpc_listener_close(&listener);
    assert_false(file_exists(path));
    rpc_listener_close(&listener); /* again is fine */
}

static void a_second_listener_is_told_that_it_is_one(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_listener first = RPC_LISTENER_EMPTY;
    struct rpc_listener second = RPC_LISTENER_EMPTY;
    int fd = -1;
    assert_ok(rpc_listener_open(&first, path, &err), &err);
    assert_int_equal(rpc_listener_open(&second, path, &err), STATUS_BUSY);
    assert_contains(err.message, "already listens");
    assert_int_equal(second.fd, -1);
    rpc_listener_close(&second); /* takes nothing away */
    assert_ok(rpc_connect(&fd, path, &err), &err);
    (void)close(fd);
    rpc_listener_close(&first);
}

static void a_socket_that_was_left_behind_is_replaced(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_listener listener = RPC_LISTENER_EMPTY;
    int fd = -1;
    const pid_t child = fork();
    if (child == 0) {
        _exit(rpc_listener_open(&listener, path, &err) ? 1
                                                       : 0); /* as if killed: nothing is closed */
    }
    int exit_status = 0;
    assert_int_equal(waitpid(child, &exit_status, 0), child);
    assert_int_equal(exit_status, 0);
    assert_true(file_exists(path));
    assert_int_equal(rpc_connect(&fd, path, &err), STATUS_NOT_FOUND);
    assert_contains(err.message, "no daemon listens at");
    assert_contains(err.hint, "remora up");
    assert_ok(rpc_listener_open(&listener, path, &err), &err);
    assert_ok(rpc_connect(&fd, path, &err), &err);
    (void)close(fd);
    rpc_listener_close(&listener);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_listener listener = RPC_LISTENER_EMPTY;
    char parent[PATH_BYTES_MAX];
    assert_ok(path_printf(parent, &err, "%s/new", folder), &err);
    assert_ok(folder_create(parent, 0700, &err), &err);
    assert_ok(file_write(path, "mine", 4, 0600, &err), &err);
    assert_int_equal(rpc_listener_open(&listener, path, &err), STATUS_CONFLICT);
    assert_contains(err.message, "is not a socket");
    assert_int_equal(file_size(path), 4);
}

static void a_failing_call_leaves_nothing_open(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_listener listener = RPC_LISTENER_EMPTY;
    const int next_fd = dup(0);
    (void)close(next_fd);
    assert_int_equal(rpc_listener_open(&listener, "/proc/none/r.sock", &err), STATUS_NOT_FOUND);
    assert_int_equal(listener.fd, -1);
    const int same_fd = dup(0);
    (void)close(same_fd);
    assert_int_equal(same_fd, next_fd);
}

/* ---- Peers ---- */

static void the_peer_is_who_connected(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_listener listener = RPC_LISTENER_EMPTY;
    struct rpc_peer peer;
    int fd = -1;
    assert_ok(rpc_listener_open(&listener, path, &err), &err);
    assert_ok(rpc_connect(&fd, path, &err), &err);
    const int accepted = accept(listener.fd, NULL, NULL);
    assert_true(accepted >= 0);
    assert_ok(rpc_peer_of(&peer, accepted, &err), &err);
    assert_int_equal(peer.pid, getpid());
    assert_int_equal(peer.uid, getuid());
    assert_int_equal(peer.gid, getgid());
    (void)close(accepted);
    (void)close(fd);
    assert_int_not_equal(rpc_peer_of(&peer, -1, &err), STATUS_OK);
    rpc_listener_close(&listener);
}

static void nobody_there_is_not_found(void **state)
{
    (void)state;
    struct error err = {0};
    int fd = -1;
    assert_int_equal(rpc_connect(&fd, path, &err), STATUS_NOT_FOUND);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_follow_the_environment),
        cmocka_unit_test(a_given_path_wins_and_becomes_absolute),
        cmocka_unit_test(a_path_longer_than_an_address_is_refused),
        cmocka_unit_test_setup_teardown(only_the_owner_can_reach_the_socket, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_listener_is_told_that_it_is_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_socket_that_was_left_behind_is_replaced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_socket_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failing_call_leaves_nothing_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_peer_is_who_connected, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_there_is_not_found, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
