#include "proto/base/json.h"
#include "proto/rpc/framing.h"
#include "proto/rpc/message.h"
#include "tests/support/test.h"

/* ---- Golden lines ---- */

static void messages_are_written_as_agreed(void **state)
{
    (void)state;
    struct error err = {0};
    struct bytes out = {0};
    struct error what = {0};
    json_t *params = json_pack("{s:i}", "protocol", 1);
    json_t *id = json_string("x");
    assert_ok(rpc_write_request(&out, 7, "hello", params, &err), &err);
    assert_ok(rpc_write_request(&out, 8, "daemon.status", NULL, &err), &err);
    assert_ok(rpc_write_notification(&out, "worker.ack", params, &err), &err);
    assert_ok(rpc_write_result(&out, id, NULL, &err), &err);
    (void)error_set(&what, STATUS_NOT_FOUND, "no job '%s'", "a\nb");
    error_set_field(&what, "job");
    error_set_hint(&what, "remora ls");
    assert_ok(rpc_write_error(&out, id, 0, &what, &err), &err);
    assert_ok(rpc_write_error(&out, NULL, RPC_CODE_PARSE_ERROR, &what, &err), &err);
    assert_string_equal(
        out.data,
        "{\"id\":7,\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"protocol\":1}}\n"
        "{\"id\":8,\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\",\"params\":{}}\n"
        "{\"jsonrpc\":\"2.0\",\"method\":\"worker.ack\",\"params\":{\"protocol\":1}}\n"
        "{\"id\":\"x\",\"jsonrpc\":\"2.0\",\"result\":{}}\n"
        "{\"error\":{\"code\":-32001,\"data\":{\"field\":\"job\",\"hint\":\"remora ls\","
        "\"message\":\"no job 'a\\nb'\",\"status\":\"not_found\"},\"message\":\"no job 'a\\nb'\"},"
        "\"id\":\"x\",\"jsonrpc\":\"2.0\"}\n"
        "{\"error\":{\"code\":-32700,\"data\":{\"field\":\"job\",\"hint\":\"remora ls\","
        "\"message\":\"no job 'a\\nb'\",\"status\":\"not_found\"},\"message\":\"no job 'a\\nb'\"},"
        "\"id\":null,\"jsonrpc\":\"2.0\"}\n");
    bytes_deinit(&out);
    json_decref(params);
    json_decref(id);
}

static enum status parse(struct rpc_message *out, const char *line, struct error *err)
{
    return rpc_message_parse(out, line, strlen(line), err);
}

static void each_kind_of_message_is_told_apart(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_message m = {0};
    assert_ok(
        parse(&m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":{\"b\":2}}", &err),
        &err);
    assert_int_equal(m.type, RPC_MESSAGE_REQUEST);
    assert_int_equal(json_integer_value(m.id), 1);
    assert_string_equal(m.method, "a");
    assert_int_equal(json_get_int(m.params, "b", 0), 2);
    rpc_message_deinit(&m);

    assert_ok(parse(&m, "{\"jsonrpc\":\"2.0\",\"method\":\"a\"}", &err), &err);
    assert_int_equal(m.type, RPC_MESSAGE_NOTIFICATION);
    assert_true(json_is_object(m.params));
    rpc_message_deinit(&m);

    assert_ok(parse(&m, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":null}", &err), &err);
    assert_int_equal(m.type, RPC_MESSAGE_RESULT);
    assert_true(json_is_null(m.result));
    rpc_message_deinit(&m);

    assert_ok(parse(&m,
                    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32003,\"message\":\"m\","
                    "\"data\":{\"status\":\"limit\",\"field\":\"f\",\"message\":\"long\","
                    "\"hint\":\"h\"}}}",
                    &err),
              &err);
    assert_int_equal(m.type, RPC_MESSAGE_ERROR);
    assert_int_equal(m.code, -32003);
    assert_int_equal(m.error.status, STATUS_LIMIT);
    assert_string_equal(m.error.message, "long");
    assert_string_equal(m.error.field, "f");
    assert_string_equal(m.error.hint, "h");
    rpc_message_deinit(&m);
}

