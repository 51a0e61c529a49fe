#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/rpc/client.h"
#include "tests/support/rpc_server.h"
#include "tests/support/test.h"

#define TIMEOUT_MS 10000

static char folder[PATH_BYTES_MAX];
static char path[PATH_BYTES_MAX];
static struct rpc_server server;

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    test_folder_create(folder);
    return path_printf(path, &err, "%s/r.sock", folder) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static struct rpc_client *connected(rpc_serve_fn *serve)
{
    struct error err = {0};
    struct rpc_client *client = NULL;
    rpc_server_start(&server, path, serve, 1);
    assert_ok(rpc_client_open(&client, path, "tester", TIMEOUT_MS, &err), &err);
    return client;
}

static void close_both(struct rpc_client *client)
{
    rpc_client_close(client);
    rpc_server_stop(&server);
}

/* Answers each call with its params. */
static void echo(struct rpc_server *s)
{
    json_t *message = NULL;
    rpc_server_greet(s);
    while ((message = rpc_server_receive(s)) != NULL) {
        rpc_server_answer(s, message, json_incref(json_object_get(message, "params")));
    }
}

static void a_call_brings_its_result(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *result = NULL;
    struct rpc_client *client = connected(echo);
    assert_string_equal(rpc_client_daemon_version(client), "1.2.3");
    assert_int_equal(json_get_int(rpc_client_hello(client), "pid", 0), 5);
    json_t *params = json_pack("{s:i}", "job", 5);
    assert_ok(rpc_client_call(client, RPC_METHOD_JOB_GET, params, TIMEOUT_MS, &result, &err), &err);
    assert_int_equal(json_get_int(result, "job", 0), 5);
    json_decref(result);
    assert_ok(rpc_client_call(client, RPC_METHOD_JOB_LIST, NULL, -1, &result, &err), &err);
    assert_int_equal(json_object_size(result), 0);
    json_decref(result);
    json_decref(params);
    close_both(client);
}

static void large_messages_go_both_ways(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *result = NULL;
    const size_t size = 3 * MIB;
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, 'x', size);
    text[size] = '\0';
    struct rpc_client *client = connected(echo);
    json_t *params = json_pack("{s:s}", "text", text);
    assert_ok(rpc_client_call(client, RPC_METHOD_JOB_SUBMIT, params, TIMEOUT_MS, &result, &err),
              &err);
    assert_true(json_equal(params, result));
    json_decref(result);
    json_decref(params);
    free(text);
    close_both(client);
}

static void refuse_everything(struct rpc_server *s)
{
    rpc_server_greet(s);
    json_decref(rpc_server_receive(s));
    (void)rpc_server_send(s, "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32002,\"message\":"
                             "\"m\",\"data\":{\"status\":\"conflict\",\"field\":\"name\","
                             "\"message\":\"taken\",\"hint\":\"choose another\"}}}");
    json_decref(rpc_server_receive(s));
}

static void an_error_arrives_as_it_was_made(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *result = NULL;
    struct rpc_client *client = connected(refuse_everything);
    assert_int_equal(
        rpc_client_call(client, RPC_METHOD_JOB_SUBMIT, NULL, TIMEOUT_MS, &result, &err),
        STATUS_CONFLICT);
    assert_null(result);
    assert_string_equal(err.message, "taken");
    assert_string_equal(err.field, "name");
    assert_string_equal(err.hint, "choose another");
    close_both(client);
}

static void notify_around_the_answer(struct rpc_server *s)
{
    rpc_server_greet(s);
    json_t *message = rpc_server_receive(s);
    (void)rpc_server_send(s, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"seq\":1}}");
    (void)rpc_server_send(s, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"seq\":2}}");
    rpc_server_answer(s, message, json_object());
    (void)rpc_server_send(s,
                          "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"seq\":3}}");
    json_decref(rpc_server_receive(s));
}

static void notifications_keep_their_order(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *result = NULL;
    struct rpc_client *client = connected(notify_around_the_answer);
    assert_ok(rpc_client_call(client, RPC_METHOD_JOB_WATCH, NULL, TIMEOUT_MS, &result, &err), &err);
    json_decref(result);
    for (int i = 1; i <= 3; i++) {
        const char *name = NULL;
        json_t *params = NULL;
        assert_ok(rpc_client_next(client, TIMEOUT_MS, &name, &params, &err), &err);
        assert_string_equal(name, i < 3 ? "event" : "progress");
        assert_int_equal(json_get_int(params, "seq", 0), i);
        json_decref(params);
    }
    const char *name = NULL;
    json_t *params = NULL;
    assert_int_equal(rpc_client_next(client, 0, &name, &params, &err), STATUS_TIMEOUT);
    close_both(client);
}

