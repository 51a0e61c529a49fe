#include "proto/rpc/methods.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "embedded/openrpc_json.h"
#include "proto/base/command.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/spec/schema.h"

static const char *const method_names[] = {
#define X(constant, name) name,
    RPC_METHOD_LIST(X)
#undef X
};
static const char *const notification_names[] = {
#define X(constant, name) name,
    RPC_NOTIFICATION_LIST(X)
#undef X
};

const char *rpc_method_name(enum rpc_method method)
{
    assert(method < RPC_METHOD_COUNT);
    return method_names[method];
}

const char *rpc_notification_name(enum rpc_notification notification)
{
    assert(notification < RPC_NOTIFICATION_COUNT);
    return notification_names[notification];
}

enum status rpc_method_find(enum rpc_method *out, const char *name, struct error *err)
{
    for (unsigned i = 0; i < RPC_METHOD_COUNT; i++) {
        if (strcmp(method_names[i], name) == 0) {
            *out = (enum rpc_method)i;
            return STATUS_OK;
        }
    }
    (void)error_set(err, STATUS_NOT_FOUND, "there is no method '%.100s'", name);
    const char *nearest = command_nearest(name, method_names, RPC_METHOD_COUNT);
    if (nearest) {
        error_set_hint(err, "did you mean '%s'?", nearest);
    }
    return STATUS_NOT_FOUND;
}

bool rpc_notification_find(enum rpc_notification *out, const char *name)
{
    for (unsigned i = 0; i < RPC_NOTIFICATION_COUNT; i++) {
        if (strcmp(notification_names[i], name) == 0) {
            *out = (enum rpc_notification)i;
            return true;
        }
    }
    return false;
}

/* ---- The catalog ---- */

/* Schemas of one method: params as one object, and the result as it stands in the document. */
struct rpc_catalog {
    struct schema *schema;
    json_t *params[RPC_METHOD_COUNT];
    const json_t *results[RPC_METHOD_COUNT]; /* NULL: it has none */
    json_t *notifications[RPC_NOTIFICATION_COUNT];
};

/* The entry of that name in a list of the document. */
static const json_t *entry_find(const json_t *list, const char *name)
{
    size_t i = 0;
    json_t *entry = NULL;
    json_array_foreach(list, i, entry)
    {
        if (strcmp(json_get_text(entry, "name", ""), name) == 0) {
            return entry;
        }
    }
    return NULL;
}

/* OpenRPC lists params one by one; the validator wants the object that they make. */
static json_t *params_schema(const json_t *entry)
{
    json_t *properties = json_object();
    json_t *required = json_array();
    int failures = 0;
    size_t i = 0;
    json_t *param = NULL;
    json_array_foreach(json_object_get(entry, "params"), i, param)
    {
        const char *name = json_get_text(param, "name", "");
        failures += json_object_set(properties, name, json_object_get(param, "schema")) != 0;
        if (json_get_bool(param, "required", false)) {
            failures += json_array_append_new(required, json_string(name)) != 0;
        }
    }
    json_t *node = json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties", 0,
                             "required", required, "properties", properties);
    if (failures) {
        json_decref(node);
        return NULL;
    }
    return node;
}

static enum status catalog_fill(struct rpc_catalog *catalog, struct error *err)
{
    const json_t *document = schema_document(catalog->schema);
    bool is_complete = true;
    for (unsigned i = 0; i < RPC_METHOD_COUNT; i++) {
        const json_t *entry = entry_find(json_object_get(document, "methods"), method_names[i]);
        assert(entry); /* test_rpc_methods holds list and document against each other */
        catalog->params[i] = params_schema(entry);
        catalog->results[i] = json_object_get(json_object_get(entry, "result"), "schema");
        is_complete = is_complete && catalog->params[i];
    }
    for (unsigned i = 0; i < RPC_NOTIFICATION_COUNT; i++) {
        const json_t *entry =
            entry_find(json_object_get(document, "x-notifications"), notification_names[i]);
        assert(entry);
        catalog->notifications[i] = params_schema(entry);
        is_complete = is_complete && catalog->notifications[i];
    }
    return is_complete ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "openrpc: out of memory");
}

enum status rpc_catalog_create(struct rpc_catalog **out, struct error *err)
{
    struct rpc_catalog *catalog = sys_calloc(1, sizeof *catalog);
    if (!catalog) {
        return error_set(err, STATUS_NO_MEMORY, "openrpc: out of memory");
    }
    enum status status =
        schema_create(&catalog->schema, openrpc_json, openrpc_json_size, "openrpc.json", err);
    if (!status) {
        status = catalog_fill(catalog, err);
    }
    if (status) {
        rpc_catalog_destroy(catalog);
        return status;
    }
    *out = catalog;
    return STATUS_OK;
}

void rpc_catalog_destroy(struct rpc_catalog *catalog)
{
    if (!catalog) {
        return;
    }
    for (unsigned i = 0; i < RPC_METHOD_COUNT; i++) {
        json_decref(catalog->params[i]);
    }
    for (unsigned i = 0; i < RPC_NOTIFICATION_COUNT; i++) {
        json_decref(catalog->notifications[i]);
    }
    schema_destroy(catalog->schema);
    free(catalog);
}

enum status rpc_catalog_check_params(const struct rpc_catalog *catalog, enum rpc_method method,
                                     json_t *params, struct error *err)
{
    return schema_apply(catalog->schema, catalog->params[method], params, "", NULL, err);
}

enum status rpc_catalog_check_result(const struct rpc_catalog *catalog, enum rpc_method method,
                                     json_t *result, struct error *err)
{
    const json_t *node = catalog->results[method];
    return node ? schema_apply(catalog->schema, node, result, "", NULL, err) : STATUS_OK;
}

enum status rpc_catalog_check_notification(const struct rpc_catalog *catalog,
                                           enum rpc_notification notification, json_t *params,
                                           struct error *err)
{
    return schema_apply(catalog->schema, catalog->notifications[notification], params, "", NULL,
                        err);
}
