/*
 * The daemon is played by this process: it decides when the transaction of a loop iteration is
 * committed or rolled back. Its client is at the other end of a real socket, in the same thread.
 */
#include <unistd.h>

#include <uv.h>

#include "daemon/server.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "proto/rpc/framing.h"
#include "proto/rpc/message.h"
#include "proto/rpc/socket.h"
#include "tests/support/test.h"

/* A bound on hangs, never a measurement. */
#define PATIENCE_NS ((int64_t)20 * 1000000000)
/* As many turns as anything here takes to travel; who says nothing for so long says nothing. */
#define QUIET_TURNS 50
/* Together more than the socket's buffers hold, so that the last write ends only when we read. */
#define LARGE_EVENTS      16
#define LARGE_EVENT_BYTES (32 * KIB)

struct fixture {
    char folder[PATH_BYTES_MAX];
    uv_loop_t loop;
    struct queue *queue;
    struct rpc_catalog *catalog;
    struct server *server;
    int client;
    struct rpc_decoder decoder;
    int64_t job_count;
};

static void append_job(struct fixture *fixture, const char *name, size_t padding_bytes)
{
    char *padding = calloc(padding_bytes + 1, 1);
    struct error err;

    memset(padding, 'x', padding_bytes);
    fixture->job_count++;
    assert_ok(queue_append(fixture->queue, EVENT_JOB_SUBMITTED, fixture->job_count, 0,
                           json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", name, "kind", "train",
                                     "spec", "s", "inputs", "i", "padding", padding),
                           &err),
              &err);
    free(padding);
}

/* ---- The daemon's handlers ---- */

static enum status on_hello(void *context, const struct request *request, json_t **result,
                            bool *is_deferred, struct error *err)
{
    (void)context;
    (void)result;
    (void)is_deferred;
    (void)err;
    connection_greet(request->connection);
    return STATUS_OK;
}

static enum status on_watch(void *context, const struct request *request, json_t **result,
                            bool *is_deferred, struct error *err)
{
    (void)context;
    (void)result;
    (void)is_deferred;
    (void)err;
    connection_watch(request->connection, 0, 0);
    return STATUS_OK;
}

/* Stands for any request that changes something. */
static enum status on_status(void *context, const struct request *request, json_t **result,
                             bool *is_deferred, struct error *err)
{
    (void)request;
    (void)result;
    (void)is_deferred;
    (void)err;
    append_job(context, "asked-for", 0);
    return STATUS_OK;
}

static void on_closed(void *context, struct connection *connection)
{
    (void)context;
    (void)connection;
}

static server_handler_fn *const handlers[RPC_METHOD_COUNT] = {
    [RPC_METHOD_HELLO] = on_hello,
    [RPC_METHOD_JOB_WATCH] = on_watch,
    [RPC_METHOD_DAEMON_STATUS] = on_status,
};

/* ---- The client ---- */

static void ask(struct fixture *fixture, const char *line)
{
    assert_int_equal(write(fixture->client, line, strlen(line)), (ssize_t)strlen(line));
}

