#include "daemon/server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/server_private.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "proto/rpc/message.h"

#define LISTEN_BACKLOG 128

/* ---- Requests ---- */

static enum status check_greeting(const struct connection *connection, enum rpc_method method,
                                  struct error *err)
{
    if (connection->is_greeted || method == RPC_METHOD_HELLO) {
        return STATUS_OK;
    }
    (void)error_set(err, STATUS_CONFLICT, "say hello before %s", rpc_method_name(method));
    error_set_hint(err, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"hello\", \"params\": "
                        "{\"protocol\": 1, \"program\": \"NAME\"}}");
    return STATUS_CONFLICT;
}

static void dispatch(struct connection *connection, const struct rpc_message *message)
{
    struct server *server = connection->server;
    struct request request = {
        .connection = connection, .id = message->id, .params = message->params};
    enum rpc_method method = RPC_METHOD_HELLO;
    json_t *result = NULL;
    bool is_deferred = false;
    struct error err;

    enum status status = rpc_method_find(&method, message->method, &err);
    if (status) {
        if (message->id) {
            connection_refuse(connection, message->id, RPC_CODE_METHOD_NOT_FOUND, &err);
        }
        return;
    }
    status = check_greeting(connection, method, &err);
    if (status == STATUS_OK) {
        status = rpc_catalog_check_params(server->catalog, method, message->params, &err);
    }
    if (status == STATUS_OK) {
        status = server->config.handlers[method](server->config.context, &request, &result,
                                                 &is_deferred, &err);
    }
    if (status == STATUS_OK && is_deferred) {
        return;
    }
    if (status && !message->id) {
        log_debug("%s of process %d: %s", message->method, (int)connection->peer.pid, err.message);
    }
    connection_answer(connection, message->id, result, status, &err);
    json_decref(result);
}

static void take_line(struct connection *connection, const char *line, size_t size)
{
    struct rpc_message message = {0};
    struct error err;

    if (rpc_message_parse(&message, line, size, &err) != STATUS_OK) {
        connection_refuse(connection, message.id, message.code, &err);
    } else if (message.type == RPC_MESSAGE_REQUEST || message.type == RPC_MESSAGE_NOTIFICATION) {
        dispatch(connection, &message);
    } /* we ask nothing, so an answer answers nothing */
    rpc_message_deinit(&message);
}

static void take_bytes(struct connection *connection, const char *data, size_t size)
{
    struct error err;
    const char *line = NULL;
    size_t line_bytes = 0;

    enum status status = rpc_decoder_feed(&connection->decoder, data, size, &err);
    while (!connection_is_closing(connection) &&
           rpc_decoder_next(&connection->decoder, &line, &line_bytes)) {
        take_line(connection, line, line_bytes);
    }
    if (status) {
        connection_end(connection, &err, 0);
    }
}

/* ---- Connections ---- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct connection *connection = handle->data;

    (void)suggested;
    *out = uv_buf_init(connection->server->read_buffer, SERVER_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;

    if (count < 0) {
        connection_close(connection);
        return;
    }
    take_bytes(connection, buffer->base, (size_t)count);
    if (!connection_is_closing(connection) &&
        connection->held.size + connection->pending.size > CONNECTION_BUSY_BYTES) {
        (void)uv_read_stop(stream); /* until it has read what we said */
        connection->is_reading = false;
    }
}

void connection_read_start(struct connection *connection)
{
    if (uv_read_start((uv_stream_t *)&connection->pipe, on_allocate, on_read) < 0) {
        connection_close(connection);
        return;
    }
    connection->is_reading = true;
}

/* Only the daemon's own user, and root, may speak: the socket's mode says the same, but modes can
 * be changed. */
static enum status check_peer(struct connection *connection, struct error *err)
{
    uv_os_fd_t fd = -1;

    if (uv_fileno((uv_handle_t *)&connection->pipe, &fd) < 0) {
        return error_set(err, STATUS_IO, "connection without a descriptor");
    }
    enum status status = rpc_peer_of(&connection->peer, fd, err);
    if (status == STATUS_OK && connection->peer.uid != geteuid() && connection->peer.uid != 0) {
        status = error_set(err, STATUS_PERMISSION, "this daemon belongs to uid %lld, not to %lld",
                           (long long)geteuid(), (long long)connection->peer.uid);
    }
    return status;
}

static void accept_one(struct server *server)
{
    struct error err;
    struct connection *connection = sys_calloc(1, sizeof *connection);

    if (!connection) {
        return; /* the next connection tries again */
    }
    connection->server = server;
    connection->next = server->connections;
    server->connections = connection;
    server->connection_count++;
    (void)uv_pipe_init(server->loop, &connection->pipe, 0);
    connection->pipe.data = connection;
    if (uv_accept((uv_stream_t *)&server->pipe, (uv_stream_t *)&connection->pipe) < 0) {
        connection_close(connection);
        return;
    }
    enum status status = check_peer(connection, &err);
    if (status == STATUS_OK && server->connection_count > RPC_CLIENTS_MAX) {
        status = error_set(&err, STATUS_LIMIT, "this daemon serves at most %d connections",
                           RPC_CLIENTS_MAX);
    }
    if (status) {
        connection_end(connection, &err, 0);
        return;
    }
    connection_read_start(connection);
}

static void on_connection(uv_stream_t *stream, int uv_status)
{
    if (uv_status < 0) {
        log_warn("accept: %s", uv_strerror(uv_status));
        return;
    }
    accept_one(stream->data);
}

enum status server_create(struct server **out, uv_loop_t *loop, const char *path,
                          struct queue *queue, const struct rpc_catalog *catalog,
                          const struct server_config *config, struct error *err)
{
    struct server *server = sys_calloc(1, sizeof *server);

    if (!server) {
        return error_set(err, STATUS_NO_MEMORY, "server: out of memory");
    }
    server->loop = loop;
    server->queue = queue;
    server->catalog = catalog;
    server->config = *config;
    server->listener = RPC_LISTENER_EMPTY;
    enum status status = rpc_listener_open(&server->listener, path, err);
    if (status) {
        free(server);
        return status;
    }
    (void)uv_pipe_init(loop, &server->pipe, 0);
    server->pipe.data = server;
    int code = uv_pipe_open(&server->pipe, server->listener.fd);
    if (code == 0) {
        server->listener.fd = -1; /* the handle closes it */
        code = uv_listen((uv_stream_t *)&server->pipe, LISTEN_BACKLOG, on_connection);
    }
    *out = server;
    return code == 0 ? STATUS_OK : error_from_errno(err, -code, "listen at '%s'", path);
}

void server_stop(struct server *server)
{
    struct connection *next = NULL;

    if (server->is_stopped) {
        return;
    }
    server->is_stopped = true;
    for (struct connection *connection = server->connections; connection; connection = next) {
        next = connection->next;
        connection_close(connection);
    }
    uv_close((uv_handle_t *)&server->pipe, NULL);
}

void server_destroy(struct server *server)
{
    if (server) {
        assert(!server->connections);
        rpc_listener_close(&server->listener);
        free(server);
    }
}
