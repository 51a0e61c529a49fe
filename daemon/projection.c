#include "daemon/projection.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/bytes.h"

static enum status malformed(const struct event *event, struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "event %lld (%s): data is not what this type carries",
                     (long long)event->seq, event_type_name(event->type));
}

static enum status job_state_read(struct db *db, const struct event *event, enum job_state *out,
                                  struct error *err)
{
    sqlite3_stmt *statement = NULL;
    enum status row_status = STATUS_OK;
    bool is_found = false;

    enum status status = db_query(db, &statement, "SELECT state FROM jobs WHERE id = ?1",
                                  DB_VALUES(DB_INT(event->job)), err);
    if (status) {
        return status;
    }
    while (db_row(db, statement, &row_status, err)) {
        is_found = job_state_from_name(out, db_text(statement, 0));
    }
    if (row_status == STATUS_OK && !is_found) {
        return error_set(err, STATUS_CORRUPT, "event %lld: there is no job %lld",
                         (long long)event->seq, (long long)event->job);
    }
    return row_status;
}

/* Moves the job to a state, with the event's reason. */
static enum status job_move(struct db *db, const struct event *event, enum job_state to,
                            const struct reason *reason, struct error *err)
{
    enum job_state from = JOB_STATE_QUEUED;

    enum status status = job_state_read(db, event, &from, err);
    if (status) {
        return status;
    }
    assert(job_state_allows(from, to));
    return db_run(db,
                  "UPDATE jobs SET state = ?2, reason = ?3, evidence = ?4, hint = ?5, ended_ms = ?6"
                  " WHERE id = ?1",
                  DB_VALUES(DB_INT(event->job), DB_TEXT(job_state_name(to)),
                            DB_TEXT(reason_name(reason->type)), DB_TEXT(reason->evidence),
                            DB_TEXT(reason->hint),
                            job_state_is_final(to) ? DB_INT(event->time_ms) : DB_NULL),
                  err);
}

/* For the events whose data is {reason: …}. */
static enum status job_move_by_reason(struct db *db, const struct event *event, enum job_state to,
                                      struct error *err)
{
    struct reason reason;

    if (!reason_from_json(&reason, json_object_get(event->data, "reason"))) {
        return malformed(event, err);
    }
    return job_move(db, event, to, &reason, err);
}

static enum status apply_submitted(struct db *db, const struct event *event, struct error *err)
{
    const json_t *data = event->data;

    return db_run(
        db,
        "INSERT INTO jobs (id, name, kind, state, reason, evidence, hint, spec, inputs,"
        " uid, slots, attempts_max, attempts_used, attempt, queued_seq, submitted_ms)"
        " VALUES (?1, ?2, ?3, ?4, ?5, '', '', ?6, ?7, ?8, ?9, ?10, 0, 0, ?11, ?12)",
        DB_VALUES(
            DB_INT(event->job), DB_TEXT(json_get_text(data, "name", NULL)),
            DB_TEXT(json_get_text(data, "kind", NULL)), DB_TEXT(job_state_name(JOB_STATE_QUEUED)),
            DB_TEXT(reason_name(REASON_SUBMITTED)), DB_TEXT(json_get_text(data, "spec", NULL)),
            DB_TEXT(json_get_text(data, "inputs", NULL)), DB_INT(json_get_int(data, "uid", -1)),
            DB_INT(json_get_int(data, "slots", 1)), DB_INT(json_get_int(data, "attempts_max", 1)),
            DB_INT(event->seq), DB_INT(event->time_ms)),
        err);
}

static enum status apply_attempt_starting(struct db *db, const struct event *event,
                                          struct error *err)
{
    struct bytes cpus = {0};
    struct reason launching;

    reason_set(&launching, REASON_LAUNCHING, "attempt %d", event->attempt);
    json_canonical(&cpus, json_object_get(event->data, "cpus"));
    enum status status = bytes_status(&cpus, "list of cores", err);
    if (status == STATUS_OK) {
        status = db_run(
            db,
            "INSERT INTO attempts (job, attempt, attempt_id, state, reason, evidence, hint, cpus,"
            " started_ms, run_started, checkpoint_step, evaluation_step, guard_step)"
            " VALUES (?1, ?2, ?3, ?4, ?5, '', '', ?6, ?7, 0, -1, -1, -1)",
            DB_VALUES(DB_INT(event->job), DB_INT(event->attempt),
                      DB_TEXT(json_get_text(event->data, "attempt_id", NULL)),
                      DB_TEXT(attempt_state_name(ATTEMPT_STATE_STARTING)),
                      DB_TEXT(reason_name(REASON_LAUNCHING)), DB_TEXT(cpus.data),
                      DB_INT(event->time_ms)),
            err);
    }
    bytes_deinit(&cpus);
    if (status == STATUS_OK) {
        status = db_run(
            db,
            "UPDATE jobs SET attempt = ?2, started_ms = coalesce(started_ms, ?3)"
            " WHERE id = ?1",
            DB_VALUES(DB_INT(event->job), DB_INT(event->attempt), DB_INT(event->time_ms)), err);
    }
    return status ? status : job_move(db, event, JOB_STATE_STARTING, &launching, err);
}

