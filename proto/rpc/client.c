#include "proto/rpc/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/rpc/framing.h"
#include "proto/rpc/message.h"
#include "proto/rpc/socket.h"

#define READ_BYTES ((size_t)64 * 1024)

struct rpc_client {
    int fd;
    bool is_broken;
    int64_t last_id;
    struct rpc_decoder decoder;
    json_t *hello;
    json_t *waiting; /* notifications not yet taken: [{"method", "params"}, …] */
    json_t *current; /* the one taken last, whose name is lent out */
};

/* ---- Waiting ---- */

/* When a call gives up; negative: never. */
static int64_t deadline_in(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : sys_monotonic_ns() / 1000000 + timeout_ms;
}

static int remaining_ms(int64_t deadline)
{
    if (deadline < 0) {
        return -1;
    }
    const int64_t left = deadline - sys_monotonic_ns() / 1000000;
    return left > 0 ? (int)left : 0;
}

static enum status broken(struct rpc_client *client, struct error *err)
{
    client->is_broken = true;
    enum status status = error_set(err, STATUS_IO, "the daemon closed the connection");
    error_set_hint(err, "'remora status' says whether it runs");
    return status;
}

static enum status wait_for(struct rpc_client *client, short events, int64_t deadline,
                            struct error *err)
{
    if (client->is_broken) {
        return broken(client, err);
    }
    struct pollfd poll_fd = {.fd = client->fd, .events = events};
    for (;;) {
        const int count = poll(&poll_fd, 1, remaining_ms(deadline));
        if (count > 0) {
            return STATUS_OK;
        }
        if (count == 0) {
            return error_set(err, STATUS_TIMEOUT, "the daemon did not answer in time");
        }
        if (errno != EINTR) {
            return error_from_errno(err, errno, "connection to the daemon");
        }
    }
}

/* ---- Sending and receiving ---- */

