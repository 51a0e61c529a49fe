#include "daemon/queue.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "daemon/db.h"
#include "daemon/projection.h"
#include "daemon/queue_private.h"
#include "embedded/sql_0001_queue.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"

#define QUEUE_APPLICATION_ID 0x724d5131 /* "rMQ1" */

static const char *const migrations[] = {sql_0001_queue};

static const struct db_schema queue_schema = {
    .name = "queue.db",
    .application_id = QUEUE_APPLICATION_ID,
    .migrations = migrations,
    .migration_count = sizeof migrations / sizeof migrations[0],
};

enum status queue_open(struct queue **out, const char *path, struct error *err)
{
    struct queue *queue = sys_calloc(1, sizeof *queue);
    if (!queue) {
        return error_set(err, STATUS_NO_MEMORY, "queue: out of memory");
    }
    enum status status = db_open(&queue->db, path, &queue_schema, DB_DURABILITY_FULL, err);
    if (status == STATUS_OK) {
        status = db_query_int(queue->db, &queue->last_seq, 0, "SELECT max(seq) FROM events",
                              DB_NO_VALUES, err);
    }
    if (status) {
        queue_close(queue);
        return status;
    }
    queue->committed_seq = queue->last_seq;
    *out = queue;
    return STATUS_OK;
}

void queue_close(struct queue *queue)
{
    if (!queue) {
        return;
    }
    if (queue->db) {
        db_rollback(queue->db);
    }
    db_close(queue->db);
    free(queue);
}

/* Remembers the first failure: the transaction is then only good for a rollback. */
static enum status note(struct queue *queue, enum status status, const struct error *err)
{
    if (status && !queue->failure.status) {
        queue->failure = *err;
    }
    return status;
}

static enum status begin_if_needed(struct queue *queue, struct error *err)
{
    if (queue->failure.status) {
        *err = queue->failure;
        return err->status;
    }
    return db_is_in_transaction(queue->db) ? STATUS_OK : db_begin(queue->db, err);
}

static enum status insert_event(struct queue *queue, struct event *event, struct error *err)
{
    struct bytes text = {0};

    json_canonical(&text, event->data);
    enum status status = bytes_status(&text, "event", err);
    if (status == STATUS_OK) {
        status = db_run(queue->db,
                        "INSERT INTO events (seq, time_ms, job, attempt, type, data)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                        DB_VALUES(DB_INT(event->seq), DB_INT(event->time_ms), DB_INT(event->job),
                                  DB_INT(event->attempt), DB_TEXT(event_type_name(event->type)),
                                  DB_TEXT(text.data)),
                        err);
    }
    bytes_deinit(&text);
    return status;
}

enum status queue_append(struct queue *queue, enum event_type type, int64_t job, int attempt,
                         json_t *data, struct error *err)
{
    struct event event = {
        .seq = queue->last_seq + 1,
        .time_ms = sys_realtime_ms(),
        .job = job,
        .attempt = attempt,
        .type = type,
        .data = data,
    };
    struct error local;
    err = err ? err : &local;

    enum status status = data ? begin_if_needed(queue, err)
                              : error_set(err, STATUS_NO_MEMORY, "event: out of memory");
    if (status == STATUS_OK) {
        status = insert_event(queue, &event, err);
    }
    if (status == STATUS_OK) {
        status = projection_apply(queue->db, &event, err);
    }
    if (status == STATUS_OK) {
        queue->last_seq = event.seq;
    }
    event_deinit(&event);
    return note(queue, status, err);
}

enum status queue_put_document(struct queue *queue, const char *digest, const char *body,
                               struct error *err)
{
    enum status status = begin_if_needed(queue, err);
    if (status == STATUS_OK) {
        status = db_run(queue->db, "INSERT OR IGNORE INTO documents (digest, body) VALUES (?1, ?2)",
                        DB_VALUES(DB_TEXT(digest), DB_TEXT(body)), err);
    }
    return note(queue, status, err);
}

enum status queue_commit(struct queue *queue, struct error *err)
{
    if (queue_has_failed(queue, err)) {
        return err->status;
    }
    if (!db_is_in_transaction(queue->db)) {
        return STATUS_OK;
    }
    enum status status = db_commit(queue->db, err);
    if (status == STATUS_OK) {
        queue->committed_seq = queue->last_seq;
    }
    return note(queue, status, err);
}

void queue_rollback(struct queue *queue)
{
    db_rollback(queue->db);
    queue->last_seq = queue->committed_seq;
    queue->failure.status = STATUS_OK;
}

bool queue_has_failed(const struct queue *queue, struct error *err)
{
    if (queue->failure.status && err) {
        *err = queue->failure;
    }
    return queue->failure.status != STATUS_OK;
}

bool queue_is_committed(const struct queue *queue)
{
    return !db_is_in_transaction(queue->db);
}

enum status queue_next_job(struct queue *queue, int64_t *out, struct error *err)
{
    return db_query_int(queue->db, out, 1, "SELECT max(id) + 1 FROM jobs", DB_NO_VALUES, err);
}

int64_t queue_last_seq(const struct queue *queue)
{
    return queue->last_seq;
}

static enum status replay_event(void *context, const struct event *event, struct error *err)
{
    struct queue *replayed = context;
    enum status status = projection_apply(replayed->db, event, err);
    return status ? error_wrap(err, "replay of event %lld", (long long)event->seq) : STATUS_OK;
}

enum status queue_verify(struct queue *queue, struct error *err)
{
    struct queue *replayed = NULL;

    enum status status = queue_open(&replayed, ":memory:", err);
    if (status) {
        return status;
    }
    status = queue_each_event(queue, 0, 0, INT64_MAX, replay_event, replayed, err);
    if (status == STATUS_OK) {
        status = projection_compare(queue->db, replayed->db, err);
    }
    queue_close(replayed);
    return status;
}