static void an_error_of_another_implementation_is_understood(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_message m = {0};
    static const char *const lines[] = {
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\"}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\",\"data\":7}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\","
        "\"data\":{\"status\":\"ok\"}}}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1,\"message\":\"m\","
        "\"data\":{\"status\":\"melted\"}}}",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_ok(parse(&m, lines[i], &err), &err);
        assert_int_equal(m.error.status, STATUS_IO);
        assert_string_equal(m.error.message, "m");
        rpc_message_deinit(&m);
    }
}

static void what_is_no_message_is_refused_with_its_code(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
        bool has_id;
    } cases[] = {
        {"", RPC_CODE_PARSE_ERROR, false},
        {"{", RPC_CODE_PARSE_ERROR, false},
        {"{\"a\":1,\"a\":2}", RPC_CODE_PARSE_ERROR, false},
        {"\xff", RPC_CODE_PARSE_ERROR, false},
        {"[]", RPC_CODE_INVALID_REQUEST, false},
        {"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}]", RPC_CODE_INVALID_REQUEST, false},
        {"1", RPC_CODE_INVALID_REQUEST, false},
        {"{}", RPC_CODE_INVALID_REQUEST, false},
        {"{\"jsonrpc\":\"2.0\"}", RPC_CODE_INVALID_REQUEST, false},
        {"{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"a\"}", RPC_CODE_INVALID_REQUEST, true},
        {"{\"id\":1,\"method\":\"a\"}", RPC_CODE_INVALID_REQUEST, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":3}", RPC_CODE_INVALID_REQUEST, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[]}", RPC_CODE_INVALID_REQUEST,
         true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"a\"}", RPC_CODE_INVALID_REQUEST, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}", RPC_CODE_INVALID_REQUEST, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"a\"}", RPC_CODE_INVALID_REQUEST, false},
        {"{\"jsonrpc\":\"2.0\",\"id\":1}", RPC_CODE_INVALID_REQUEST, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{\"code\":1,\"message\":\"\"}}",
         RPC_CODE_INVALID_REQUEST, true},
        {"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":1}", RPC_CODE_INVALID_REQUEST, true},
        {"{\"jsonrpc\":\"2.0\",\"result\":1}", RPC_CODE_INVALID_REQUEST, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        struct rpc_message m = {0};
        if (parse(&m, cases[i].line, &err) != STATUS_INVALID || m.code != cases[i].code ||
            (m.id != NULL) != cases[i].has_id) {
            fail_msg("'%s' gave code %d, id %p: %s", cases[i].line, m.code, (void *)m.id,
                     err.message);
        }
        rpc_message_deinit(&m);
    }
}

static void every_truncation_of_a_message_is_refused(void **state)
{
    (void)state;
    static const char line[] =
        "{\"error\":{\"code\":-32001,\"data\":{\"field\":\"job\",\"hint\":\"remora ls\","
        "\"message\":\"no job 'ä'\",\"status\":\"not_found\"},\"message\":\"no job\"},"
        "\"id\":\"x\",\"jsonrpc\":\"2.0\"}";
    for (size_t size = 0; size < sizeof line - 1; size++) {
        struct error err = {0};
        struct rpc_message m = {0};
        assert_int_equal(rpc_message_parse(&m, line, size, &err), STATUS_INVALID);
        assert_int_equal(m.code, RPC_CODE_PARSE_ERROR);
        rpc_message_deinit(&m);
    }
}

