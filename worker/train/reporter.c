#include "worker/train/reporter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "proto/rpc/link.h"
#include "worker/train/records.h"

#define TOKEN_BYTES_MAX 1024
/* A poll sends this much at most, and nothing while the daemon has not taken as much: catching up
 * after an hour must not cost a step more than a fraction of a millisecond. */
#define SEND_BYTES_MAX RECORD_BYTES_MAX

struct reporter {
    struct rpc_link *link;
    const struct records *records;
    char *token;
    int64_t job;
    int attempt;
    uint64_t connection; /* that attach was sent on; 0: none */
    int64_t attach_id;   /* of the answer that is awaited */
    bool is_attached;    /* offset is valid */
    int64_t attach_ms;   /* not before then; monotonic */
    bool is_refused;     /* the daemon does not know us: this attempt reports no more */
    bool has_complained; /* about a daemon that cannot be told anything; once per trouble */
    int64_t offset;      /* of the file, up to which lines were sent */
    struct bytes buffer;
    struct reporter_control control;
};

static enum status read_token(struct reporter *reporter, const char *path, struct error *err)
{
    struct bytes text = {0};

    enum status status = file_read(&text, path, TOKEN_BYTES_MAX, err);
    if (!status) {
        while (text.size > 0 && text.data[text.size - 1] <= ' ') {
            text.data[--text.size] = '\0';
        }
        reporter->token = sys_strdup(text.data == NULL ? "" : text.data);
        if (reporter->token == NULL) {
            status = error_set(err, STATUS_NO_MEMORY, "no memory for the attempt's token");
        }
    }
    bytes_deinit(&text);
    return status;
}

enum status reporter_create(struct reporter **out, const struct reporter_options *options,
                            struct error *err)
{
    struct reporter *reporter = sys_calloc(1, sizeof *reporter);

    if (reporter == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the reporter");
    }
    reporter->records = options->records;
    reporter->job = options->job;
    reporter->attempt = options->attempt;
    enum status status = read_token(reporter, options->token_path, err);
    if (!status) {
        status = rpc_link_create(&reporter->link, options->socket_path, "remora-worker", err);
    }
    if (status) {
        reporter_destroy(reporter);
        return status;
    }
    *out = reporter;
    return STATUS_OK;
}

void reporter_destroy(struct reporter *reporter)
{
    if (reporter == NULL) {
        return;
    }
    rpc_link_destroy(reporter->link);
    bytes_deinit(&reporter->buffer);
    free(reporter->token);
    free(reporter);
}

static void attach(struct reporter *reporter)
{
    json_t *params =
        json_pack("{s:I, s:i, s:s, s:I, s:i, s:i}", "job", (json_int_t)reporter->job, "attempt",
                  reporter->attempt, "token", reporter->token, "records_bytes",
                  (json_int_t)reporter->records->size, "pid", (int)getpid(), "rank", 0);

    reporter->is_attached = false;
    if (params != NULL &&
        rpc_link_request(reporter->link, RPC_METHOD_WORKER_ATTACH, params, &reporter->attach_id)) {
        reporter->connection = rpc_link_connection_count(reporter->link);
    }
    json_decref(params);
}

static void on_control(struct reporter *reporter, const json_t *params)
{
    const char *action = json_get_text(params, "action", "");

    if (strcmp(action, "stop") == 0) {
        reporter->control.stop = true;
    } else if (strcmp(action, "checkpoint") == 0) {
        reporter->control.checkpoint = true;
    } else {
        log_warn("the daemon asks for '%s', which this worker does not know", action);
    }
}

static void on_attached(struct reporter *reporter, const json_t *result)
{
    int64_t offset = json_get_int(result, "offset", 0);
    bool is_ours = 0 <= offset && offset <= reporter->records->size;

    /* A daemon that claims more than there is has another file in mind; let it read ours itself. */
    reporter->offset = is_ours ? offset : reporter->records->size;
    reporter->is_attached = true;
    reporter->has_complained = false;
}

