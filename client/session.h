/*
 * session — a command's connection to the daemon, which it starts when there is none.
 *
 * The per-user daemon is started for the default socket only: a person who names a socket means the
 * daemon behind it, and starting another one there would be a surprise.
 *
 * Threads: one.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/job.h"
#include "proto/base/command.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"
#include "proto/rpc/client.h"

/* A daemon that is busy with a large page answers within this; one that does not is stuck. */
#define SESSION_CALL_TIMEOUT_MS 30000

enum session_start {
    SESSION_START_NEVER,      /* status, down: asking must not start it */
    SESSION_START_IF_MISSING, /* the rest */
};

struct session {
    struct rpc_client *client; /* NULL: not connected */
    char socket_path[PATH_BYTES_MAX];
    bool has_default_socket;
    int call_timeout_ms; /* 0: SESSION_CALL_TIMEOUT_MS */
};

/* Connects as the command line says (--socket). STATUS_NOT_FOUND, with a hint, when no daemon
 * answers. A zeroed struct is a closed session. */
MUST_USE enum status session_open(struct session *out, const struct command_line *line,
                                  enum session_start start, struct error *err);

/* Connects again after the connection was lost; never starts a daemon. */
MUST_USE enum status session_reopen(struct session *session, struct error *err);

void session_close(struct session *session);

/* Asks; takes the reference of params (NULL: out of memory, or none for a method without params is
 * json_object()). *result is a new reference. */
MUST_USE enum status session_call(struct session *session, enum rpc_method method, json_t *params,
                                  json_t **result, struct error *err);

/* job.get of a job as typed on the command line. *result is a new reference. */
MUST_USE enum status session_get_job(struct session *session, const struct job_reference *reference,
                                     json_t **result, struct error *err);

/* What a daemon is started with; NULL and 0 leave it to remorad's defaults. */
struct daemon_options {
    const char *socket_path;
    const char *state_folder;
    int64_t slot_count;
};

/* Runs `remorad --daemonize` from our own executable's folder and returns once it serves.
 * STATUS_BUSY when another daemon has the socket or the state folder. */
MUST_USE enum status daemon_start(const struct daemon_options *options, struct error *err);
