#include "proto/rpc/message.h"

#include <string.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"

/* ---- Parsing ---- */

static enum status refuse(struct rpc_message *out, const char *problem, struct error *err)
{
    out->code = RPC_CODE_INVALID_REQUEST;
    return error_set(err, STATUS_INVALID, "not a JSON-RPC 2.0 message: %s", problem);
}

static enum status parse_call(struct rpc_message *out, struct error *err)
{
    out->method = json_get_text(out->root, "method", NULL);
    if (!out->method) {
        return refuse(out, "'method' is not text", err);
    }
    out->type = out->id ? RPC_MESSAGE_REQUEST : RPC_MESSAGE_NOTIFICATION;
    out->params = json_object_get(out->root, "params");
    if (!out->params) {
        if (json_object_set_new(out->root, "params", json_object()) != 0) {
            return error_set(err, STATUS_NO_MEMORY, "message: out of memory");
        }
        out->params = json_object_get(out->root, "params");
    }
    return json_is_object(out->params) ? STATUS_OK : refuse(out, "'params' is not an object", err);
}

/* The error as the other side made it; a status of a newer version becomes STATUS_IO. */
static enum status parse_error(struct rpc_message *out, const json_t *error, struct error *err)
{
    const json_t *data = json_object_get(error, "data");
    const json_t *code = json_object_get(error, "code");
    if (!json_is_integer(code)) {
        return refuse(out, "'error.code' is not a whole number", err);
    }
    const char *name = json_get_text(data, "status", NULL);
    enum status status = name ? status_from_name(name) : STATUS_IO;
    if (!status) {
        status = STATUS_IO;
    }
    const char *message = json_get_text(data, "message", json_get_text(error, "message", ""));
    out->type = RPC_MESSAGE_ERROR;
    out->code = (int)json_integer_value(code);
    (void)error_set(&out->error, status, "%s", message);
    error_set_field(&out->error, "%s", json_get_text(data, "field", ""));
    error_set_hint(&out->error, "%s", json_get_text(data, "hint", ""));
    return STATUS_OK;
}

static enum status parse_answer(struct rpc_message *out, struct error *err)
{
    const json_t *error = json_object_get(out->root, "error");
    out->result = json_object_get(out->root, "result");
    if (!out->id) {
        return refuse(out, "neither 'method' nor 'id' is there", err);
    }
    if ((error != NULL) == (out->result != NULL)) {
        return refuse(out, "exactly one of 'result' and 'error' is due", err);
    }
    if (error) {
        return parse_error(out, error, err);
    }
    out->type = RPC_MESSAGE_RESULT;
    return STATUS_OK;
}

enum status rpc_message_parse(struct rpc_message *out, const char *line, size_t size,
                              struct error *err)
{
    *out = (struct rpc_message){.code = RPC_CODE_PARSE_ERROR};
    enum status status = json_parse(&out->root, line, size, "message", err);
    if (status) {
        return status;
    }
    if (!json_is_object(out->root)) {
        return refuse(
            out, json_is_array(out->root) ? "batches are not supported" : "it is not an object",
            err);
    }
    json_t *id = json_object_get(out->root, "id");
    const bool is_call = json_object_get(out->root, "method") != NULL;
    const bool can_be_null = !is_call && json_is_null(id);
    if (id && !json_is_integer(id) && !json_is_string(id) && !can_be_null) {
        return refuse(out, "'id' is neither a whole number nor text", err);
    }
    out->id = id;
    if (strcmp(json_get_text(out->root, "jsonrpc", ""), "2.0") != 0) {
        return refuse(out, "'jsonrpc' is not \"2.0\"", err);
    }
    status = is_call ? parse_call(out, err) : parse_answer(out, err);
    if (!status && out->type != RPC_MESSAGE_ERROR) {
        out->code = 0;
    }
    return status;
}

void rpc_message_deinit(struct rpc_message *message)
{
    json_decref(message->root);
    *message = (struct rpc_message){0};
}

/* ---- Writing ---- */

/* Appends message and a newline; steals message, which may be NULL. */
static enum status write_line(struct bytes *out, json_t *message, struct error *err)
{
    struct bytes line = {.size_max = RPC_LINE_BYTES_MAX};
    enum status status = STATUS_OK;
    if (message) {
        json_canonical(&line, message);
        status = bytes_status(&line, "message", err);
    } else {
        status = error_set(err, STATUS_NO_MEMORY, "message: out of memory");
    }
    if (!status) {
        const size_t size = out->size;
        bytes_append(out, line.data, line.size);
        bytes_append_char(out, '\n');
        status = bytes_status(out, "message", err);
        if (status && out->data) {
            out->size = size;
            out->data[size] = '\0';
        }
    }
    json_decref(message);
    bytes_deinit(&line);
    return status;
}

/* A new reference to value, or to {}; json_pack's O takes no const. */
static json_t *share_or_empty(const json_t *value)
{
    return value ? json_incref((json_t *)(uintptr_t)value) : json_object();
}

enum status rpc_write_request(struct bytes *out, int64_t id, const char *method,
                              const json_t *params, struct error *err)
{
    return write_line(out,
                      json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t)id,
                                "method", method, "params", share_or_empty(params)),
                      err);
}

enum status rpc_write_notification(struct bytes *out, const char *method, const json_t *params,
                                   struct error *err)
{
    return write_line(out,
                      json_pack("{s:s, s:s, s:o}", "jsonrpc", "2.0", "method", method, "params",
                                share_or_empty(params)),
                      err);
}

enum status rpc_write_result(struct bytes *out, const json_t *id, const json_t *result,
                             struct error *err)
{
    return write_line(out,
                      json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "id",
                                json_incref((json_t *)(uintptr_t)id), "result",
                                share_or_empty(result)),
                      err);
}

enum status rpc_write_error(struct bytes *out, const json_t *id, int code, const struct error *what,
                            struct error *err)
{
    json_t *error = json_pack("{s:i, s:s, s:{s:s, s:s, s:s, s:s}}", "code",
                              code ? code : status_rpc_code(what->status), "message", what->message,
                              "data", "status", status_name(what->status), "message", what->message,
                              "field", what->field, "hint", what->hint);
    json_t *shared_id = id ? json_incref((json_t *)(uintptr_t)id) : json_null();
    return write_line(
        out, json_pack("{s:s, s:o, s:o}", "jsonrpc", "2.0", "id", shared_id, "error", error), err);
}
