#include "daemon/metrics.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/db.h"
#include "embedded/sql_0001_metrics.h"
#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

#define METRICS_APPLICATION_ID 0x724d4d31 /* "rMM1" */

struct metrics {
    struct db *db;
};

static const char *const migrations[] = {sql_0001_metrics};

static const struct db_schema metrics_schema = {
    .name = "metrics.db",
    .application_id = METRICS_APPLICATION_ID,
    .migrations = migrations,
    .migration_count = sizeof migrations / sizeof migrations[0],
};

/* Removes the database with its log files. */
static enum status discard(const char *path, struct error *err)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char name[PATH_BYTES_MAX];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        enum status status = path_printf(name, err, "%s%s", path, suffixes[i]);
        if (status) {
            return status;
        }
        if (sys_unlink(name) < 0 && errno != ENOENT) {
            return error_from_errno(err, errno, "remove '%s'", name);
        }
    }
    return STATUS_OK;
}

enum status metrics_open(struct metrics **out, const char *path, bool *was_replaced,
                         struct error *err)
{
    struct metrics *metrics = sys_calloc(1, sizeof *metrics);

    if (!metrics) {
        return error_set(err, STATUS_NO_MEMORY, "metrics: out of memory");
    }
    *was_replaced = !file_exists(path);
    enum status status = db_open(&metrics->db, path, &metrics_schema, DB_DURABILITY_NORMAL, err);
    if (status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED) {
        *was_replaced = true;
        status = discard(path, err);
        if (status == STATUS_OK) {
            status = db_open(&metrics->db, path, &metrics_schema, DB_DURABILITY_NORMAL, err);
        }
    }
    if (status) {
        metrics_close(metrics);
        return status;
    }
    *out = metrics;
    return STATUS_OK;
}

void metrics_close(struct metrics *metrics)
{
    if (metrics) {
        if (metrics->db) {
            db_rollback(metrics->db);
        }
        db_close(metrics->db);
        free(metrics);
    }
}

enum status metrics_commit(struct metrics *metrics, struct error *err)
{
    return db_is_in_transaction(metrics->db) ? db_commit(metrics->db, err) : STATUS_OK;
}

void metrics_rollback(struct metrics *metrics)
{
    db_rollback(metrics->db);
}

static enum status begin_if_needed(struct metrics *metrics, struct error *err)
{
    return db_is_in_transaction(metrics->db) ? STATUS_OK : db_begin(metrics->db, err);
}

enum status metrics_offset(struct metrics *metrics, int64_t job, int64_t *out, struct error *err)
{
    return db_query_int(metrics->db, out, 0, "SELECT offset FROM runs WHERE job = ?1",
                        DB_VALUES(DB_INT(job)), err);
}

/* A line that is a record, parsed; NULL for any other. */
static json_t *parse_record(const char *line, size_t size)
{
    json_t *record = NULL;
    struct error err;

    if (size > RECORD_BYTES_MAX || json_parse(&record, line, size, "record", &err) != STATUS_OK) {
        return NULL;
    }
    if (!json_is_string(json_object_get(record, "type")) ||
        !json_is_integer(json_object_get(record, "attempt")) ||
        !json_is_integer(json_object_get(record, "step"))) {
        json_decref(record);
        return NULL;
    }
    return record;
}

static enum status insert_record(struct metrics *metrics, int64_t job, int64_t offset,
                                 const char *line, size_t size, const json_t *record,
                                 struct error *err)
{
    struct bytes body = {0};

    bytes_append(&body, line, size);
    enum status status = bytes_status(&body, "record", err);
    if (status == STATUS_OK) {
        status = db_run(metrics->db,
                        "INSERT OR REPLACE INTO records (job, kind, step, attempt, offset,"
                        " superseded, body) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6)",
                        DB_VALUES(DB_INT(job), DB_TEXT(json_get_text(record, "type", "")),
                                  DB_INT(json_get_int(record, "step", 0)),
                                  DB_INT(json_get_int(record, "attempt", 0)), DB_INT(offset),
                                  DB_TEXT(body.data)),
                        err);
    }
    bytes_deinit(&body);
    return status;
}

/* What a start record does beside being one: it cuts off what earlier attempts reached later. */
static enum status apply_start(struct metrics *metrics, int64_t job, const json_t *record,
                               struct error *err)
{
    int64_t resumed_from = json_get_int(record, "resumed_from", -1);

    enum status status = db_run(
        metrics->db,
        "UPDATE records SET superseded = 1 WHERE job = ?1 AND attempt < ?2 AND step > ?3",
        DB_VALUES(DB_INT(job), DB_INT(json_get_int(record, "attempt", 0)), DB_INT(resumed_from)),
        err);
    if (status) {
        return status;
    }
    return db_run(metrics->db, "UPDATE runs SET step = ?2, steps = ?3 WHERE job = ?1",
                  DB_VALUES(DB_INT(job), DB_INT(resumed_from < 0 ? 0 : resumed_from),
                            DB_INT(json_get_int(record, "steps", 0))),
                  err);
}

