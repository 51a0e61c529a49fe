/*
 * service_private — what the request handlers see of the service.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "daemon/metrics.h"
#include "daemon/queue.h"
#include "daemon/server.h"
#include "daemon/service.h"
#include "daemon/supervisor.h"
#include "proto/base/limits.h"

#define SERVICE_SIGNALS 3
/* A page of events, metrics or jobs ends before its line becomes too long for the protocol, however
 * few rows that are; the quarter leaves room for a last large row. */
#define SERVICE_PAGE_BYTES_MAX (RPC_LINE_BYTES_MAX / 4)

struct service {
    struct service_config config;
    uv_loop_t loop;
    bool has_loop;
    int lock_fd; /* of the state folder; -1: none */
    struct queue *queue;
    struct metrics *metrics;
    struct rpc_catalog *catalog;
    struct supervisor *supervisor;
    struct server *server;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_signal_t signals[SERVICE_SIGNALS];
    int64_t started_ns;
    bool is_stopping;    /* asked to end, after this iteration's replies */
    bool is_closed;      /* handles are being closed */
    bool has_complained; /* about a commit that failed; once per trouble */
};

/* The handlers of all methods, by enum rpc_method; their context is the service. */
extern server_handler_fn *const service_handlers[RPC_METHOD_COUNT];

server_handler_fn handle_hello;
server_handler_fn handle_job_submit;
server_handler_fn handle_job_list;
server_handler_fn handle_job_get;
server_handler_fn handle_job_cancel;
server_handler_fn handle_job_resume;
server_handler_fn handle_job_events;
server_handler_fn handle_job_metrics;
server_handler_fn handle_job_logs;
server_handler_fn handle_job_watch;
server_handler_fn handle_job_unwatch;
server_handler_fn handle_worker_attach;
server_handler_fn handle_worker_report;
server_handler_fn handle_daemon_status;
server_handler_fn handle_daemon_shutdown;

/* The job that params.job names, by id or name. */
MUST_USE enum status service_find_job(struct service *service, const json_t *params,
                                      struct job *out, struct error *err);
