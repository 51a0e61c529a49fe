/*
 * remora-schema-check KIND FILE: run by the build over each schema before it is embedded, so that a
 * schema never says what the validator does not know. KIND is "schema", or "openrpc", whose schemas
 * are the params and results of its methods and its components.
 */
#include <stdio.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/spec/schema.h"

/* Params of one method: each is checked on its own. */
static enum status check_method(const struct schema *schema, const json_t *method,
                                struct error *err)
{
    size_t i = 0;
    json_t *param = NULL;
    enum status status = STATUS_OK;
    json_array_foreach(json_object_get(method, "params"), i, param)
    {
        status = schema_check(schema, json_object_get(param, "schema"), err);
        if (status) {
            return status;
        }
    }
    const json_t *result = json_object_get(method, "result");
    return result ? schema_check(schema, json_object_get(result, "schema"), err) : STATUS_OK;
}

static enum status check_openrpc(const struct schema *schema, struct error *err)
{
    const json_t *document = schema_document(schema);
    static const char *const lists[] = {"methods", "x-notifications"};
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        size_t i = 0;
        json_t *method = NULL;
        json_array_foreach(json_object_get(document, lists[l]), i, method)
        {
            enum status status = check_method(schema, method, err);
            if (status) {
                return error_wrap(err, "%s", json_get_text(method, "name", "?"));
            }
        }
    }
    const json_t *components = json_object_get(json_object_get(document, "components"), "schemas");
    const char *name = NULL;
    json_t *node = NULL;
    for (void *at = json_object_iter((json_t *)(uintptr_t)components); at;
         at = json_object_iter_next((json_t *)(uintptr_t)components, at)) {
        name = json_object_iter_key(at);
        node = json_object_iter_value(at);
        enum status status = schema_check(schema, node, err);
        if (status) {
            return error_wrap(err, "%s", name);
        }
    }
    return STATUS_OK;
}

static enum status check_file(const char *kind, const char *path, struct error *err)
{
    struct bytes text = {0};
    struct schema *schema = NULL;

    enum status status = file_read(&text, path, SPEC_BYTES_MAX, err);
    if (!status) {
        status = schema_create(&schema, text.data, text.size, path, err);
    }
    if (!status) {
        status = strcmp(kind, "openrpc") == 0 ? check_openrpc(schema, err)
                                              : schema_check(schema, schema_document(schema), err);
    }
    schema_destroy(schema);
    bytes_deinit(&text);
    return status;
}

int main(int argc, char **argv)
{
    struct error err;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: remora-schema-check schema|openrpc FILE\n");
        return 2;
    }
    enum status status = check_file(argv[1], argv[2], &err);
    if (status) {
        (void)fprintf(stderr, "%s\n", err.message);
    }
    return status_exit_code(status);
}
