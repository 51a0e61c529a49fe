#include "proto/rpc/link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/rpc/framing.h"
#include "proto/rpc/socket.h"

#define READ_BYTES ((size_t)16 * 1024)
/* Read at one poll, at most: a poll's time is bounded whatever the daemon sends. */
#define READS_MAX 16
/* Received and not yet taken; more stays with the kernel. */
#define RECEIVED_BYTES_MAX (2 * RPC_LINE_BYTES_MAX)

struct rpc_link {
    char socket_path[PATH_BYTES_MAX];
    char program[64];
    enum rpc_link_state state;
    int fd;
    bool is_closed; /* by the daemon; what it had sent before is still to be taken */
    bool has_tried;
    int64_t tried_ms; /* when the last connection was tried */
    int64_t last_id;
    int64_t hello_id;
    uint64_t connection_count;
    struct bytes outgoing;
    size_t sent; /* of outgoing */
    struct rpc_decoder decoder;
    struct error last_error;
};

enum status rpc_link_create(struct rpc_link **out, const char *socket_path, const char *program,
                            struct error *err)
{
    struct rpc_link *link = sys_calloc(1, sizeof *link);
    if (!link) {
        return error_set(err, STATUS_NO_MEMORY, "link: out of memory");
    }
    enum status status = rpc_socket_path_check(socket_path, err);
    if (status || strlen(program) >= sizeof link->program) {
        free(link);
        return status ? status
                      : error_set(err, STATUS_LIMIT, "program name '%s' is too long", program);
    }
    memcpy(link->socket_path, socket_path, strlen(socket_path) + 1);
    memcpy(link->program, program, strlen(program) + 1);
    link->fd = -1;
    *out = link;
    return STATUS_OK;
}

/* Back to DOWN; nothing of the old connection is left. */
static void take_down(struct rpc_link *link)
{
    if (link->fd >= 0) {
        (void)close(link->fd);
    }
    link->fd = -1;
    link->is_closed = false;
    link->state = RPC_LINK_DOWN;
    link->sent = 0;
    bytes_deinit(&link->outgoing);
    link->outgoing = (struct bytes){0};
    rpc_decoder_deinit(&link->decoder);
}

void rpc_link_destroy(struct rpc_link *link)
{
    if (!link) {
        return;
    }
    take_down(link);
    free(link);
}

/* ---- Bytes ---- */

static void write_some(struct rpc_link *link)
{
    while (link->sent < link->outgoing.size) {
        const ssize_t size = send(link->fd, link->outgoing.data + link->sent,
                                  link->outgoing.size - link->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                (void)error_from_errno(&link->last_error, errno, "sending to the daemon");
                take_down(link);
            }
            return;
        }
        link->sent += (size_t)size;
    }
    bytes_clear(&link->outgoing);
    link->sent = 0;
}

/* Lines that nobody has taken yet. */
static size_t received_bytes(const struct rpc_link *link)
{
    return link->decoder.buffer.size - link->decoder.line_start;
}

