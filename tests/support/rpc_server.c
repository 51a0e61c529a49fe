#include "tests/support/rpc_server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/json.h"
#include "tests/support/test.h"

/* Assertions of cmocka belong to the main thread; here a failure ends the process. */
#define MUST(condition)                                          \
 do {                                                            \
  if (!(condition)) {                                            \
   (void)fprintf(stderr, "rpc_server: %s failed\n", #condition); \
   abort();                                                      \
  }                                                              \
 } while (0)

static void *run(void *context)
{
    struct rpc_server *server = context;
    for (int i = 0; i < server->connections; i++) {
        struct pollfd poll_fd = {.fd = server->listener.fd, .events = POLLIN};
        MUST(poll(&poll_fd, 1, 20000) == 1);
        server->fd = accept(server->listener.fd, NULL, NULL);
        MUST(server->fd >= 0);
        server->serve(server);
        (void)close(server->fd);
        rpc_decoder_deinit(&server->decoder);
    }
    return NULL;
}

void rpc_server_start(struct rpc_server *server, const char *path, rpc_serve_fn *serve,
                      int connections)
{
    struct error err = {0};
    *server = (struct rpc_server){.serve = serve, .connections = connections, .fd = -1};
    assert_ok(rpc_listener_open(&server->listener, path, &err), &err);
    assert_int_equal(pthread_create(&server->thread, NULL, run, server), 0);
}

void rpc_server_stop(struct rpc_server *server)
{
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    rpc_listener_close(&server->listener);
}

json_t *rpc_server_receive(struct rpc_server *server)
{
    struct error err = {0};
    const char *line = NULL;
    size_t line_size = 0;
    while (!rpc_decoder_next(&server->decoder, &line, &line_size)) {
        char data[4096];
        const ssize_t size = recv(server->fd, data, sizeof data, 0);
        if (size <= 0) {
            return NULL;
        }
        MUST(rpc_decoder_feed(&server->decoder, data, (size_t)size, &err) == STATUS_OK);
    }
    json_t *message = NULL;
    MUST(json_parse(&message, line, line_size, "request", &err) == STATUS_OK);
    return message;
}

static bool send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

bool rpc_server_send(struct rpc_server *server, const char *text)
{
    return send_all(server->fd, text, strlen(text)) && send_all(server->fd, "\n", 1);
}

void rpc_server_answer(struct rpc_server *server, json_t *message, json_t *result)
{
    json_t *answer = json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id",
                               json_object_get(message, "id"), "result", result);
    char *text = json_dumps(answer, JSON_COMPACT);
    MUST(text);
    (void)rpc_server_send(server, text);
    free(text);
    json_decref(answer);
    json_decref(message);
}

void rpc_server_greet(struct rpc_server *server)
{
    json_t *hello = rpc_server_receive(server);
    if (!hello) {
        return;
    }
    const json_t *params = json_object_get(hello, "params");
    MUST(strcmp(json_get_text(hello, "method", ""), "hello") == 0);
    MUST(json_get_int(params, "protocol", 0) == 1);
    MUST(strcmp(json_get_text(params, "program", ""), "tester") == 0);
    rpc_server_answer(server, hello,
                      json_pack("{s:i, s:s, s:s, s:i}", "protocol", 1, "daemon", "1.2.3",
                                "state_dir", "/s", "pid", 5));
}
