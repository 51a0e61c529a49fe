/*
 * link — the worker's connection to the daemon, which never blocks: a step must not wait for a
 * daemon that is slow, stopped or gone.
 *
 *   DOWN ──connected (at most one try a second)──► GREETING ──hello answered──► UP
 *    ▲                                                │                          │
 *    └─────────────── closed by the daemon, or an error ───────────────────────────┘
 *
 * What is sent while the link is not UP, or does not fit, is refused whole; the run folder has it
 * all, and the worker catches up from there once the link is UP again.
 *
 * Threads: one at a time.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/rpc/message.h"
#include "proto/rpc/methods.h"

/* What may wait for the daemon to read it. */
#define RPC_LINK_BACKLOG_BYTES_MAX (8u * 1024 * 1024)
#define RPC_LINK_RETRY_MS          1000

enum rpc_link_state { RPC_LINK_DOWN, RPC_LINK_GREETING, RPC_LINK_UP };

struct rpc_link;

/* Connects nothing yet. program is who we are ("remora-worker"). */
MUST_USE enum status rpc_link_create(struct rpc_link **out, const char *socket_path,
                                     const char *program, struct error *err);
void rpc_link_destroy(struct rpc_link *link);

/* Does what can be done without waiting: connects, writes, reads. Call it at step boundaries with a
 * monotonic clock. connection_count tells one connection from the next. */
enum rpc_link_state rpc_link_poll(struct rpc_link *link, int64_t now_ms);
/* How often the link came UP so far. */
uint64_t rpc_link_connection_count(const struct rpc_link *link);

/* Queues a message and writes what the socket takes. False when the link is not UP or the backlog
 * is full: nothing of it is sent then. params is borrowed. */
MUST_USE bool rpc_link_notify(struct rpc_link *link, const char *method, const json_t *params);
/* As notify; *id is that of the answer. */
MUST_USE bool rpc_link_request(struct rpc_link *link, enum rpc_method method, const json_t *params,
                               int64_t *id);
/* Bytes queued and not yet taken by the socket. */
size_t rpc_link_backlog_bytes(const struct rpc_link *link);

/* The next message that rpc_link_poll read; false when there is none. The caller deinitialises it.
 */
MUST_USE bool rpc_link_receive(struct rpc_link *link, struct rpc_message *out);

/* Why the link went down last; message is empty when it never did. */
const struct error *rpc_link_last_error(const struct rpc_link *link);
