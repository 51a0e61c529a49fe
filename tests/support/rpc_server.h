/*
 * rpc_server — the other end of a connection, for tests of rpc/client and rpc/link: a thread that
 * accepts connections one after the other and runs what the test hands it on each.
 */
#pragma once

#include <jansson.h>
#include <pthread.h>

#include "proto/rpc/framing.h"
#include "proto/rpc/socket.h"

struct rpc_server;

/* Serves one connection; returns when it is done with it. */
typedef void rpc_serve_fn(struct rpc_server *server);

struct rpc_server {
    struct rpc_listener listener;
    pthread_t thread;
    rpc_serve_fn *serve;
    int connections; /* how many to serve before the thread ends */
    int fd;          /* of the current connection, blocking */
    struct rpc_decoder decoder;
};

void rpc_server_start(struct rpc_server *server, const char *path, rpc_serve_fn *serve,
                      int connections);
/* Waits for the thread. */
void rpc_server_stop(struct rpc_server *server);

/* The next message as JSON, or NULL when the other end has closed. The caller owns it. */
json_t *rpc_server_receive(struct rpc_server *server);
/* Sends text and a newline. False when the other end has closed. */
bool rpc_server_send(struct rpc_server *server, const char *text);
/* Answers a message with {"jsonrpc", "id": its id, "result"}; takes over result and message. */
void rpc_server_answer(struct rpc_server *server, json_t *message, json_t *result);
/* Receives and answers hello. */
void rpc_server_greet(struct rpc_server *server);