/* One turn of the daemon's loop without a commit, then what has reached the client. */
static void turn(struct fixture *fixture)
{
    char data[4096];
    struct error err;

    (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    ssize_t size = read(fixture->client, data, sizeof data);
    if (size > 0) {
        assert_ok(rpc_decoder_feed(&fixture->decoder, data, (size_t)size, &err), &err);
    }
}

/* Plays until a message has come. */
static void next_message(struct fixture *fixture, struct rpc_message *out)
{
    int64_t deadline_ns = sys_monotonic_ns() + PATIENCE_NS;
    const char *line = NULL;
    size_t size = 0;
    struct error err;

    while (!rpc_decoder_next(&fixture->decoder, &line, &size)) {
        assert_true(sys_monotonic_ns() < deadline_ns);
        turn(fixture);
    }
    assert_ok(rpc_message_parse(out, line, size, &err), &err);
}

static void assert_quiet(struct fixture *fixture)
{
    const char *line = NULL;
    size_t size = 0;

    for (int i = 0; i < QUIET_TURNS; i++) {
        turn(fixture);
        if (rpc_decoder_next(&fixture->decoder, &line, &size)) {
            fail_msg("said before the commit: %.200s", line);
        }
    }
}

static void expect_event(struct fixture *fixture, int64_t seq, const char *name)
{
    struct rpc_message message = {0};

    next_message(fixture, &message);
    assert_int_equal(message.type, RPC_MESSAGE_NOTIFICATION);
    assert_string_equal(message.method, "event");
    assert_int_equal(json_get_int(message.params, "seq", 0), seq);
    assert_string_equal(json_get_text(json_object_get(message.params, "data"), "name", ""), name);
    rpc_message_deinit(&message);
}

static void expect_result(struct fixture *fixture, int64_t id)
{
    struct rpc_message message = {0};

    next_message(fixture, &message);
    assert_int_equal(message.type, RPC_MESSAGE_RESULT);
    assert_int_equal(json_integer_value(message.id), id);
    rpc_message_deinit(&message);
}

static void commit(struct fixture *fixture)
{
    struct error err;

    assert_ok(queue_commit(fixture->queue, &err), &err);
    server_release(fixture->server);
}

/* Asks, and lets the daemon answer without committing. */
static void ask_in_transaction(struct fixture *fixture, const char *line)
{
    int64_t jobs = fixture->job_count;

    ask(fixture, line);
    while (fixture->job_count == jobs) {
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
}

static int fixture_create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct server_config config = {
        .handlers = handlers, .on_closed = on_closed, .context = fixture};
    char path[PATH_BYTES_MAX];
    struct error err;

    test_folder_create(fixture->folder);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_ok(path_printf(path, &err, "%s/queue.db", fixture->folder), &err);
    assert_ok(queue_open(&fixture->queue, path, &err), &err);
    assert_ok(rpc_catalog_create(&fixture->catalog, &err), &err);
    assert_ok(path_printf(path, &err, "%s/run/d.sock", fixture->folder), &err);
    assert_ok(server_create(&fixture->server, &fixture->loop, path, fixture->queue,
                            fixture->catalog, &config, &err),
              &err);
    assert_ok(rpc_connect(&fixture->client, path, &err), &err);
    ask(fixture, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"hello\", \"params\": "
                 "{\"protocol\": 1, \"program\": \"test\"}}\n"
                 "{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"job.watch\"}\n");
    assert_quiet(fixture);
    commit(fixture);
    expect_result(fixture, 1);
    expect_result(fixture, 2);
    *state = fixture;
    return 0;
}

static int fixture_destroy(void **state)
{
    struct fixture *fixture = *state;

    (void)close(fixture->client);
    server_stop(fixture->server);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    server_destroy(fixture->server);
    rpc_catalog_destroy(fixture->catalog);
    queue_close(fixture->queue);
    rpc_decoder_deinit(&fixture->decoder);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

/* ---- Tests ---- */

static const char change[] =
    "{\"jsonrpc\": \"2.0\", \"id\": 3, \"method\": \"daemon.status\", \"params\": {}}\n";

/* A write that ends while a transaction is open must not take along what belongs to that. */
static void begin_a_long_write(struct fixture *fixture)
{
    for (int i = 0; i < LARGE_EVENTS; i++) {
        append_job(fixture, "large", LARGE_EVENT_BYTES);
    }
    commit(fixture);
}

static void end_the_long_write(struct fixture *fixture)
{
    for (int i = 0; i < LARGE_EVENTS; i++) {
        expect_event(fixture, i + 1, "large");
    }
}

static void replies_and_events_wait_for_the_commit(void **state)
{
    struct fixture *fixture = *state;

    begin_a_long_write(fixture);
    ask_in_transaction(fixture, change);
    end_the_long_write(fixture);
    assert_quiet(fixture);
    commit(fixture);
    expect_result(fixture, 3);
    expect_event(fixture, LARGE_EVENTS + 1, "asked-for");
}

static void a_failed_commit_is_answered_and_its_events_are_never_said(void **state)
{
    struct fixture *fixture = *state;
    struct rpc_message message = {0};
    struct error why;

    begin_a_long_write(fixture);
    ask_in_transaction(fixture, change);
    end_the_long_write(fixture);
    assert_quiet(fixture);
    queue_rollback(fixture->queue);
    (void)error_set(&why, STATUS_NO_SPACE, "the disk is full");
    server_refuse(fixture->server, &why);
    next_message(fixture, &message);
    assert_int_equal(message.type, RPC_MESSAGE_ERROR);
    assert_int_equal(json_integer_value(message.id), 3);
    assert_int_equal(message.error.status, STATUS_NO_SPACE);
    rpc_message_deinit(&message);
    append_job(fixture, "later", 0);
    commit(fixture);
    expect_event(fixture, LARGE_EVENTS + 1, "later"); /* the number was free again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replies_and_events_wait_for_the_commit, fixture_create,
                                        fixture_destroy),
        cmocka_unit_test_setup_teardown(a_failed_commit_is_answered_and_its_events_are_never_said,
                                        fixture_create, fixture_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