static void read_some(struct rpc_link *link)
{
    for (int i = 0; i < READS_MAX && received_bytes(link) < RECEIVED_BYTES_MAX; i++) {
        char data[READ_BYTES];
        const ssize_t size = recv(link->fd, data, sizeof data, MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (size <= 0) {
            (void)error_set(&link->last_error, STATUS_IO, "the daemon closed the connection");
            link->is_closed = true;
            return;
        }
        if (rpc_decoder_feed(&link->decoder, data, (size_t)size, &link->last_error)) {
            take_down(link);
            return;
        }
    }
}

/* ---- States ---- */

static void start_greeting(struct rpc_link *link)
{
    link->state = RPC_LINK_GREETING;
    link->hello_id = ++link->last_id;
    json_t *params =
        json_pack("{s:i, s:s}", "protocol", RPC_PROTOCOL_VERSION, "program", link->program);
    enum status status =
        rpc_write_request(&link->outgoing, link->hello_id, rpc_method_name(RPC_METHOD_HELLO),
                          params, &link->last_error);
    json_decref(params);
    if (status) {
        take_down(link);
        return;
    }
    write_some(link);
}

static void try_connect(struct rpc_link *link, int64_t now_ms)
{
    if (link->has_tried && now_ms - link->tried_ms < RPC_LINK_RETRY_MS) {
        return;
    }
    link->has_tried = true;
    link->tried_ms = now_ms;
    if (rpc_connect(&link->fd, link->socket_path, &link->last_error) == STATUS_OK) {
        start_greeting(link);
    }
}

/* What an answer to hello says about the daemon. */
static enum status check_hello(const struct rpc_message *message, struct error *err)
{
    if (message->type == RPC_MESSAGE_ERROR) {
        *err = message->error;
        return err->status;
    }
    const int64_t protocol = json_get_int(message->result, "protocol", 0);
    if (protocol != RPC_PROTOCOL_VERSION) {
        return error_set(err, STATUS_UNSUPPORTED, "the daemon speaks protocol %lld, not %d",
                         (long long)protocol, RPC_PROTOCOL_VERSION);
    }
    return STATUS_OK;
}

/* The first message must answer hello. */
static void finish_greeting(struct rpc_link *link)
{
    struct rpc_message message = {0};
    if (!rpc_link_receive(link, &message)) {
        return;
    }
    const bool is_answer = message.type == RPC_MESSAGE_RESULT || message.type == RPC_MESSAGE_ERROR;
    enum status status = is_answer ? check_hello(&message, &link->last_error)
                                   : error_set(&link->last_error, STATUS_IO,
                                               "the daemon did not answer hello first");
    rpc_message_deinit(&message);
    if (status) {
        take_down(link);
        return;
    }
    link->state = RPC_LINK_UP;
    link->connection_count++;
}

enum rpc_link_state rpc_link_poll(struct rpc_link *link, int64_t now_ms)
{
    if (link->is_closed) { /* noticed at the poll before: what had come has been taken since */
        take_down(link);
        return link->state;
    }
    if (link->state == RPC_LINK_DOWN) {
        try_connect(link, now_ms);
    }
    if (link->state != RPC_LINK_DOWN) {
        write_some(link);
    }
    if (link->state != RPC_LINK_DOWN) {
        read_some(link);
    }
    if (link->state == RPC_LINK_GREETING) {
        finish_greeting(link);
    }
    return link->state;
}

uint64_t rpc_link_connection_count(const struct rpc_link *link)
{
    return link->connection_count;
}

const struct error *rpc_link_last_error(const struct rpc_link *link)
{
    return &link->last_error;
}

/* ---- Messages ---- */

size_t rpc_link_backlog_bytes(const struct rpc_link *link)
{
    return link->outgoing.size - link->sent;
}

/* Queues a line that is already written, if there is room for it. */
static bool queue_line(struct rpc_link *link, const struct bytes *line)
{
    if (rpc_link_backlog_bytes(link) + line->size > RPC_LINK_BACKLOG_BYTES_MAX) {
        return false;
    }
    if (link->sent > link->outgoing.size / 2) { /* seldom, so that moving the rest costs little */
        bytes_consume(&link->outgoing, link->sent);
        link->sent = 0;
    }
    if (!bytes_reserve(&link->outgoing, line->size)) {
        (void)error_set(&link->last_error, STATUS_NO_MEMORY, "link: out of memory");
        take_down(link);
        return false;
    }
    bytes_append(&link->outgoing, line->data, line->size);
    write_some(link);
    return true;
}

bool rpc_link_notify(struct rpc_link *link, const char *method, const json_t *params)
{
    if (link->state != RPC_LINK_UP) {
        return false;
    }
    struct bytes line = {0};
    const bool is_queued =
        rpc_write_notification(&line, method, params, &link->last_error) == STATUS_OK &&
        queue_line(link, &line);
    bytes_deinit(&line);
    return is_queued;
}

bool rpc_link_request(struct rpc_link *link, enum rpc_method method, const json_t *params,
                      int64_t *id)
{
    if (link->state != RPC_LINK_UP) {
        return false;
    }
    struct bytes line = {0};
    *id = ++link->last_id;
    const bool is_queued = rpc_write_request(&line, *id, rpc_method_name(method), params,
                                             &link->last_error) == STATUS_OK &&
                           queue_line(link, &line);
    bytes_deinit(&line);
    return is_queued;
}

bool rpc_link_receive(struct rpc_link *link, struct rpc_message *out)
{
    const char *line = NULL;
    size_t size = 0;
    if (link->state == RPC_LINK_DOWN || !rpc_decoder_next(&link->decoder, &line, &size)) {
        return false;
    }
    if (rpc_message_parse(out, line, size, &link->last_error)) {
        rpc_message_deinit(out);
        take_down(link);
        return false;
    }
    return true;
}
