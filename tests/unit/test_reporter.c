/*
 * The daemon's side is played by this process, one message at a time, over a real socket.
 */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/rpc/framing.h"
#include "proto/rpc/link.h"
#include "proto/rpc/message.h"
#include "proto/rpc/socket.h"
#include "tests/support/test.h"
#include "worker/train/records.h"
#include "worker/train/reporter.h"

/* A bound on hangs, never a measurement. */
#define PATIENCE_NS ((int64_t)20 * 1000000000)

struct fixture {
    char folder[PATH_BYTES_MAX];
    char socket_path[PATH_BYTES_MAX];
    char token_path[PATH_BYTES_MAX];
    struct rpc_listener listener;
    int peer; /* the reporter's connection; -1: none */
    struct rpc_decoder decoder;
    struct records records;
    struct reporter *reporter;
};

static int fixture_create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;

    fixture->peer = -1;
    test_folder_create(fixture->folder);
    assert_ok(path_printf(fixture->socket_path, &err, "%s/run/d.sock", fixture->folder), &err);
    assert_ok(path_printf(fixture->token_path, &err, "%s/token", fixture->folder), &err);
    assert_ok(file_write(fixture->token_path, "5ecret\n", 7, 0600, &err), &err);
    assert_ok(rpc_listener_open(&fixture->listener, fixture->socket_path, &err), &err);
    assert_ok(records_open(&fixture->records, fixture->folder, 2, &err), &err);
    struct reporter_options options = {
        .socket_path = fixture->socket_path,
        .token_path = fixture->token_path,
        .job = 7,
        .attempt = 2,
        .records = &fixture->records,
    };
    assert_ok(reporter_create(&fixture->reporter, &options, &err), &err);
    *state = fixture;
    return 0;
}

static void hang_up(struct fixture *fixture)
{
    if (fixture->peer >= 0) {
        (void)close(fixture->peer);
    }
    fixture->peer = -1;
    rpc_decoder_deinit(&fixture->decoder);
    fixture->decoder = (struct rpc_decoder){0};
}

