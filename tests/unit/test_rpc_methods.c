#include "embedded/openrpc_json.h"
#include "proto/base/json.h"
#include "proto/rpc/methods.h"
#include "tests/support/test.h"

static json_t *document(void)
{
    struct error err = {0};
    json_t *openrpc = NULL;
    assert_ok(json_parse(&openrpc, openrpc_json, openrpc_json_size, "openrpc.json", &err), &err);
    return openrpc;
}

/* The list of the header and the list of the document are the same, in the same order. */
static void header_and_document_agree(void **state)
{
    (void)state;
    json_t *openrpc = document();
    const json_t *methods = json_object_get(openrpc, "methods");
    const json_t *notifications = json_object_get(openrpc, "x-notifications");
    assert_int_equal(json_array_size(methods), RPC_METHOD_COUNT);
    assert_int_equal(json_array_size(notifications), RPC_NOTIFICATION_COUNT);
    for (unsigned i = 0; i < RPC_METHOD_COUNT; i++) {
        const json_t *method = json_array_get(methods, i);
        assert_string_equal(json_get_text(method, "name", ""), rpc_method_name(i));
        assert_true(strlen(json_get_text(method, "summary", "")) > 10);
        assert_true(json_object_get(method, "result") || i == RPC_METHOD_WORKER_REPORT);
    }
    for (unsigned i = 0; i < RPC_NOTIFICATION_COUNT; i++) {
        const json_t *entry = json_array_get(notifications, i);
        assert_string_equal(json_get_text(entry, "name", ""), rpc_notification_name(i));
    }
    json_decref(openrpc);
}

static void names_lead_to_methods(void **state)
{
    (void)state;
    struct error err = {0};
    for (unsigned i = 0; i < RPC_METHOD_COUNT; i++) {
        enum rpc_method method = RPC_METHOD_COUNT;
        assert_ok(rpc_method_find(&method, rpc_method_name(i), &err), &err);
        assert_int_equal(method, i);
    }
    for (unsigned i = 0; i < RPC_NOTIFICATION_COUNT; i++) {
        enum rpc_notification notification = RPC_NOTIFICATION_COUNT;
        assert_true(rpc_notification_find(&notification, rpc_notification_name(i)));
        assert_int_equal(notification, i);
    }
    enum rpc_method method = RPC_METHOD_COUNT;
    assert_int_equal(rpc_method_find(&method, "job.sumbit", &err), STATUS_NOT_FOUND);
    assert_contains(err.message, "there is no method 'job.sumbit'");
    assert_string_equal(err.hint, "did you mean 'job.submit'?");
    enum rpc_notification notification = RPC_NOTIFICATION_COUNT;
    assert_false(rpc_notification_find(&notification, "news"));
}

static struct rpc_catalog *catalog;

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    return rpc_catalog_create(&catalog, &err) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    rpc_catalog_destroy(catalog);
    return 0;
}

static enum status check(enum rpc_method method, const char *params, char **filled,
                         struct error *err)
{
    json_t *value = NULL;
    struct bytes text = {0};
    assert_ok(json_parse(&value, params, strlen(params), "params", err), err);
    enum status status = rpc_catalog_check_params(catalog, method, value, err);
    json_canonical(&text, value);
    *filled = strdup(text.data);
    bytes_deinit(&text);
    json_decref(value);
    return status;
}

