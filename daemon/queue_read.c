#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/db.h"
#include "daemon/queue.h"
#include "daemon/queue_private.h"
#include "proto/base/json.h"

#define JOB_COLUMNS                                                                        \
 "id, name, kind, state, reason, evidence, hint, spec, inputs, uid, slots, attempts_max, " \
 "attempts_used, attempt, queued_seq, submitted_ms, started_ms, ended_ms"
#define ATTEMPT_COLUMNS                                                                         \
 "job, attempt, attempt_id, state, reason, evidence, hint, cpus, boot_id, pid, process_start, " \
 "started_ms, ended_ms, exit_code, signal, resumed_from, run_started, checkpoint_step, "        \
 "evaluation_step, guard_step"

/* Every text column fits: the writer had the same limits. */
static void copy_text(char *out, size_t size, sqlite3_stmt *row, int column)
{
    (void)snprintf(out, size, "%s", db_text(row, column));
}

static enum status read_reason(struct reason *out, sqlite3_stmt *row, int column, struct error *err)
{
    if (!reason_from_name(&out->type, db_text(row, column))) {
        return error_set(err, STATUS_CORRUPT, "queue.db: unknown reason '%s'",
                         db_text(row, column));
    }
    copy_text(out->evidence, sizeof out->evidence, row, column + 1);
    copy_text(out->hint, sizeof out->hint, row, column + 2);
    return STATUS_OK;
}

static enum status read_job(struct job *out, sqlite3_stmt *row, struct error *err)
{
    memset(out, 0, sizeof *out);
    out->id = db_int(row, 0, 0);
    copy_text(out->name, sizeof out->name, row, 1);
    copy_text(out->kind, sizeof out->kind, row, 2);
    if (!job_state_from_name(&out->state, db_text(row, 3))) {
        return error_set(err, STATUS_CORRUPT, "queue.db: job %lld has the unknown state '%s'",
                         (long long)out->id, db_text(row, 3));
    }
    copy_text(out->spec_digest, sizeof out->spec_digest, row, 7);
    copy_text(out->inputs_digest, sizeof out->inputs_digest, row, 8);
    out->uid = db_int(row, 9, -1);
    out->slots = (int)db_int(row, 10, 1);
    out->attempts_max = (int)db_int(row, 11, 1);
    out->attempts_used = (int)db_int(row, 12, 0);
    out->attempt = (int)db_int(row, 13, 0);
    out->queued_seq = db_int(row, 14, 0);
    out->submitted_ms = db_int(row, 15, 0);
    out->started_ms = db_int(row, 16, JOB_TIME_NEVER_MS);
    out->ended_ms = db_int(row, 17, JOB_TIME_NEVER_MS);
    return read_reason(&out->reason, row, 4, err);
}

static void read_cpus(struct cpu_list *out, const char *text)
{
    json_t *list = json_loads(text, 0, NULL);

    out->count = 0;
    for (size_t i = 0; i < json_array_size(list) && out->count < JOB_CPUS_MAX; i++) {
        out->cpus[out->count] = (int)json_integer_value(json_array_get(list, i));
        out->count++;
    }
    json_decref(list);
}

static enum status read_attempt(struct attempt *out, sqlite3_stmt *row, struct error *err)
{
    memset(out, 0, sizeof *out);
    out->job = db_int(row, 0, 0);
    out->number = (int)db_int(row, 1, 0);
    copy_text(out->id, sizeof out->id, row, 2);
    if (!attempt_state_from_name(&out->state, db_text(row, 3))) {
        return error_set(err, STATUS_CORRUPT, "queue.db: an attempt has the unknown state '%s'",
                         db_text(row, 3));
    }
    read_cpus(&out->cpus, db_text(row, 7));
    copy_text(out->shim.boot_id, sizeof out->shim.boot_id, row, 8);
    out->shim.pid = db_int(row, 9, 0);
    out->shim.start_ticks = (uint64_t)db_int(row, 10, 0);
    out->started_ms = db_int(row, 11, 0);
    out->ended_ms = db_int(row, 12, JOB_TIME_NEVER_MS);
    out->exit_code = (int)db_int(row, 13, -1);
    out->signal = (int)db_int(row, 14, 0);
    out->resumed_from = db_int(row, 15, -1);
    out->is_run_started = db_int(row, 16, 0) != 0;
    out->checkpoint_step = db_int(row, 17, -1);
    out->evaluation_step = db_int(row, 18, -1);
    out->guard_step = db_int(row, 19, -1);
    return read_reason(&out->reason, row, 4, err);
}

