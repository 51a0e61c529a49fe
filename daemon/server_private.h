/*
 * server_private — what server.c (connections in, requests) and connection.c (answers out) share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "daemon/server.h"
#include "proto/base/bytes.h"
#include "proto/base/limits.h"
#include "proto/rpc/framing.h"

/* Bytes read from a socket at once; all connections share the buffer, which is used up before
 * the next read. */
#define SERVER_READ_BYTES (64 * KIB)
/* A connection with more than this to say listens no longer, and gets no more events for now. */
#define CONNECTION_BUSY_BYTES MIB

struct connection {
    struct server *server;
    struct connection *next;
    uv_pipe_t pipe;
    struct rpc_peer peer;
    struct rpc_decoder decoder;
    int holds; /* deferred requests */
    bool is_greeted;
    bool is_reading;
    bool is_ending;  /* to be closed when all is written */
    bool is_closing; /* uv_close was called */
    bool is_closed;  /* its callback has run */

    struct bytes held;    /* said in this iteration */
    json_t *held_ids;     /* requests answered by held; array */
    struct bytes pending; /* may go */
    struct bytes writing; /* is going */
    uv_write_t write;
    bool is_writing;

    bool is_watching;
    int64_t watched_job; /* 0: all */
    int64_t next_seq;

    int64_t worker_job; /* 0: not a worker */
    int worker_attempt;
};

struct server {
    uv_loop_t *loop;
    uv_pipe_t pipe;
    struct rpc_listener listener;
    struct queue *queue;
    const struct rpc_catalog *catalog;
    struct server_config config;
    struct connection *connections;
    size_t connection_count;
    bool is_stopped;
    char read_buffer[SERVER_READ_BYTES];
};

/* ---- connection.c ---- */
/* Closes it now; what it still had to say is lost. */
void connection_close(struct connection *connection);
/* Says why, then closes when that is written. Nothing more is read. */
void connection_end(struct connection *connection, const struct error *why, int code);
/* Holds an error answer. code 0: that of the status. */
void connection_refuse(struct connection *connection, const json_t *id, int code,
                       const struct error *why);
/* ---- server.c ---- */
void connection_read_start(struct connection *connection);
