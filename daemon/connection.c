#include <assert.h>
#include <stdlib.h>

#include "daemon/server_private.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "proto/rpc/message.h"

/* Events fed to a watcher at once. */
#define EVENTS_PER_TURN 256

static_assert(CONNECTION_BUSY_BYTES < RPC_BACKLOG_BYTES_MAX, "we stop reading long before we drop");

/* ---- The end of a connection ---- */

static void free_connection(struct connection *connection)
{
    struct connection **link = &connection->server->connections;

    while (*link != connection) {
        link = &(*link)->next;
    }
    *link = connection->next;
    connection->server->connection_count--;
    rpc_decoder_deinit(&connection->decoder);
    bytes_deinit(&connection->held);
    bytes_deinit(&connection->pending);
    bytes_deinit(&connection->writing);
    json_decref(connection->held_ids);
    free(connection);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    connection->is_closed = true;
    if (connection->holds == 0) {
        free_connection(connection);
    }
}

void connection_close(struct connection *connection)
{
    struct server *server = connection->server;

    if (connection->is_closing) {
        return;
    }
    server->config.on_closed(server->config.context, connection);
    connection->is_watching = false;
    connection->is_closing = true;
    uv_close((uv_handle_t *)&connection->pipe, on_closed);
}

void connection_hold(struct connection *connection)
{
    connection->holds++;
}

void connection_drop(struct connection *connection)
{
    assert(connection->holds > 0);
    connection->holds--;
    if (connection->holds == 0 && connection->is_closed) {
        free_connection(connection);
    }
}

bool connection_is_closing(const struct connection *connection)
{
    return connection->is_closing || connection->is_ending;
}

void connection_end(struct connection *connection, const struct error *why, int code)
{
    if (connection_is_closing(connection)) {
        return;
    }
    log_info("connection of process %d ends: %s", (int)connection->peer.pid, why->message);
    connection_refuse(connection, NULL, code, why);
    connection->is_watching = false;
    connection->is_ending = true;
    (void)uv_read_stop((uv_stream_t *)&connection->pipe);
    connection->is_reading = false;
}

/* ---- What is said ---- */

/* Bytes that wait for this connection to read them. */
static size_t backlog(const struct connection *connection)
{
    return connection->held.size + connection->pending.size + connection->writing.size;
}

/* A connection whose answer cannot even be written down is of no use any more. */
static void check_written(struct connection *connection, enum status status,
                          const struct error *err)
{
    if (status) {
        log_error(err);
        connection_close(connection);
    }
}

/* Remembers that a request was answered in this iteration, in case that must be taken back. */
static void note_answered(struct connection *connection, const json_t *id)
{
    if (!connection->held_ids) {
        connection->held_ids = json_array();
    }
    (void)json_array_append_new(connection->held_ids, json_deep_copy(id));
}

void connection_refuse(struct connection *connection, const json_t *id, int code,
                       const struct error *why)
{
    struct error err;

    if (connection_is_closing(connection)) {
        return;
    }
    check_written(connection, rpc_write_error(&connection->held, id, code, why, &err), &err);
    if (id) {
        note_answered(connection, id);
    }
}

void connection_answer(struct connection *connection, const json_t *id, const json_t *result,
                       enum status status, const struct error *why)
{
    struct error err;

    if (!id || connection_is_closing(connection)) {
        return;
    }
    if (status == STATUS_OK) {
        status = rpc_write_result(&connection->held, id, result, &err);
        why = &err;
    }
    if (status) {
        connection_refuse(connection, id, 0, why);
    } else {
        note_answered(connection, id);
    }
}

void connection_notify(struct connection *connection, enum rpc_notification notification,
                       const json_t *params)
{
    struct error err;

    if (connection_is_closing(connection)) {
        return;
    }
    check_written(connection,
                  rpc_write_notification(&connection->held, rpc_notification_name(notification),
                                         params, &err),
                  &err);
}

/* ---- Watching ---- */

void connection_watch(struct connection *connection, int64_t job, int64_t from_seq)
{
    connection->is_watching = true;
    connection->watched_job = job;
    connection->next_seq = from_seq;
}

void connection_unwatch(struct connection *connection)
{
    connection->is_watching = false;
}

static enum status feed_event(void *context, const struct event *event, struct error *err)
{
    struct connection *connection = context;
    json_t *params = event_to_json(event);

    if (!params) {
        return error_set(err, STATUS_NO_MEMORY, "event: out of memory");
    }
    connection_notify(connection, RPC_NOTIFICATION_EVENT, params);
    json_decref(params);
    connection->next_seq = event->seq + 1;
    return STATUS_OK;
}

/* Says the next events, up to what a connection should have waiting. */
static void feed(struct connection *connection)
{
    struct queue *queue = connection->server->queue;
    struct error err;

    assert(queue_is_committed(queue)); /* what is rolled back later must never have been said */
    if (!connection->is_watching || connection->next_seq > queue_last_seq(queue) ||
        backlog(connection) > CONNECTION_BUSY_BYTES) {
        return;
    }
    int64_t before = connection->next_seq;
    enum status status = queue_each_event(queue, connection->watched_job, before, EVENTS_PER_TURN,
                                          feed_event, connection, &err);
    if (status) {
        connection_end(connection, &err, 0);
    } else if (connection->next_seq == before) {
        connection->next_seq = queue_last_seq(queue) + 1; /* nothing more about this job */
    }
}

