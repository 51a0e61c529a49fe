/*
 * methods — what can be asked over the socket, and what is told unasked. schemas/openrpc.json
 * describes params and results of each, and is what requests are checked against.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "proto/base/error.h"

/* X(constant, name): requests, answered by the daemon */
#define RPC_METHOD_LIST(X)         \
 X(HELLO, "hello")                 \
 X(JOB_SUBMIT, "job.submit")       \
 X(JOB_LIST, "job.list")           \
 X(JOB_GET, "job.get")             \
 X(JOB_CANCEL, "job.cancel")       \
 X(JOB_RESUME, "job.resume")       \
 X(JOB_EVENTS, "job.events")       \
 X(JOB_METRICS, "job.metrics")     \
 X(JOB_LOGS, "job.logs")           \
 X(JOB_WATCH, "job.watch")         \
 X(JOB_UNWATCH, "job.unwatch")     \
 X(WORKER_ATTACH, "worker.attach") \
 X(WORKER_REPORT, "worker.report") \
 X(DAEMON_STATUS, "daemon.status") \
 X(DAEMON_SHUTDOWN, "daemon.shutdown")

/* X(constant, name): notifications. worker.report, from the worker, is one, too. */
#define RPC_NOTIFICATION_LIST(X) \
 X(EVENT, "event")               \
 X(PROGRESS, "progress")         \
 X(WORKER_ACK, "worker.ack")     \
 X(WORKER_CONTROL, "worker.control")

enum rpc_method {
#define X(constant, name) RPC_METHOD_##constant,
    RPC_METHOD_LIST(X)
#undef X
        RPC_METHOD_COUNT,
};

enum rpc_notification {
#define X(constant, name) RPC_NOTIFICATION_##constant,
    RPC_NOTIFICATION_LIST(X)
#undef X
        RPC_NOTIFICATION_COUNT,
};

const char *rpc_method_name(enum rpc_method method);
const char *rpc_notification_name(enum rpc_notification notification);

/* STATUS_NOT_FOUND (answer it with RPC_CODE_METHOD_NOT_FOUND) with a "did you mean". */
MUST_USE enum status rpc_method_find(enum rpc_method *out, const char *name, struct error *err);
/* False for a notification of a newer version, which is to be ignored. */
MUST_USE bool rpc_notification_find(enum rpc_notification *out, const char *name);

/* The params of every method as openrpc.json has them. Read-only once made. */
struct rpc_catalog;

MUST_USE enum status rpc_catalog_create(struct rpc_catalog **out, struct error *err);
void rpc_catalog_destroy(struct rpc_catalog *catalog);

/* Checks params and fills in defaults, in place; errors name the field ("limit: 0 is below …"). */
MUST_USE enum status rpc_catalog_check_params(const struct rpc_catalog *catalog,
                                              enum rpc_method method, json_t *params,
                                              struct error *err);
/* Whether result is what openrpc.json promises; for tests. */
MUST_USE enum status rpc_catalog_check_result(const struct rpc_catalog *catalog,
                                              enum rpc_method method, json_t *result,
                                              struct error *err);
MUST_USE enum status rpc_catalog_check_notification(const struct rpc_catalog *catalog,
                                                    enum rpc_notification notification,
                                                    json_t *params, struct error *err);