/* Walks the rows of a started query. Each row is copied before each() sees it. */
static enum status walk_jobs(struct queue *queue, sqlite3_stmt *rows, queue_job_fn *each,
                             void *context, struct error *err)
{
    struct job job;
    enum status row_status = STATUS_OK;

    while (db_row(queue->db, rows, &row_status, err)) {
        enum status status = read_job(&job, rows, err);
        if (status == STATUS_OK) {
            status = each(context, &job, err);
        }
        if (status) {
            db_query_end(rows);
            return status;
        }
    }
    return row_status;
}

struct single_job {
    struct job *out;
    int count;
    char ids[128]; /* of all that matched */
};

static enum status keep_job(void *context, const struct job *job, struct error *err)
{
    struct single_job *single = context;
    size_t used = strlen(single->ids);

    (void)err;
    *single->out = *job;
    (void)snprintf(single->ids + used, sizeof single->ids - used, "%s%lld",
                   single->count > 0 ? ", " : "", (long long)job->id);
    single->count++;
    return STATUS_OK;
}

static enum status no_such_job(const char *reference, struct error *err)
{
    (void)error_set(err, STATUS_NOT_FOUND, "there is no job '%s'", reference);
    error_set_field(err, "job");
    error_set_hint(err, "remora ls --all");
    return STATUS_NOT_FOUND;
}

enum status queue_get_job(struct queue *queue, struct job *out, int64_t id, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    struct single_job single = {.out = out};
    char reference[24];

    enum status status =
        db_query(queue->db, &rows, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?1",
                 DB_VALUES(DB_INT(id)), err);
    if (status == STATUS_OK) {
        status = walk_jobs(queue, rows, keep_job, &single, err);
    }
    if (status == STATUS_OK && single.count == 0) {
        (void)snprintf(reference, sizeof reference, "%lld", (long long)id);
        return no_such_job(reference, err);
    }
    return status;
}

enum status queue_find_job(struct queue *queue, struct job *out, const char *reference,
                           struct error *err)
{
    sqlite3_stmt *rows = NULL;
    struct single_job single = {.out = out};

    if (isdigit((unsigned char)reference[0])) {
        char *end = NULL;
        long long id = strtoll(reference, &end, 10);
        return *end == '\0' ? queue_get_job(queue, out, id, err) : no_such_job(reference, err);
    }
    enum status status =
        db_query(queue->db, &rows,
                 "SELECT " JOB_COLUMNS " FROM jobs WHERE name = ?1 ORDER BY id DESC LIMIT 5",
                 DB_VALUES(DB_TEXT(reference)), err);
    if (status == STATUS_OK) {
        status = walk_jobs(queue, rows, keep_job, &single, err);
    }
    if (status) {
        return status;
    }
    if (single.count == 0) {
        return no_such_job(reference, err);
    }
    if (single.count > 1) {
        (void)error_set(err, STATUS_CONFLICT, "several jobs are called '%s'", reference);
        error_set_field(err, "job");
        error_set_hint(err, "use an id: %s", single.ids);
        return STATUS_CONFLICT;
    }
    return STATUS_OK;
}

enum status queue_each_job(struct queue *queue, int64_t before, int64_t ended_since_ms,
                           int64_t limit, queue_job_fn *each, void *context, struct error *err)
{
    sqlite3_stmt *rows = NULL;

    enum status status = db_query(
        queue->db, &rows,
        "SELECT " JOB_COLUMNS " FROM jobs WHERE id < ?1"
        " AND (ended_ms IS NULL OR ended_ms >= ?2) ORDER BY id DESC LIMIT ?3",
        DB_VALUES(DB_INT(before > 0 ? before : INT64_MAX), DB_INT(ended_since_ms), DB_INT(limit)),
        err);
    return status ? status : walk_jobs(queue, rows, each, context, err);
}

enum status queue_each_queued(struct queue *queue, queue_job_fn *each, void *context,
                              struct error *err)
{
    sqlite3_stmt *rows = NULL;

    enum status status =
        db_query(queue->db, &rows,
                 "SELECT " JOB_COLUMNS " FROM jobs WHERE state = 'queued' ORDER BY queued_seq",
                 DB_NO_VALUES, err);
    return status ? status : walk_jobs(queue, rows, each, context, err);
}

static enum status walk_attempts(struct queue *queue, sqlite3_stmt *rows, queue_attempt_fn *each,
                                 void *context, struct error *err)
{
    struct attempt attempt;
    enum status row_status = STATUS_OK;

    while (db_row(queue->db, rows, &row_status, err)) {
        enum status status = read_attempt(&attempt, rows, err);
        if (status == STATUS_OK) {
            status = each(context, &attempt, err);
        }
        if (status) {
            db_query_end(rows);
            return status;
        }
    }
    return row_status;
}