static int fixture_destroy(void **state)
{
    struct fixture *fixture = *state;

    reporter_destroy(fixture->reporter);
    hang_up(fixture);
    rpc_listener_close(&fixture->listener);
    records_close(&fixture->records);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void append_step(struct fixture *fixture, int64_t step)
{
    struct error err;

    assert_ok(records_append(&fixture->records, "step", step, json_object(), &err), &err);
}

/* Takes what is there without waiting. */
static void read_some(struct fixture *fixture)
{
    char data[4096];
    struct error err;

    if (fixture->peer < 0) {
        fixture->peer = accept4(fixture->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        return;
    }
    ssize_t size = read(fixture->peer, data, sizeof data);
    if (size > 0) {
        assert_ok(rpc_decoder_feed(&fixture->decoder, data, (size_t)size, &err), &err);
    }
}

/* Plays until the reporter has sent a message. */
static void next_message(struct fixture *fixture, struct rpc_message *out)
{
    int64_t deadline_ns = sys_monotonic_ns() + PATIENCE_NS;
    const char *line = NULL;
    size_t size = 0;
    struct error err;

    while (!rpc_decoder_next(&fixture->decoder, &line, &size)) {
        assert_true(sys_monotonic_ns() < deadline_ns);
        reporter_poll(fixture->reporter);
        read_some(fixture);
    }
    assert_ok(rpc_message_parse(out, line, size, &err), &err);
}

static void send_bytes(struct fixture *fixture, struct bytes *line)
{
    assert_int_equal(write(fixture->peer, line->data, line->size), (ssize_t)line->size);
    bytes_deinit(line);
}

static void answer(struct fixture *fixture, const struct rpc_message *request, json_t *result)
{
    struct bytes line = {0};
    struct error err;

    assert_ok(rpc_write_result(&line, request->id, result, &err), &err);
    json_decref(result);
    send_bytes(fixture, &line);
}

static void answer_hello(struct fixture *fixture)
{
    struct rpc_message message = {0};

    next_message(fixture, &message);
    assert_string_equal(message.method, "hello");
    answer(fixture, &message, json_pack("{s:i, s:s}", "protocol", 1, "daemon", "test"));
    rpc_message_deinit(&message);
}

/* Takes the attach, which claims the token; tells the offset to go on from. */
static void accept_attach(struct fixture *fixture, int64_t offset)
{
    struct rpc_message message = {0};

    next_message(fixture, &message);
    assert_string_equal(message.method, "worker.attach");
    assert_string_equal(json_get_text(message.params, "token", ""), "5ecret");
    assert_int_equal(json_get_int(message.params, "job", 0), 7);
    assert_int_equal(json_get_int(message.params, "attempt", 0), 2);
    assert_int_equal(json_get_int(message.params, "records_bytes", -1), fixture->records.size);
    answer(fixture, &message, json_pack("{s:I}", "offset", (json_int_t)offset));
    rpc_message_deinit(&message);
}

static void greet(struct fixture *fixture, int64_t offset)
{
    answer_hello(fixture);
    accept_attach(fixture, offset);
}

/* Answers the attach with an error. */
static void refuse_attach(struct fixture *fixture, enum status status)
{
    struct rpc_message message = {0};
    struct bytes line = {0};
    struct error why;
    struct error err;

    next_message(fixture, &message);
    assert_string_equal(message.method, "worker.attach");
    (void)error_set(&why, status, "because");
    assert_ok(rpc_write_error(&line, message.id, 0, &why, &err), &err);
    rpc_message_deinit(&message);
    send_bytes(fixture, &line);
}

/* Takes reports until end bytes of the file have come, each where the last one ended. */
static void take_reports(struct fixture *fixture, int64_t offset, int64_t end)
{
    while (offset < end) {
        struct rpc_message message = {0};
        size_t index = 0;
        json_t *line = NULL;

        next_message(fixture, &message);
        assert_string_equal(message.method, "worker.report");
        assert_int_equal(json_get_int(message.params, "offset", -1), offset);
        json_array_foreach(json_object_get(message.params, "lines"), index, line)
        {
            offset += (int64_t)json_string_length(line) + 1;
        }
        rpc_message_deinit(&message);
    }
    assert_int_equal(offset, end);
}

static void lines_go_out_from_where_the_daemon_is(void **state)
{
    struct fixture *fixture = *state;

    append_step(fixture, 1);
    int64_t known = fixture->records.size;
    append_step(fixture, 2);
    append_step(fixture, 3);
    greet(fixture, known);
    take_reports(fixture, known, fixture->records.size);
    int64_t sent = fixture->records.size;
    append_step(fixture, 4);
    take_reports(fixture, sent, fixture->records.size);
}

static void a_lost_connection_is_made_again_and_caught_up(void **state)
{
    struct fixture *fixture = *state;

    append_step(fixture, 1);
    greet(fixture, 0);
    take_reports(fixture, 0, fixture->records.size);
    int64_t known = fixture->records.size;
    hang_up(fixture);
    for (int64_t step = 2; step < 1000; step++) {
        append_step(fixture, step);
        reporter_poll(fixture->reporter);
    }
    greet(fixture, known);
    take_reports(fixture, known, fixture->records.size);
}

static void control_is_heard_once(void **state)
{
    struct fixture *fixture = *state;
    int64_t deadline_ns = sys_monotonic_ns() + PATIENCE_NS;
    json_t *params = json_pack("{s:s}", "action", "stop");
    struct reporter_control control = {0};
    struct bytes line = {0};
    struct error err;

    greet(fixture, 0);
    assert_ok(rpc_write_notification(&line, "worker.control", params, &err), &err);
    json_decref(params);
    send_bytes(fixture, &line);
    while (!control.stop) {
        assert_true(sys_monotonic_ns() < deadline_ns);
        reporter_poll(fixture->reporter);
        control = reporter_take_control(fixture->reporter);
    }
    assert_false(control.checkpoint);
    assert_false(reporter_take_control(fixture->reporter).stop);
}

static void an_attach_that_may_work_later_is_tried_again(void **state)
{
    static const enum status mended_by_time[] = {STATUS_NO_SPACE, STATUS_BUSY, STATUS_IO};
    struct fixture *fixture = *state;

    append_step(fixture, 1);
    answer_hello(fixture);
    for (size_t i = 0; i < sizeof mended_by_time / sizeof mended_by_time[0]; i++) {
        refuse_attach(fixture, mended_by_time[i]);
    }
    accept_attach(fixture, 0);
    take_reports(fixture, 0, fixture->records.size);
}

static void an_attach_that_can_never_work_is_not_tried_again(void **state)
{
    static const enum status final[] = {STATUS_PERMISSION, STATUS_NOT_FOUND};

    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++) {
        const char *line = NULL;
        size_t size = 0;
        struct fixture *fixture = NULL;
        void *fresh = NULL;
        (void)fixture_create(&fresh);
        fixture = fresh;
        answer_hello(fixture);
        refuse_attach(fixture, final[i]);
        int64_t end_ns = sys_monotonic_ns() + (RPC_LINK_RETRY_MS + 200) * INT64_C(1000000);
        while (sys_monotonic_ns() < end_ns) {
            reporter_poll(fixture->reporter);
            read_some(fixture);
            assert_false(rpc_decoder_next(&fixture->decoder, &line, &size));
        }
        (void)fixture_destroy(&fresh);
    }
    (void)state;
}

/* The daemon is there but does not read: what waits stays bounded and polling never blocks. */
static void a_stopped_daemon_costs_nothing(void **state)
{
    struct fixture *fixture = *state;

    greet(fixture, 0);
    int64_t start_ns = sys_monotonic_ns();
    for (int64_t step = 0; step < 20000; step++) {
        append_step(fixture, step);
        reporter_poll(fixture->reporter);
    }
    assert_true(sys_monotonic_ns() - start_ns < PATIENCE_NS);
    take_reports(fixture, 0, fixture->records.size);
}

static void nobody_there_is_no_failure(void **state)
{
    (void)state;
    reporter_poll(NULL);
    assert_false(reporter_take_control(NULL).stop);
}

#define with_daemon(test) cmocka_unit_test_setup_teardown(test, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_daemon(lines_go_out_from_where_the_daemon_is),
        with_daemon(a_lost_connection_is_made_again_and_caught_up),
        with_daemon(control_is_heard_once),
        with_daemon(an_attach_that_may_work_later_is_tried_again),
        cmocka_unit_test(an_attach_that_can_never_work_is_not_tried_again),
        with_daemon(a_stopped_daemon_costs_nothing),
        cmocka_unit_test(nobody_there_is_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