enum status metrics_ingest(struct metrics *metrics, int64_t job, int64_t offset, const char *line,
                           size_t size, json_t **record, struct error *err)
{
    int64_t end = offset + (int64_t)size + 1;

    *record = parse_record(line, size);
    enum status status = begin_if_needed(metrics, err);
    if (status == STATUS_OK) {
        status = db_run(metrics->db,
                        "INSERT INTO runs (job, offset, step, steps) VALUES (?1, ?2, 0, 0)"
                        " ON CONFLICT (job) DO UPDATE SET offset = excluded.offset",
                        DB_VALUES(DB_INT(job), DB_INT(end)), err);
    }
    if (status == STATUS_OK && *record) {
        const char *kind = json_get_text(*record, "type", "");
        status = insert_record(metrics, job, offset, line, size, *record, err);
        if (status == STATUS_OK && strcmp(kind, "start") == 0) {
            status = apply_start(metrics, job, *record, err);
        } else if (status == STATUS_OK && strcmp(kind, "step") == 0) {
            status = db_run(metrics->db, "UPDATE runs SET step = ?2 WHERE job = ?1",
                            DB_VALUES(DB_INT(job), DB_INT(json_get_int(*record, "step", 0))), err);
        }
    }
    if (status) {
        json_decref(*record);
        *record = NULL;
    }
    return status;
}

enum status metrics_forget(struct metrics *metrics, int64_t job, struct error *err)
{
    enum status status = begin_if_needed(metrics, err);
    if (status == STATUS_OK) {
        status =
            db_run(metrics->db, "DELETE FROM records WHERE job = ?1", DB_VALUES(DB_INT(job)), err);
    }
    if (status == STATUS_OK) {
        status =
            db_run(metrics->db, "DELETE FROM runs WHERE job = ?1", DB_VALUES(DB_INT(job)), err);
    }
    return status;
}

enum status metrics_progress(struct metrics *metrics, int64_t job, int64_t *step, int64_t *steps,
                             struct error *err)
{
    sqlite3_stmt *row = NULL;

    *step = 0;
    *steps = 0;
    enum status status = db_query(metrics->db, &row, "SELECT step, steps FROM runs WHERE job = ?1",
                                  DB_VALUES(DB_INT(job)), err);
    while (status == STATUS_OK && db_row(metrics->db, row, &status, err)) {
        *step = db_int(row, 0, 0);
        *steps = db_int(row, 1, 0);
    }
    return status;
}

/* The body column of a row; what was stored was valid, so NULL means that memory is out. */
static json_t *body_of(sqlite3_stmt *row, int column)
{
    return json_loads(db_text(row, column), 0, NULL);
}

enum status metrics_newest(struct metrics *metrics, int64_t job, const char *kind, json_t **out,
                           struct error *err)
{
    sqlite3_stmt *row = NULL;

    *out = NULL;
    enum status status =
        db_query(metrics->db, &row,
                 "SELECT body FROM records WHERE job = ?1 AND kind = ?2 AND superseded = 0"
                 " ORDER BY step DESC, attempt DESC, offset DESC LIMIT 1",
                 DB_VALUES(DB_INT(job), DB_TEXT(kind)), err);
    while (status == STATUS_OK && db_row(metrics->db, row, &status, err)) {
        *out = body_of(row, 0);
    }
    return status;
}

enum status metrics_page(struct metrics *metrics, const struct metrics_query *query, json_t *rows,
                         int64_t *next, struct error *err)
{
    sqlite3_stmt *row = NULL;
    int64_t count = 0;
    int64_t last_step = -1;
    size_t bytes = 0;

    assert(query->limit >= 1);
    *next = -1;
    enum status status =
        db_query(metrics->db, &row,
                 "SELECT step, superseded, body FROM records WHERE job = ?1 AND kind = ?2"
                 " AND step >= ?3 AND superseded <= ?4 ORDER BY step, attempt, offset",
                 DB_VALUES(DB_INT(query->job), DB_TEXT(query->kind), DB_INT(query->from_step),
                           DB_INT(query->with_superseded ? 1 : 0)),
                 err);
    while (status == STATUS_OK && db_row(metrics->db, row, &status, err)) {
        int64_t step = db_int(row, 0, 0);
        bool is_full = count >= query->limit || bytes >= query->bytes_max;
        if (is_full && count > 0 && step != last_step) {
            *next = step;
            db_query_end(row);
            break;
        }
        json_t *record = body_of(row, 2);
        if (query->with_superseded && record) {
            (void)json_object_set_new(record, "superseded", json_boolean(db_int(row, 1, 0) != 0));
        }
        if (json_array_append_new(rows, record) < 0) {
            db_query_end(row);
            return error_set(err, STATUS_NO_MEMORY, "metrics: out of memory");
        }
        bytes += strlen(db_text(row, 2));
        last_step = step;
        count++;
    }
    return status;
}