static void a_line_that_would_be_too_long_is_not_written(void **state)
{
    (void)state;
    struct error err = {0};
    struct bytes out = {0};
    char *text = malloc(RPC_LINE_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, 'a', RPC_LINE_BYTES_MAX);
    text[RPC_LINE_BYTES_MAX] = '\0';
    json_t *params = json_pack("{s:s}", "a", text);
    free(text);
    assert_ok(rpc_write_notification(&out, "x", NULL, &err), &err);
    const size_t size = out.size;
    assert_int_equal(rpc_write_notification(&out, "x", params, &err), STATUS_LIMIT);
    assert_int_equal(out.size, size);
    assert_ok(rpc_write_notification(&out, "x", NULL, &err), &err);
    assert_int_equal(out.size, 2 * size);
    json_decref(params);
    bytes_deinit(&out);
}

/* ---- Framing ---- */

static void lines_come_out_whatever_the_pieces(void **state)
{
    (void)state;
    static const char stream[] = "one\ntwo\r\n\n\r\nthree\n\nfour";
    static const char *const expected[] = {"one", "two\r", "three"};
    for (size_t piece = 1; piece <= sizeof stream - 1; piece++) {
        struct error err = {0};
        struct rpc_decoder decoder = {0};
        size_t count = 0;
        for (size_t at = 0; at < sizeof stream - 1; at += piece) {
            const size_t left = sizeof stream - 1 - at;
            const char *line = NULL;
            size_t size = 0;
            assert_ok(rpc_decoder_feed(&decoder, stream + at, left < piece ? left : piece, &err),
                      &err);
            while (rpc_decoder_next(&decoder, &line, &size)) {
                assert_true(count < 3);
                assert_string_equal(line, expected[count]);
                assert_int_equal(size, strlen(expected[count]));
                count++;
            }
        }
        assert_int_equal(count, 3);
        rpc_decoder_deinit(&decoder);
    }
}

static void lines_may_wait_while_more_comes(void **state)
{
    (void)state;
    struct error err = {0};
    struct rpc_decoder decoder = {0};
    const char *line = NULL;
    size_t size = 0;
    assert_ok(rpc_decoder_feed(&decoder, "a\nb\nc", 5, &err), &err);
    assert_true(rpc_decoder_next(&decoder, &line, &size));
    assert_string_equal(line, "a");
    assert_ok(rpc_decoder_feed(&decoder, "\nd\n", 3, &err), &err);
    static const char *const rest[] = {"b", "c", "d"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(rpc_decoder_next(&decoder, &line, &size));
        assert_string_equal(line, rest[i]);
    }
    assert_false(rpc_decoder_next(&decoder, &line, &size));
    assert_ok(rpc_decoder_feed(&decoder, "", 0, &err), &err);
    rpc_decoder_deinit(&decoder);
}

static void a_line_has_a_limit(void **state)
{
    (void)state;
    char *text = malloc(RPC_LINE_BYTES_MAX + 2);
    assert_non_null(text);
    memset(text, 'a', RPC_LINE_BYTES_MAX + 1);
    for (int with_newline = 0; with_newline < 2; with_newline++) {
        for (size_t over = 0; over < 2; over++) {
            struct error err = {0};
            struct rpc_decoder decoder = {0};
            const char *line = NULL;
            size_t size = RPC_LINE_BYTES_MAX + over;
            text[size] = '\n';
            enum status status =
                rpc_decoder_feed(&decoder, text, size + (size_t)with_newline, &err);
            text[size] = 'a';
            assert_int_equal(status, over ? STATUS_LIMIT : STATUS_OK);
            if (!over) {
                assert_int_equal(rpc_decoder_next(&decoder, &line, &size), with_newline);
            }
            rpc_decoder_deinit(&decoder);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_written_as_agreed),
        cmocka_unit_test(each_kind_of_message_is_told_apart),
        cmocka_unit_test(an_error_of_another_implementation_is_understood),
        cmocka_unit_test(what_is_no_message_is_refused_with_its_code),
        cmocka_unit_test(every_truncation_of_a_message_is_refused),
        cmocka_unit_test(a_line_that_would_be_too_long_is_not_written),
        cmocka_unit_test(lines_come_out_whatever_the_pieces),
        cmocka_unit_test(lines_may_wait_while_more_comes),
        cmocka_unit_test(a_line_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
