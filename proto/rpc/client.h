/*
 * client — a blocking connection to the daemon, for the command line.
 *
 * Threads: one at a time. A connection that failed is over and only good for closing.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/rpc/methods.h"

struct rpc_client;

/* Connects and says hello within timeout_ms. STATUS_NOT_FOUND when nobody listens;
 * STATUS_UNSUPPORTED when the daemon speaks another protocol. program is who we are ("remora"). */
MUST_USE enum status rpc_client_open(struct rpc_client **out, const char *socket_path,
                                     const char *program, int timeout_ms, struct error *err);
void rpc_client_close(struct rpc_client *client); /* NULL is fine */

/* Whether the connection failed: then a STATUS_IO is about it, not an answer of the daemon's. */
bool rpc_client_is_broken(const struct rpc_client *client);

/* Version of the daemon, from its hello; lives as long as the client. */
const char *rpc_client_daemon_version(const struct rpc_client *client);
/* The whole result of hello; borrowed. */
const json_t *rpc_client_hello(const struct rpc_client *client);

/* Asks and waits for the answer. params is borrowed, NULL is {}. *result is a new reference. An
 * error from the daemon comes back as it was made there. timeout_ms < 0 waits for ever; after
 * STATUS_TIMEOUT the connection is still good, and the late answer is dropped. */
MUST_USE enum status rpc_client_call(struct rpc_client *client, enum rpc_method method,
                                     const json_t *params, int timeout_ms, json_t **result,
                                     struct error *err);

/* The next notification, in the order of arrival, those included that came while a call waited.
 * *name lives until the next call of rpc_client_next; *params is a new reference. STATUS_TIMEOUT
 * when none came in time. */
MUST_USE enum status rpc_client_next(struct rpc_client *client, int timeout_ms, const char **name,
                                     json_t **params, struct error *err);

/* To poll(2) on: readable when rpc_client_next may have something. */
int rpc_client_fd(const struct rpc_client *client);