static void complain(struct reporter *reporter, const struct error *why)
{
    if (!reporter->has_complained) {
        reporter->has_complained = true;
        log_warn("the daemon hears nothing of this attempt for now: %s", why->message);
    }
}

/* Another try meets the same attempt with the same token, but perhaps a disk with room on it. */
static void on_refused(struct reporter *reporter, const struct error *why, int64_t now_ms)
{
    reporter->is_refused = why->status == STATUS_PERMISSION || why->status == STATUS_NOT_FOUND;
    if (reporter->is_refused) {
        log_warn("the daemon takes no reports of this attempt: %s", why->message);
        return;
    }
    complain(reporter, why);
    reporter->connection = 0;
    reporter->attach_ms = now_ms + RPC_LINK_RETRY_MS;
}

static void on_message(struct reporter *reporter, const struct rpc_message *message, int64_t now_ms)
{
    bool answers_attach =
        json_is_integer(message->id) && json_integer_value(message->id) == reporter->attach_id;

    switch (message->type) {
    case RPC_MESSAGE_RESULT:
        if (answers_attach) {
            on_attached(reporter, message->result);
        }
        break;
    case RPC_MESSAGE_ERROR:
        if (answers_attach) {
            on_refused(reporter, &message->error, now_ms);
        }
        break;
    case RPC_MESSAGE_NOTIFICATION:
        if (strcmp(message->method, rpc_notification_name(RPC_NOTIFICATION_WORKER_CONTROL)) == 0) {
            on_control(reporter, message->params);
        }
        break;
    case RPC_MESSAGE_REQUEST:
        break;
    }
}

/* {"offset": of the first line, "lines": [text, …]} of what buffer holds. */
static json_t *lines_message(const struct reporter *reporter)
{
    const char *at = reporter->buffer.data;
    const char *end = at + reporter->buffer.size;
    json_t *lines = json_array();

    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (json_array_append_new(lines, json_stringn(at, (size_t)(newline - at))) != 0) {
            json_decref(lines);
            return NULL;
        }
        at = newline + 1;
    }
    return json_pack("{s:I, s:o}", "offset", (json_int_t)reporter->offset, "lines", lines);
}

static void send_lines(struct reporter *reporter)
{
    bytes_clear(&reporter->buffer);
    if (reporter->offset == reporter->records->size ||
        rpc_link_backlog_bytes(reporter->link) > SEND_BYTES_MAX ||
        records_read(reporter->records, reporter->offset, SEND_BYTES_MAX, &reporter->buffer,
                     NULL) != STATUS_OK) {
        return;
    }
    json_t *params = lines_message(reporter);
    if (params != NULL &&
        rpc_link_notify(reporter->link, rpc_method_name(RPC_METHOD_WORKER_REPORT), params)) {
        reporter->offset += (int64_t)reporter->buffer.size;
    }
    json_decref(params);
}

void reporter_poll(struct reporter *reporter)
{
    struct rpc_message message = {0};
    int64_t now_ms = sys_monotonic_ns() / 1000000;

    if (reporter == NULL || reporter->is_refused) {
        return;
    }
    enum rpc_link_state state = rpc_link_poll(reporter->link, now_ms);
    const struct error *last_error = rpc_link_last_error(reporter->link);
    if (state == RPC_LINK_DOWN && last_error->message[0] != '\0') {
        complain(reporter, last_error);
    }
    if (state == RPC_LINK_UP && now_ms >= reporter->attach_ms &&
        reporter->connection != rpc_link_connection_count(reporter->link)) {
        attach(reporter);
    }
    while (rpc_link_receive(reporter->link, &message)) {
        on_message(reporter, &message, now_ms);
        rpc_message_deinit(&message);
    }
    if (state == RPC_LINK_UP && reporter->is_attached &&
        reporter->connection == rpc_link_connection_count(reporter->link)) {
        send_lines(reporter);
    }
}

struct reporter_control reporter_take_control(struct reporter *reporter)
{
    struct reporter_control control = {0};

    if (reporter != NULL) {
        control = reporter->control;
        reporter->control = (struct reporter_control){0};
    }
    return control;
}
