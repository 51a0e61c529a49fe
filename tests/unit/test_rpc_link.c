#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/rpc/link.h"
#include "tests/support/rpc_server.h"
#include "tests/support/test.h"

static char folder[PATH_BYTES_MAX];
static char path[PATH_BYTES_MAX];
static struct rpc_server server;
static struct rpc_link *worker;
static sem_t go; /* lets the server thread go on */
static int lines_received;

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    lines_received = 0;
    test_folder_create(folder);
    if (path_printf(path, &err, "%s/r.sock", folder) || sem_init(&go, 0, 0) != 0) {
        return -1;
    }
    return rpc_link_create(&worker, path, "tester", &err) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    rpc_link_destroy(worker);
    (void)sem_destroy(&go);
    test_folder_remove(folder);
    return 0;
}

static void sleep_ms(long ms)
{
    const struct timespec time = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&time, NULL);
}

/* Polls at ever later times until the state is reached. */
static void poll_until(enum rpc_link_state wanted)
{
    static int64_t now_ms = 1000000;
    for (int i = 0; i < 5000; i++) {
        now_ms += RPC_LINK_RETRY_MS;
        if (rpc_link_poll(worker, now_ms) == wanted) {
            return;
        }
        sleep_ms(1);
    }
    fail_msg("the link does not get there: %s", rpc_link_last_error(worker)->message);
}

static bool receive(struct rpc_message *out)
{
    for (int i = 0; i < 5000; i++) {
        if (rpc_link_receive(worker, out)) {
            return true;
        }
        (void)rpc_link_poll(worker, 0);
        sleep_ms(1);
    }
    return false;
}

static void a_missing_daemon_is_tried_once_a_second(void **state)
{
    (void)state;
    int64_t id = 0;
    assert_int_equal(rpc_link_poll(worker, 5000), RPC_LINK_DOWN);
    assert_int_equal(rpc_link_last_error(worker)->status, STATUS_NOT_FOUND);
    rpc_server_start(&server, path, rpc_server_greet, 1);
    assert_int_equal(rpc_link_poll(worker, 5999), RPC_LINK_DOWN); /* too early */
    assert_false(rpc_link_notify(worker, "worker.report", NULL));
    assert_false(rpc_link_request(worker, RPC_METHOD_WORKER_ATTACH, NULL, &id));
    assert_int_not_equal(rpc_link_poll(worker, 6000), RPC_LINK_DOWN);
    rpc_server_stop(&server);
}

static void answer_and_control(struct rpc_server *s)
{
    rpc_server_greet(s);
    json_t *attach = rpc_server_receive(s);
    if (attach) {
        rpc_server_answer(s, attach, json_pack("{s:i}", "offset", 77));
    }
    (void)rpc_server_send(
        s, "{\"jsonrpc\":\"2.0\",\"method\":\"worker.control\",\"params\":{\"action\":\"stop\"}}");
    json_decref(rpc_server_receive(s));
    (void)sem_wait(&go);
}

static void messages_go_both_ways(void **state)
{
    (void)state;
    struct rpc_message message = {0};
    int64_t id = 0;
    rpc_server_start(&server, path, answer_and_control, 1);
    poll_until(RPC_LINK_UP);
    assert_int_equal(rpc_link_connection_count(worker), 1);
    assert_true(rpc_link_request(worker, RPC_METHOD_WORKER_ATTACH, NULL, &id));
    assert_true(receive(&message));
    assert_int_equal(message.type, RPC_MESSAGE_RESULT);
    assert_int_equal(json_integer_value(message.id), id);
    assert_int_equal(json_get_int(message.result, "offset", 0), 77);
    rpc_message_deinit(&message);
    assert_true(receive(&message));
    assert_int_equal(message.type, RPC_MESSAGE_NOTIFICATION);
    assert_string_equal(message.method, "worker.control");
    rpc_message_deinit(&message);
    assert_true(rpc_link_notify(worker, "worker.report", NULL));
    (void)sem_post(&go);
    rpc_server_stop(&server);
}

static void a_closed_connection_is_made_again(void **state)
{
    (void)state;
    rpc_server_start(&server, path, rpc_server_greet, 3); /* greets and hangs up, three times */
    for (uint64_t i = 1; i <= 3; i++) {
        for (int tries = 0; rpc_link_connection_count(worker) < i && tries < 1000; tries++) {
            static int64_t now_ms;
            (void)rpc_link_poll(worker, now_ms += RPC_LINK_RETRY_MS);
            sleep_ms(1);
        }
        assert_int_equal(rpc_link_connection_count(worker), i);
        poll_until(RPC_LINK_DOWN);
        assert_contains(rpc_link_last_error(worker)->message, "closed the connection");
    }
    rpc_server_stop(&server);
}