enum status queue_each_attempt(struct queue *queue, int64_t job, queue_attempt_fn *each,
                               void *context, struct error *err)
{
    sqlite3_stmt *rows = NULL;

    enum status status =
        job > 0
            ? db_query(queue->db, &rows,
                       "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE job = ?1 ORDER BY attempt",
                       DB_VALUES(DB_INT(job)), err)
            : db_query(queue->db, &rows,
                       "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE ended_ms IS NULL"
                       " ORDER BY job, attempt",
                       DB_NO_VALUES, err);
    return status ? status : walk_attempts(queue, rows, each, context, err);
}

struct single_attempt {
    struct attempt *out;
    bool is_found;
};

static enum status keep_attempt(void *context, const struct attempt *attempt, struct error *err)
{
    struct single_attempt *single = context;

    (void)err;
    *single->out = *attempt;
    single->is_found = true;
    return STATUS_OK;
}

enum status queue_get_attempt(struct queue *queue, struct attempt *out, int64_t job, int number,
                              struct error *err)
{
    sqlite3_stmt *rows = NULL;
    struct single_attempt single = {.out = out};

    enum status status =
        db_query(queue->db, &rows,
                 "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE job = ?1 AND attempt = ?2",
                 DB_VALUES(DB_INT(job), DB_INT(number)), err);
    if (status == STATUS_OK) {
        status = walk_attempts(queue, rows, keep_attempt, &single, err);
    }
    if (status == STATUS_OK && !single.is_found) {
        (void)error_set(err, STATUS_NOT_FOUND, "job %lld has no attempt %d", (long long)job,
                        number);
        error_set_field(err, "attempt");
        error_set_hint(err, "remora show %lld", (long long)job);
        return STATUS_NOT_FOUND;
    }
    return status;
}

enum status queue_get_document(struct queue *queue, struct bytes *out, const char *digest,
                               struct error *err)
{
    sqlite3_stmt *rows = NULL;
    enum status row_status = STATUS_OK;
    bool is_found = false;

    enum status status = db_query(queue->db, &rows, "SELECT body FROM documents WHERE digest = ?1",
                                  DB_VALUES(DB_TEXT(digest)), err);
    if (status) {
        return status;
    }
    while (db_row(queue->db, rows, &row_status, err)) {
        bytes_append_text(out, db_text(rows, 0));
        is_found = true;
    }
    if (row_status) {
        return row_status;
    }
    if (!is_found) {
        return error_set(err, STATUS_CORRUPT, "queue.db: document %s is missing", digest);
    }
    return bytes_status(out, "document", err);
}

static enum status read_event(struct event *out, sqlite3_stmt *row, struct error *err)
{
    const char *data = db_text(row, 5);

    out->seq = db_int(row, 0, 0);
    out->time_ms = db_int(row, 1, 0);
    out->job = db_int(row, 2, 0);
    out->attempt = (int)db_int(row, 3, 0);
    out->data = NULL;
    if (!event_type_from_name(&out->type, db_text(row, 4))) {
        return error_set(err, STATUS_CORRUPT, "queue.db: event %lld has the unknown type '%s'",
                         (long long)out->seq, db_text(row, 4));
    }
    return json_parse(&out->data, data, strlen(data), "event", err);
}

enum status queue_each_event(struct queue *queue, int64_t job, int64_t from_seq, int64_t limit,
                             queue_event_fn *each, void *context, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    struct event event = {0};
    enum status row_status = STATUS_OK;

    enum status status =
        job > 0 ? db_query(queue->db, &rows,
                           "SELECT seq, time_ms, job, attempt, type, data FROM events"
                           " WHERE job = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3",
                           DB_VALUES(DB_INT(job), DB_INT(from_seq), DB_INT(limit)), err)
                : db_query(queue->db, &rows,
                           "SELECT seq, time_ms, job, attempt, type, data FROM events"
                           " WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
                           DB_VALUES(DB_INT(from_seq), DB_INT(limit)), err);
    if (status) {
        return status;
    }
    while (db_row(queue->db, rows, &row_status, err)) {
        status = read_event(&event, rows, err);
        if (status == STATUS_OK) {
            status = each(context, &event, err);
        }
        event_deinit(&event);
        if (status) {
            db_query_end(rows);
            return status;
        }
    }
    return row_status;
}

enum status queue_count_states(struct queue *queue, int64_t counts[JOB_STATE_COUNT],
                               struct error *err)
{
    sqlite3_stmt *rows = NULL;
    enum status row_status = STATUS_OK;
    enum job_state state = JOB_STATE_QUEUED;

    memset(counts, 0, JOB_STATE_COUNT * sizeof counts[0]);
    enum status status = db_query(
        queue->db, &rows, "SELECT state, count(*) FROM jobs GROUP BY state", DB_NO_VALUES, err);
    if (status) {
        return status;
    }
    while (db_row(queue->db, rows, &row_status, err)) {
        if (job_state_from_name(&state, db_text(rows, 0))) {
            counts[state] = db_int(rows, 1, 0);
        }
    }
    return row_status;
}