static void params_are_checked_and_filled(void **state)
{
    (void)state;
    static const struct {
        enum rpc_method method;
        const char *params;
        const char *filled;  /* NULL: refused */
        const char *message; /* when refused */
    } cases[] = {
        {RPC_METHOD_HELLO, "{\"protocol\":1,\"program\":\"x\"}",
         "{\"program\":\"x\",\"protocol\":1}", NULL},
        {RPC_METHOD_HELLO, "{\"program\":\"x\"}", NULL, "protocol: is missing"},
        {RPC_METHOD_JOB_LIST, "{}", "{\"all\":false,\"limit\":100}", NULL},
        {RPC_METHOD_JOB_LIST, "{\"limit\":0}", NULL, "limit: 0 is below the minimum 1"},
        {RPC_METHOD_JOB_LIST, "{\"limit\":5001}", NULL, "limit: 5001 is above the maximum 5000"},
        {RPC_METHOD_JOB_LIST, "{\"all\":1}", NULL, "all: 1 is not true or false"},
        {RPC_METHOD_JOB_LIST, "{\"al\":true}", NULL, "al: unknown field"},
        {RPC_METHOD_JOB_GET, "{\"job\":7}", "{\"job\":7}", NULL},
        {RPC_METHOD_JOB_GET, "{\"job\":\"demo\"}", "{\"job\":\"demo\"}", NULL},
        {RPC_METHOD_JOB_GET, "{\"job\":0}", NULL, "job: 0 is below the minimum 1"},
        {RPC_METHOD_JOB_GET, "{\"job\":null}", NULL, "job: null is not"},
        {RPC_METHOD_JOB_GET, "{}", NULL, "job: is missing"},
        {RPC_METHOD_JOB_SUBMIT, "{\"spec\":[]}", NULL, "spec: a list of 0 is not an object"},
        {RPC_METHOD_JOB_SUBMIT, "{\"spec\":{\"any\":1}}", "{\"spec\":{\"any\":1}}", NULL},
        {RPC_METHOD_JOB_METRICS, "{\"job\":1,\"kind\":\"steps\"}", NULL, "kind: \"steps\" is none"},
        {RPC_METHOD_JOB_METRICS, "{\"job\":1}",
         "{\"from_step\":0,\"job\":1,\"kind\":\"step\",\"limit\":1000,\"superseded\":false}", NULL},
        {RPC_METHOD_JOB_LOGS, "{\"job\":1,\"offset\":-1}", NULL, "offset: -1 is below"},
        {RPC_METHOD_JOB_UNWATCH, "{}", "{}", NULL},
        {RPC_METHOD_JOB_UNWATCH, "{\"x\":1}", NULL, "x: unknown field"},
        {RPC_METHOD_WORKER_REPORT, "{\"offset\":3,\"lines\":[\"a\"]}",
         "{\"lines\":[\"a\"],\"offset\":3}", NULL},
        {RPC_METHOD_WORKER_REPORT, "{\"offset\":3,\"lines\":[1]}", NULL, "lines[0]: 1 is not text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        char *filled = NULL;
        enum status status = check(cases[i].method, cases[i].params, &filled, &err);
        if (cases[i].filled) {
            assert_ok(status, &err);
            assert_string_equal(filled, cases[i].filled);
        } else {
            assert_int_equal(status, STATUS_INVALID);
            assert_contains(err.message, cases[i].message);
        }
        free(filled);
    }
}

static void results_and_notifications_are_described(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *value =
        json_pack("{s:i, s:s, s:n, s:s}", "job", 1, "state", "queued", "more", "x", "y");
    assert_ok(rpc_catalog_check_result(catalog, RPC_METHOD_JOB_CANCEL, value, &err), &err);
    assert_int_equal(json_object_set_new(value, "state", json_string("lost")), 0);
    assert_int_equal(rpc_catalog_check_result(catalog, RPC_METHOD_JOB_CANCEL, value, &err),
                     STATUS_INVALID);
    json_decref(value);
    value = json_pack("{s:s}", "action", "stop");
    assert_ok(rpc_catalog_check_notification(catalog, RPC_NOTIFICATION_WORKER_CONTROL, value, &err),
              &err);
    assert_int_equal(rpc_catalog_check_notification(catalog, RPC_NOTIFICATION_EVENT, value, &err),
                     STATUS_INVALID);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_and_document_agree),
        cmocka_unit_test(names_lead_to_methods),
        cmocka_unit_test(params_are_checked_and_filled),
        cmocka_unit_test(results_and_notifications_are_described),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