static enum status apply_attempt_started(struct db *db, const struct event *event,
                                         struct error *err)
{
    enum job_state state = JOB_STATE_QUEUED;
    struct reason launched;

    enum status status =
        db_run(db,
               "UPDATE attempts SET state = ?3, reason = ?4, boot_id = ?5, pid = ?6,"
               " process_start = ?7 WHERE job = ?1 AND attempt = ?2",
               DB_VALUES(DB_INT(event->job), DB_INT(event->attempt),
                         DB_TEXT(attempt_state_name(ATTEMPT_STATE_RUNNING)),
                         DB_TEXT(reason_name(REASON_LAUNCHED)),
                         DB_TEXT(json_get_text(event->data, "boot_id", NULL)),
                         DB_INT(json_get_int(event->data, "pid", 0)),
                         DB_INT(json_get_int(event->data, "process_start", 0))),
               err);
    if (status == STATUS_OK) {
        status = job_state_read(db, event, &state, err);
    }
    if (status || state == JOB_STATE_STOPPING) {
        return status; /* cancelled while it was being launched */
    }
    reason_set(&launched, REASON_LAUNCHED, "attempt %d", event->attempt);
    return job_move(db, event, JOB_STATE_RUNNING, &launched, err);
}

static enum status apply_attempt_ended(struct db *db, const struct event *event, struct error *err)
{
    const json_t *data = event->data;
    struct reason reason;
    enum attempt_state state = ATTEMPT_STATE_FAILED;
    int64_t exit_code = json_get_int(data, "exit_code", -1);

    if (!reason_from_json(&reason, json_object_get(data, "reason")) ||
        !attempt_state_from_name(&state, json_get_text(data, "state", ""))) {
        return malformed(event, err);
    }
    enum status status = db_run(
        db,
        "UPDATE attempts SET state = ?3, reason = ?4, evidence = ?5, hint = ?6,"
        " ended_ms = ?7, exit_code = ?8, signal = ?9 WHERE job = ?1 AND attempt = ?2",
        DB_VALUES(DB_INT(event->job), DB_INT(event->attempt), DB_TEXT(attempt_state_name(state)),
                  DB_TEXT(reason_name(reason.type)), DB_TEXT(reason.evidence), DB_TEXT(reason.hint),
                  DB_INT(event->time_ms), exit_code < 0 ? DB_NULL : DB_INT(exit_code),
                  DB_INT(json_get_int(data, "signal", 0))),
        err);
    if (status || !json_get_bool(data, "counts", true)) {
        return status;
    }
    return db_run(db, "UPDATE jobs SET attempts_used = attempts_used + 1 WHERE id = ?1",
                  DB_VALUES(DB_INT(event->job)), err);
}

static enum status apply_resumed(struct db *db, const struct event *event, struct error *err)
{
    struct reason resumed;

    reason_set(&resumed, REASON_RESUMED, "by uid %lld",
               (long long)json_get_int(event->data, "uid", -1));
    enum status status =
        db_run(db, "UPDATE jobs SET attempts_used = 0, queued_seq = ?2 WHERE id = ?1",
               DB_VALUES(DB_INT(event->job), DB_INT(event->seq)), err);
    return status ? status : job_move(db, event, JOB_STATE_QUEUED, &resumed, err);
}

static enum status apply_run_started(struct db *db, const struct event *event, struct error *err)
{
    return db_run(db,
                  "UPDATE attempts SET run_started = 1, resumed_from = ?3"
                  " WHERE job = ?1 AND attempt = ?2",
                  DB_VALUES(DB_INT(event->job), DB_INT(event->attempt),
                            json_is_integer(json_object_get(event->data, "resumed_from"))
                                ? DB_INT(json_get_int(event->data, "resumed_from", 0))
                                : DB_NULL),
                  err);
}

static enum status apply_step_reached(struct db *db, const struct event *event, const char *sql,
                                      struct error *err)
{
    return db_run(db, sql,
                  DB_VALUES(DB_INT(event->job), DB_INT(event->attempt),
                            DB_INT(json_get_int(event->data, "step", -1))),
                  err);
}

