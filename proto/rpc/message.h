/*
 * message — JSON-RPC 2.0 messages (https://www.jsonrpc.org/specification), one per line. params and
 * results are objects; batches are refused.
 *
 * An error's `data` is {"status", "field", "message", "hint"}, the four parts of struct error.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"

#define RPC_PROTOCOL_VERSION 1

/* Codes that JSON-RPC itself defines and no enum status stands for. */
#define RPC_CODE_PARSE_ERROR      (-32700)
#define RPC_CODE_INVALID_REQUEST  (-32600)
#define RPC_CODE_METHOD_NOT_FOUND (-32601)
#define RPC_CODE_INVALID_PARAMS   (-32602)

enum rpc_message_type {
    RPC_MESSAGE_REQUEST,
    RPC_MESSAGE_NOTIFICATION,
    RPC_MESSAGE_RESULT,
    RPC_MESSAGE_ERROR,
};

/* A parsed message; what it points to lives until rpc_message_deinit. A zeroed struct is empty. */
struct rpc_message {
    enum rpc_message_type type;
    json_t *root;
    json_t *id;         /* integer, text, or null (only of an error); NULL for a notification */
    const char *method; /* of a request or notification */
    json_t *params;     /* object; never NULL for a request or notification */
    json_t *result;     /* of a result */
    int code;           /* of an error; after a failed parse, the code to answer with */
    struct error error; /* of an error */
};

/* On failure out->code is RPC_CODE_PARSE_ERROR or RPC_CODE_INVALID_REQUEST, out->id the request's
 * id where it could be read (else NULL), and out is still to be deinitialised. */
MUST_USE enum status rpc_message_parse(struct rpc_message *out, const char *line, size_t size,
                                       struct error *err);
void rpc_message_deinit(struct rpc_message *message);

/* Each appends one line with its newline; params and result are borrowed, NULL is {}. A line that
 * would be too long is STATUS_LIMIT and leaves out as it was. */
MUST_USE enum status rpc_write_request(struct bytes *out, int64_t id, const char *method,
                                       const json_t *params, struct error *err);
MUST_USE enum status rpc_write_notification(struct bytes *out, const char *method,
                                            const json_t *params, struct error *err);
MUST_USE enum status rpc_write_result(struct bytes *out, const json_t *id, const json_t *result,
                                      struct error *err);
/* id NULL: the request's could not be read. code 0: status_rpc_code of what->status. */
MUST_USE enum status rpc_write_error(struct bytes *out, const json_t *id, int code,
                                     const struct error *what, struct error *err);
