/*
 * error — what went wrong, for callers (a status) and for people (a message and a hint).
 *
 * A function that can fail returns enum status and fills the caller's struct error, which is plain
 * storage: nothing to free, and it works when memory is out. STATUS_OK is 0. Messages are lower
 * case, name the value and the limit, and gain context outwards: "manifest 'm.json': bad digest".
 * field is the spec or parameter path at fault ("data.train[0].shards"), or empty; hint says what
 * to do, or is empty.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define MUST_USE __attribute__((warn_unused_result))

#define ERROR_MESSAGE_BYTES 768
#define ERROR_FIELD_BYTES   192
#define ERROR_HINT_BYTES    320

/* X(constant, name, JSON-RPC error code, exit code of a program that ends with it) */
#define STATUS_LIST(X)                   \
 X(OK, "ok", 0, 0)                       \
 X(INVALID, "invalid", -32602, 2)        \
 X(NOT_FOUND, "not_found", -32001, 3)    \
 X(CONFLICT, "conflict", -32002, 4)      \
 X(LIMIT, "limit", -32003, 5)            \
 X(CORRUPT, "corrupt", -32004, 6)        \
 X(BUSY, "busy", -32005, 7)              \
 X(NO_MEMORY, "no_memory", -32006, 8)    \
 X(NO_SPACE, "no_space", -32007, 9)      \
 X(IO, "io", -32008, 10)                 \
 X(CANCELLED, "cancelled", -32009, 11)   \
 X(PERMISSION, "permission", -32010, 12) \
 X(TIMEOUT, "timeout", -32011, 13)       \
 X(UNSUPPORTED, "unsupported", -32012, 14)

enum status {
#define X(constant, name, rpc_code, exit_code) STATUS_##constant,
    STATUS_LIST(X)
#undef X
};

struct error {
    enum status status;
    char message[ERROR_MESSAGE_BYTES];
    char field[ERROR_FIELD_BYTES];
    char hint[ERROR_HINT_BYTES];
};

const char *status_name(enum status status);
int status_rpc_code(enum status status);
int status_exit_code(enum status status);
/* The status with that name, or STATUS_IO for a name of a newer version. */
enum status status_from_name(const char *name);

/* Sets status and message, clears field and hint; returns status, so it can be returned itself.
 * err may be NULL where the caller only needs the status. Too long messages are cut at a UTF-8
 * boundary and end in "…". */
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " in front of the message; returns err's status. */
enum status error_wrap(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void error_set_field(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void error_set_hint(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Translates errno_value (ENOSPC → NO_SPACE, ENOENT → NOT_FOUND, EACCES → PERMISSION, …); the
 * message is "<formatted>: <system's text>". */
enum status error_from_errno(struct error *err, int errno_value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