enum status projection_apply(struct db *db, const struct event *event, struct error *err)
{
    switch (event->type) {
    case EVENT_JOB_SUBMITTED:
        return apply_submitted(db, event, err);
    case EVENT_ATTEMPT_STARTING:
        return apply_attempt_starting(db, event, err);
    case EVENT_ATTEMPT_STARTED:
        return apply_attempt_started(db, event, err);
    case EVENT_ATTEMPT_ADOPTED:
        return STATUS_OK; /* worth knowing, changes nothing */
    case EVENT_RUN_STARTED:
        return apply_run_started(db, event, err);
    case EVENT_CHECKPOINT_COMMITTED:
        return apply_step_reached(
            db, event, "UPDATE attempts SET checkpoint_step = ?3 WHERE job = ?1 AND attempt = ?2",
            err);
    case EVENT_EVALUATED:
        return apply_step_reached(
            db, event, "UPDATE attempts SET evaluation_step = ?3 WHERE job = ?1 AND attempt = ?2",
            err);
    case EVENT_STEP_SKIPPED:
    case EVENT_LOSS_SPIKE:
        return apply_step_reached(
            db, event, "UPDATE attempts SET guard_step = ?3 WHERE job = ?1 AND attempt = ?2", err);
    case EVENT_ATTEMPT_ENDED:
        return apply_attempt_ended(db, event, err);
    case EVENT_JOB_REQUEUED:
        return job_move_by_reason(db, event, JOB_STATE_QUEUED, err);
    case EVENT_JOB_STOPPING:
        return job_move_by_reason(db, event, JOB_STATE_STOPPING, err);
    case EVENT_JOB_SUCCEEDED:
        return job_move_by_reason(db, event, JOB_STATE_SUCCEEDED, err);
    case EVENT_JOB_FAILED:
        return job_move_by_reason(db, event, JOB_STATE_FAILED, err);
    case EVENT_JOB_CANCELLED:
        return job_move_by_reason(db, event, JOB_STATE_CANCELLED, err);
    case EVENT_JOB_RESUMED:
        return apply_resumed(db, event, err);
    case EVENT_COUNT:
        break;
    }
    assert(false);
    return STATUS_INVALID;
}

/* The row as text, so that any column may differ and the message shows how. */
static void describe_row(struct bytes *out, sqlite3_stmt *row)
{
    bytes_clear(out);
    for (int i = 0; i < sqlite3_column_count(row); i++) {
        bytes_printf(out, "%s%s=%s", i > 0 ? " " : "", sqlite3_column_name(row, i),
                     sqlite3_column_type(row, i) == SQLITE_NULL ? "NULL" : db_text(row, i));
    }
}

static enum status compare_rows(struct db *db, struct db *other, const char *sql, struct error *err)
{
    sqlite3_stmt *rows = NULL;
    sqlite3_stmt *other_rows = NULL;
    struct bytes text = {0};
    struct bytes other_text = {0};
    enum status row_status = STATUS_OK;
    enum status other_status = STATUS_OK;
    bool has_row = true;

    enum status status = db_query(db, &rows, sql, DB_NO_VALUES, err);
    if (status == STATUS_OK) {
        status = db_query(other, &other_rows, sql, DB_NO_VALUES, err);
    }
    while (status == STATUS_OK && has_row) {
        has_row = db_row(db, rows, &row_status, err);
        bool other_has_row = db_row(other, other_rows, &other_status, err);
        status = row_status ? row_status : other_status;
        if (status || (!has_row && !other_has_row)) {
            break;
        }
        bytes_clear(&text);
        bytes_clear(&other_text);
        if (has_row) {
            describe_row(&text, rows);
        }
        if (other_has_row) {
            describe_row(&other_text, other_rows);
        }
        if (text.size != other_text.size || memcmp(text.data, other_text.data, text.size) != 0) {
            status = error_set(err, STATUS_CORRUPT, "%s: stored '%s', replayed '%s'", sql,
                               has_row ? text.data : "", other_has_row ? other_text.data : "");
        }
    }
    if (rows) {
        db_query_end(rows);
    }
    if (other_rows) {
        db_query_end(other_rows);
    }
    bytes_deinit(&text);
    bytes_deinit(&other_text);
    return status;
}

enum status projection_compare(struct db *db, struct db *other, struct error *err)
{
    enum status status = compare_rows(db, other, "SELECT * FROM jobs ORDER BY id", err);
    if (status) {
        return status;
    }
    return compare_rows(db, other, "SELECT * FROM attempts ORDER BY job, attempt", err);
}