/* Polls until the daemon has taken all. */
static void drain(void)
{
    for (int i = 0; i < 10000 && rpc_link_backlog_bytes(worker) > 0; i++) {
        assert_int_equal(rpc_link_poll(worker, 0), RPC_LINK_UP);
        sleep_ms(1);
    }
    assert_int_equal(rpc_link_backlog_bytes(worker), 0);
}

/* Reads nothing until it is told to, like a daemon that is stopped. */
static void read_late(struct rpc_server *s)
{
    rpc_server_greet(s);
    (void)sem_wait(&go);
    for (;;) {
        json_t *message = rpc_server_receive(s);
        if (!message) {
            return;
        }
        lines_received++;
        json_decref(message);
    }
}

static void a_stopped_daemon_costs_no_time(void **state)
{
    (void)state;
    int sent = 0;
    int64_t slowest_ns = 0;
    char text[64 * 1024];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    json_t *params = json_pack("{s:i, s:[s]}", "offset", 0, "lines", text);
    rpc_server_start(&server, path, read_late, 1);
    poll_until(RPC_LINK_UP);
    for (;;) {
        const int64_t start = sys_monotonic_ns();
        const bool is_queued = rpc_link_notify(worker, "worker.report", params);
        const int64_t took = sys_monotonic_ns() - start;
        slowest_ns = took > slowest_ns ? took : slowest_ns;
        if (!is_queued) {
            break;
        }
        sent++;
    }
    assert_true(sent > 10);
    assert_true(rpc_link_backlog_bytes(worker) <= RPC_LINK_BACKLOG_BYTES_MAX);
    assert_true(rpc_link_backlog_bytes(worker) > RPC_LINK_BACKLOG_BYTES_MAX - 2 * sizeof text);
    assert_true(slowest_ns < 2000000000); /* it would wait for ever */
    assert_int_equal(rpc_link_poll(worker, 0), RPC_LINK_UP);

    (void)sem_post(&go); /* everything that was taken arrives, whole */
    drain();
    assert_true(rpc_link_notify(worker, "worker.report", params));
    drain();
    rpc_link_destroy(worker);
    worker = NULL;
    rpc_server_stop(&server);
    assert_int_equal(lines_received, sent + 1);
    json_decref(params);
}

static void talk_nonsense(struct rpc_server *s)
{
    rpc_server_greet(s);
    (void)rpc_server_send(s, "nonsense");
    json_decref(rpc_server_receive(s));
}

static void nonsense_takes_the_link_down(void **state)
{
    (void)state;
    struct rpc_message message = {0};
    rpc_server_start(&server, path, talk_nonsense, 1);
    poll_until(RPC_LINK_UP);
    for (int i = 0; i < 5000 && rpc_link_poll(worker, 0) == RPC_LINK_UP; i++) {
        assert_false(rpc_link_receive(worker, &message));
        sleep_ms(1);
    }
    assert_int_equal(rpc_link_last_error(worker)->status, STATUS_INVALID);
    rpc_server_stop(&server);
}

static void refuse_hello(struct rpc_server *s)
{
    json_decref(rpc_server_receive(s));
    (void)rpc_server_send(s, "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32012,\"message\":"
                             "\"too old\",\"data\":{\"status\":\"unsupported\"}}}");
    json_decref(rpc_server_receive(s));
}

static void a_refused_hello_takes_the_link_down(void **state)
{
    (void)state;
    rpc_server_start(&server, path, refuse_hello, 1);
    /* The refusal may be there at the first poll already. */
    for (int i = 0; i < 5000 && rpc_link_poll(worker, 0) != RPC_LINK_DOWN; i++) {
        sleep_ms(1);
    }
    assert_int_equal(rpc_link_poll(worker, 0), RPC_LINK_DOWN);
    assert_int_equal(rpc_link_last_error(worker)->status, STATUS_UNSUPPORTED);
    assert_int_equal(rpc_link_connection_count(worker), 0);
    rpc_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_missing_daemon_is_tried_once_a_second, set_up, tear_down),
        cmocka_unit_test_setup_teardown(messages_go_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_connection_is_made_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_daemon_costs_no_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_takes_the_link_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refused_hello_takes_the_link_down, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
