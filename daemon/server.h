/*
 * server — the daemon's end of the socket: connections, framing, who may speak, and the replies
 * that wait for the commit.
 *
 * What is said in a loop iteration is held until server_release, which the daemon calls once the
 * iteration's transaction is durable (or server_refuse, when it could not be made so). Watchers are
 * fed from the event log by sequence number: replay and live are the same path, so that no event is
 * lost or doubled between them; who reads slowly gets them later. Progress is live only, and who
 * does not keep up with it is dropped, with a reason.
 *
 *   arriving ─► decoder ─► request ─► handler ─► held ──commit──► pending ─► writing ─► socket
 *
 * Ownership: the server owns its connections. A handler that answers later keeps the connection
 *            alive with connection_hold and lets it go with connection_drop.
 * Threads:   the loop's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "daemon/queue.h"
#include "proto/base/error.h"
#include "proto/base/json.h"
#include "proto/rpc/methods.h"
#include "proto/rpc/socket.h"

struct server;
struct connection;

/* A request that is being answered. id is NULL for a notification, which gets no answer. */
struct request {
    struct connection *connection;
    json_t *id;
    json_t *params; /* checked, defaults filled in */
};

/* Answers a request: *result is a new reference (NULL is {}), unless *is_deferred was set: then
 * connection_answer comes later. context is the server's. */
typedef enum status server_handler_fn(void *context, const struct request *request, json_t **result,
                                      bool *is_deferred, struct error *err);
/* A connection ends; its watch and worker are still readable. */
typedef void server_closed_fn(void *context, struct connection *connection);

struct server_config {
    server_handler_fn *const *handlers; /* by enum rpc_method */
    server_closed_fn *on_closed;
    void *context;
};

/* Listens at path. catalog outlives the server. */
MUST_USE enum status server_create(struct server **out, uv_loop_t *loop, const char *path,
                                   struct queue *queue, const struct rpc_catalog *catalog,
                                   const struct server_config *config, struct error *err);
/* Closes all connections and the socket. Memory goes with server_destroy, once the loop has run the
 * close callbacks. */
void server_stop(struct server *server);
void server_destroy(struct server *server); /* NULL is fine */

/* The transaction is durable: lets the held replies go and feeds the watchers. */
void server_release(struct server *server);
/* It is not: every request answered in this iteration gets this error instead. */
void server_refuse(struct server *server, const struct error *why);

/* Sends {job, record} to all who watch the job. */
void server_broadcast_progress(struct server *server, int64_t job, const json_t *record);

/* Tells rank 0 of the attempt what to do at its next step boundary; false when no connection is
 * its. */
bool server_control_worker(struct server *server, int64_t job, int attempt, const char *action);

/* ---- For handlers ---- */

const struct rpc_peer *connection_peer(const struct connection *connection);
/* hello was said. */
void connection_greet(struct connection *connection);
void connection_watch(struct connection *connection, int64_t job, int64_t from_seq);
void connection_unwatch(struct connection *connection);
/* This is rank 0 of an attempt; reading it back gives false when it is not. */
void connection_set_worker(struct connection *connection, int64_t job, int attempt);
bool connection_get_worker(const struct connection *connection, int64_t *job, int *attempt);
void connection_notify(struct connection *connection, enum rpc_notification notification,
                       const json_t *params);

void connection_hold(struct connection *connection);
void connection_drop(struct connection *connection);
bool connection_is_closing(const struct connection *connection);
/* The answer to a deferred request: result (borrowed) when status is STATUS_OK, else *why. */
void connection_answer(struct connection *connection, const json_t *id, const json_t *result,
                       enum status status, const struct error *why);