static enum status send_all(struct rpc_client *client, const struct bytes *line, int64_t deadline,
                            struct error *err)
{
    size_t sent = 0;
    while (sent < line->size) {
        const ssize_t size =
            send(client->fd, line->data + sent, line->size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (size >= 0) {
            sent += (size_t)size;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return broken(client, err);
        }
        enum status status = wait_for(client, POLLOUT, deadline, err);
        if (status) {
            client->is_broken = client->is_broken || sent > 0; /* half a line cannot be mended */
            return status;
        }
    }
    return STATUS_OK;
}

/* Takes what has arrived; waits for at least something. */
static enum status receive_some(struct rpc_client *client, int64_t deadline, struct error *err)
{
    char data[READ_BYTES];
    enum status status = wait_for(client, POLLIN, deadline, err);
    if (status) {
        return status;
    }
    const ssize_t size = recv(client->fd, data, sizeof data, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return STATUS_OK;
    }
    if (size <= 0) {
        return broken(client, err);
    }
    status = rpc_decoder_feed(&client->decoder, data, (size_t)size, err);
    client->is_broken = client->is_broken || status;
    return status;
}

/* The next message, waiting for it. */
static enum status receive_message(struct rpc_client *client, int64_t deadline,
                                   struct rpc_message *out, struct error *err)
{
    const char *line = NULL;
    size_t size = 0;
    while (!rpc_decoder_next(&client->decoder, &line, &size)) {
        enum status status = receive_some(client, deadline, err);
        if (status) {
            return status;
        }
    }
    enum status status = rpc_message_parse(out, line, size, err);
    if (status) {
        rpc_message_deinit(out);
        client->is_broken = true;
        return error_wrap(err, "answer of the daemon");
    }
    return STATUS_OK;
}

static enum status keep_notification(struct rpc_client *client, const struct rpc_message *message,
                                     struct error *err)
{
    json_t *kept = json_pack("{s:s, s:O}", "method", message->method, "params", message->params);
    if (!kept || json_array_append_new(client->waiting, kept) != 0) {
        return error_set(err, STATUS_NO_MEMORY, "notification: out of memory");
    }
    return STATUS_OK;
}

/* Whether message answers request id; an id of null is about a line that could not be read. */
static bool is_answer_to(const struct rpc_message *message, int64_t id)
{
    return json_is_null(message->id) ||
           (json_is_integer(message->id) && json_integer_value(message->id) == id);
}

/* The result of an answer, or its error. */
static enum status take_answer(const struct rpc_message *message, json_t **result,
                               struct error *err)
{
    if (message->type == RPC_MESSAGE_ERROR) {
        if (err) {
            *err = message->error;
        }
        return message->error.status;
    }
    *result = json_incref(message->result);
    return STATUS_OK;
}

static enum status await_answer(struct rpc_client *client, int64_t id, int64_t deadline,
                                json_t **result, struct error *err)
{
    for (;;) {
        struct rpc_message message = {0};
        bool is_answered = false;
        enum status status = receive_message(client, deadline, &message, err);
        if (status) {
            return status;
        }
        switch (message.type) {
        case RPC_MESSAGE_REQUEST: /* the daemon asks nothing of a client */
            break;
        case RPC_MESSAGE_NOTIFICATION:
            status = keep_notification(client, &message, err);
            break;
        case RPC_MESSAGE_RESULT:
        case RPC_MESSAGE_ERROR:
            is_answered = is_answer_to(&message, id); /* others came after their call gave up */
            status = is_answered ? take_answer(&message, result, err) : STATUS_OK;
            break;
        }
        rpc_message_deinit(&message);
        if (status || is_answered) {
            return status;
        }
    }
}

/* ---- The client ---- */

enum status rpc_client_call(struct rpc_client *client, enum rpc_method method, const json_t *params,
                            int timeout_ms, json_t **result, struct error *err)
{
    const int64_t deadline = deadline_in(timeout_ms);
    struct bytes line = {0};
    if (client->is_broken) {
        return broken(client, err);
    }
    const int64_t id = ++client->last_id;
    enum status status = rpc_write_request(&line, id, rpc_method_name(method), params, err);
    if (!status) {
        status = send_all(client, &line, deadline, err);
    }
    bytes_deinit(&line);
    return status ? status : await_answer(client, id, deadline, result, err);
}

enum status rpc_client_next(struct rpc_client *client, int timeout_ms, const char **name,
                            json_t **params, struct error *err)
{
    const int64_t deadline = deadline_in(timeout_ms);
    while (json_array_size(client->waiting) == 0) {
        struct rpc_message message = {0};
        enum status status = receive_message(client, deadline, &message, err);
        if (!status && message.type == RPC_MESSAGE_NOTIFICATION) {
            status = keep_notification(client, &message, err);
        }
        rpc_message_deinit(&message);
        if (status) {
            return status;
        }
    }
    json_decref(client->current);
    client->current = json_incref(json_array_get(client->waiting, 0));
    (void)json_array_remove(client->waiting, 0);
    *name = json_get_text(client->current, "method", "");
    *params = json_incref(json_object_get(client->current, "params"));
    return STATUS_OK;
}

static enum status say_hello(struct rpc_client *client, const char *program, int timeout_ms,
                             struct error *err)
{
    json_t *params = json_pack("{s:i, s:s}", "protocol", RPC_PROTOCOL_VERSION, "program", program);
    if (!params) {
        return error_set(err, STATUS_NO_MEMORY, "hello: out of memory");
    }
    enum status status =
        rpc_client_call(client, RPC_METHOD_HELLO, params, timeout_ms, &client->hello, err);
    json_decref(params);
    if (status) {
        return status;
    }
    const int64_t protocol = json_get_int(client->hello, "protocol", 0);
    if (protocol == RPC_PROTOCOL_VERSION) {
        return STATUS_OK;
    }
    status = error_set(err, STATUS_UNSUPPORTED, "the daemon speaks protocol %lld, not %d",
                       (long long)protocol, RPC_PROTOCOL_VERSION);
    error_set_hint(err, "restart it with the version of this program");
    return status;
}

enum status rpc_client_open(struct rpc_client **out, const char *socket_path, const char *program,
                            int timeout_ms, struct error *err)
{
    struct rpc_client *client = sys_calloc(1, sizeof *client);
    if (!client) {
        return error_set(err, STATUS_NO_MEMORY, "connection: out of memory");
    }
    client->fd = -1;
    client->waiting = json_array();
    enum status status = client->waiting
                             ? rpc_connect(&client->fd, socket_path, err)
                             : error_set(err, STATUS_NO_MEMORY, "connection: out of memory");
    if (!status) {
        status = say_hello(client, program, timeout_ms, err);
    }
    if (status) {
        rpc_client_close(client);
        return status;
    }
    *out = client;
    return STATUS_OK;
}

void rpc_client_close(struct rpc_client *client)
{
    if (!client) {
        return;
    }
    if (client->fd >= 0) {
        (void)close(client->fd);
    }
    rpc_decoder_deinit(&client->decoder);
    json_decref(client->hello);
    json_decref(client->waiting);
    json_decref(client->current);
    free(client);
}

bool rpc_client_is_broken(const struct rpc_client *client)
{
    return client->is_broken;
}

const char *rpc_client_daemon_version(const struct rpc_client *client)
{
    return json_get_text(client->hello, "daemon", "");
}

const json_t *rpc_client_hello(const struct rpc_client *client)
{
    return client->hello;
}

int rpc_client_fd(const struct rpc_client *client)
{
    return client->fd;
}