static void answer_the_first_call_late(struct rpc_server *s)
{
    rpc_server_greet(s);
    json_t *first = rpc_server_receive(s);
    json_t *second = rpc_server_receive(s);
    rpc_server_answer(s, first, json_pack("{s:i}", "call", 1));
    rpc_server_answer(s, second, json_pack("{s:i}", "call", 2));
    json_decref(rpc_server_receive(s));
}

static void a_late_answer_is_not_taken_for_another(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *result = NULL;
    struct rpc_client *client = connected(answer_the_first_call_late);
    assert_int_equal(rpc_client_call(client, RPC_METHOD_JOB_LIST, NULL, 20, &result, &err),
                     STATUS_TIMEOUT);
    assert_ok(rpc_client_call(client, RPC_METHOD_JOB_LIST, NULL, TIMEOUT_MS, &result, &err), &err);
    assert_int_equal(json_get_int(result, "call", 0), 2);
    json_decref(result);
    close_both(client);
}

static void hang_up(struct rpc_server *s)
{
    rpc_server_greet(s);
    json_decref(rpc_server_receive(s));
}

static void a_daemon_that_goes_away_is_noticed(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *result = NULL;
    const char *name = NULL;
    struct rpc_client *client = connected(hang_up);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            rpc_client_call(client, RPC_METHOD_JOB_LIST, NULL, TIMEOUT_MS, &result, &err),
            STATUS_IO);
        assert_contains(err.message, "closed the connection");
    }
    assert_int_equal(rpc_client_next(client, TIMEOUT_MS, &name, &result, &err), STATUS_IO);
    close_both(client);
}

static void talk_nonsense(struct rpc_server *s)
{
    rpc_server_greet(s);
    json_decref(rpc_server_receive(s));
    (void)rpc_server_send(s, "HTTP/1.1 400 Bad Request");
    json_decref(rpc_server_receive(s));
}

static void nonsense_ends_the_connection(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *result = NULL;
    struct rpc_client *client = connected(talk_nonsense);
    assert_int_equal(rpc_client_call(client, RPC_METHOD_JOB_LIST, NULL, TIMEOUT_MS, &result, &err),
                     STATUS_INVALID);
    assert_contains(err.message, "answer of the daemon: ");
    assert_int_equal(rpc_client_call(client, RPC_METHOD_JOB_LIST, NULL, TIMEOUT_MS, &result, &err),
                     STATUS_IO);
    close_both(client);
}

static void greet_from_the_future(struct rpc_server *s)
{
    rpc_server_answer(s, rpc_server_receive(s),
                      json_pack("{s:i, s:s}", "protocol", 2, "daemon", "9"));
}

static void another_protocol_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_client *client = NULL;
    rpc_server_start(&server, path, greet_from_the_future, 1);
    assert_int_equal(rpc_client_open(&client, path, "tester", TIMEOUT_MS, &err),
                     STATUS_UNSUPPORTED);
    assert_contains(err.message, "speaks protocol 2, not 1");
    rpc_server_stop(&server);
    assert_int_equal(rpc_client_open(&client, path, "tester", TIMEOUT_MS, &err), STATUS_NOT_FOUND);
    assert_null(client);
}

static void wait_for_the_end(struct rpc_server *s)
{
    while (true) {
        json_t *message = rpc_server_receive(s);
        if (!message) {
            return;
        }
        json_decref(message);
    }
}

static void a_silent_daemon_is_given_up(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_client *client = NULL;
    rpc_server_start(&server, path, wait_for_the_end, 1);
    assert_int_equal(rpc_client_open(&client, path, "tester", 30, &err), STATUS_TIMEOUT);
    rpc_server_stop(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_brings_its_result, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_messages_go_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_error_arrives_as_it_was_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(notifications_keep_their_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_answer_is_not_taken_for_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_daemon_that_goes_away_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nonsense_ends_the_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_protocol_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silent_daemon_is_given_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