void server_broadcast_progress(struct server *server, int64_t job, const json_t *record)
{
    json_t *params = json_pack("{s:I, s:O}", "job", (json_int_t)job, "record", record);
    struct connection *next = NULL;

    for (struct connection *connection = server->connections; params && connection;
         connection = next) {
        next = connection->next;
        if (!connection->is_watching ||
            (connection->watched_job != 0 && connection->watched_job != job)) {
            continue;
        }
        if (backlog(connection) > RPC_BACKLOG_BYTES_MAX) {
            struct error why;
            (void)error_set(&why, STATUS_LIMIT,
                            "dropped: %zu MiB are waiting for this watcher to read them",
                            backlog(connection) / MIB);
            error_set_hint(&why, "watch again with from_seq %lld", (long long)connection->next_seq);
            connection_end(connection, &why, 0);
            continue;
        }
        connection_notify(connection, RPC_NOTIFICATION_PROGRESS, params);
    }
    json_decref(params);
}

/* ---- Rank 0 ---- */

bool server_control_worker(struct server *server, int64_t job, int attempt, const char *action)
{
    json_t *params = json_pack("{s:s}", "action", action);
    struct connection *next = NULL;
    bool is_told = false;

    for (struct connection *connection = server->connections; params && connection;
         connection = next) {
        next = connection->next;
        if (connection->worker_job == job && connection->worker_attempt == attempt &&
            !connection_is_closing(connection)) {
            connection_notify(connection, RPC_NOTIFICATION_WORKER_CONTROL, params);
            is_told = true;
        }
    }
    json_decref(params);
    return is_told;
}

/* ---- Writing ---- */

static void go_on(struct connection *connection);

/* What is held stays so: the transaction that it belongs to is still open. */
static void on_written(uv_write_t *request, int uv_status)
{
    struct connection *connection = request->data;

    connection->is_writing = false;
    bytes_clear(&connection->writing);
    if (uv_status < 0) {
        connection_close(connection);
        return;
    }
    go_on(connection);
}

/* Hands what is pending to the socket, unless a write is under way, which comes back here. */
static void start_write(struct connection *connection)
{
    if (connection->is_writing || connection->is_closing || connection->pending.size == 0) {
        return;
    }
    struct bytes empty = connection->writing;
    connection->writing = connection->pending;
    connection->pending = empty;
    connection->write.data = connection;
    connection->is_writing = true;
    uv_buf_t buffer = uv_buf_init(connection->writing.data, (unsigned)connection->writing.size);
    if (uv_write(&connection->write, (uv_stream_t *)&connection->pipe, &buffer, 1, on_written) <
        0) {
        connection->is_writing = false;
        connection_close(connection);
    }
}

/* Writes what is pending; ends or listens again when enough of it has gone. */
static void go_on(struct connection *connection)
{
    start_write(connection);
    bool is_idle = backlog(connection) == 0;
    if (connection->is_ending && (is_idle || backlog(connection) > RPC_BACKLOG_BYTES_MAX)) {
        connection_close(connection);
    } else if (!connection->is_reading && !connection->is_ending && !connection->is_closing &&
               backlog(connection) <= CONNECTION_BUSY_BYTES) {
        connection_read_start(connection);
    }
}

/* Moves what is held to the socket. */
static void flush(struct connection *connection)
{
    if (connection->is_closing) {
        return;
    }
    bytes_append(&connection->pending, connection->held.data, connection->held.size);
    bytes_clear(&connection->held);
    if (connection->held_ids) {
        (void)json_array_clear(connection->held_ids);
    }
    if (bytes_failed(&connection->pending)) {
        log_warn("connection of process %d: out of memory", (int)connection->peer.pid);
        connection_close(connection);
        return;
    }
    go_on(connection);
}

void server_release(struct server *server)
{
    struct connection *next = NULL;

    for (struct connection *connection = server->connections; connection; connection = next) {
        next = connection->next;
        feed(connection);
        if (connection->held.size > 0) {
            flush(connection);
        }
    }
}

void server_refuse(struct server *server, const struct error *why)
{
    struct connection *next = NULL;

    for (struct connection *connection = server->connections; connection; connection = next) {
        next = connection->next;
        json_t *ids = connection->held_ids;
        connection->held_ids = NULL;
        bytes_clear(&connection->held);
        for (size_t i = 0; i < json_array_size(ids); i++) {
            connection_refuse(connection, json_array_get(ids, i), 0, why);
        }
        json_decref(ids);
        flush(connection);
    }
}

/* ---- Small questions ---- */

const struct rpc_peer *connection_peer(const struct connection *connection)
{
    return &connection->peer;
}

void connection_greet(struct connection *connection)
{
    connection->is_greeted = true;
}

void connection_set_worker(struct connection *connection, int64_t job, int attempt)
{
    connection->worker_job = job;
    connection->worker_attempt = attempt;
}

bool connection_get_worker(const struct connection *connection, int64_t *job, int *attempt)
{
    *job = connection->worker_job;
    *attempt = connection->worker_attempt;
    return connection->worker_job != 0;
}
