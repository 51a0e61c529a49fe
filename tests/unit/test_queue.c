#include "daemon/db.h"
#include "daemon/queue.h"
#include "daemon/queue_private.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "tests/support/test.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct queue *queue;
};

static int fixture_create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;

    test_folder_create(fixture->folder);
    assert_ok(path_printf(fixture->path, &err, "%s/queue.db", fixture->folder), &err);
    assert_ok(queue_open(&fixture->queue, fixture->path, &err), &err);
    *state = fixture;
    return 0;
}

static int fixture_destroy(void **state)
{
    struct fixture *fixture = *state;

    queue_close(fixture->queue);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

/* ---- Events ---- */

static enum status submit(struct queue *queue, int64_t job, const char *name, struct error *err)
{
    return queue_append(queue, EVENT_JOB_SUBMITTED, job, 0,
                        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "name", name, "kind",
                                  "train", "spec", "s", "inputs", "i", "uid", 0, "slots", 2,
                                  "attempts_max", 3),
                        err);
}

static json_t *reason_data(enum reason_type type)
{
    struct reason reason;

    reason_set(&reason, type, "evidence");
    reason_set_hint(&reason, "hint");
    return json_pack("{s:o}", "reason", reason_to_json(&reason));
}

static json_t *ended_data(void)
{
    json_t *data = reason_data(REASON_WORKER_KILLED);

    (void)json_object_update_new(data, json_pack("{s:s, s:i, s:i, s:b}", "state", "failed",
                                                 "exit_code", 137, "signal", 0, "counts", 1));
    return data;
}

/* What one kind of event carries. New reference. */
static json_t *data_of(enum event_type type)
{
    switch (type) {
    case EVENT_ATTEMPT_STARTING:
        return json_pack("{s:s, s:[i, i]}", "attempt_id", "id", "cpus", 0, 1);
    case EVENT_ATTEMPT_STARTED:
        return json_pack("{s:s, s:i, s:i}", "boot_id", "b", "pid", 11, "process_start", 12);
    case EVENT_ATTEMPT_ADOPTED:
        return json_pack("{s:i}", "pid", 11);
    case EVENT_RUN_STARTED:
        return json_pack("{s:i, s:i, s:i}", "resumed_from", 4, "steps", 9, "world", 2);
    case EVENT_CHECKPOINT_COMMITTED:
    case EVENT_EVALUATED:
    case EVENT_STEP_SKIPPED:
    case EVENT_LOSS_SPIKE:
        return json_pack("{s:i}", "step", 5);
    case EVENT_ATTEMPT_ENDED:
        return ended_data();
    case EVENT_JOB_RESUMED:
        return json_pack("{s:i}", "uid", 0);
    case EVENT_JOB_REQUEUED:
    case EVENT_JOB_STOPPING:
    case EVENT_JOB_SUCCEEDED:
    case EVENT_JOB_FAILED:
    case EVENT_JOB_CANCELLED:
        return reason_data(REASON_RETRY);
    case EVENT_JOB_SUBMITTED:
    case EVENT_COUNT:
        break;
    }
    return NULL;
}

/* A job's life, every type of event in it. attempt 0: about the job as a whole. */
static const struct {
    enum event_type type;
    int attempt;
    enum job_state state; /* of the job after it */
} life[] = {
    {EVENT_ATTEMPT_STARTING, 1, JOB_STATE_STARTING},
    {EVENT_ATTEMPT_STARTED, 1, JOB_STATE_RUNNING},
    {EVENT_RUN_STARTED, 1, JOB_STATE_RUNNING},
    {EVENT_EVALUATED, 1, JOB_STATE_RUNNING},
    {EVENT_LOSS_SPIKE, 1, JOB_STATE_RUNNING},
    {EVENT_STEP_SKIPPED, 1, JOB_STATE_RUNNING},
    {EVENT_CHECKPOINT_COMMITTED, 1, JOB_STATE_RUNNING},
    {EVENT_ATTEMPT_ADOPTED, 1, JOB_STATE_RUNNING},
    {EVENT_ATTEMPT_ENDED, 1, JOB_STATE_RUNNING},
    {EVENT_JOB_REQUEUED, 1, JOB_STATE_QUEUED},
    {EVENT_ATTEMPT_STARTING, 2, JOB_STATE_STARTING},
    {EVENT_JOB_STOPPING, 2, JOB_STATE_STOPPING},
    {EVENT_ATTEMPT_STARTED, 2, JOB_STATE_STOPPING}, /* cancelled while it was being launched */
    {EVENT_ATTEMPT_ENDED, 2, JOB_STATE_STOPPING},
    {EVENT_JOB_CANCELLED, 2, JOB_STATE_CANCELLED},
    {EVENT_JOB_RESUMED, 0, JOB_STATE_QUEUED},
    {EVENT_ATTEMPT_STARTING, 3, JOB_STATE_STARTING},
    {EVENT_ATTEMPT_STARTED, 3, JOB_STATE_RUNNING},
    {EVENT_ATTEMPT_ENDED, 3, JOB_STATE_RUNNING},
    {EVENT_JOB_FAILED, 3, JOB_STATE_FAILED},
    {EVENT_JOB_RESUMED, 0, JOB_STATE_QUEUED},
    {EVENT_ATTEMPT_STARTING, 4, JOB_STATE_STARTING},
    {EVENT_ATTEMPT_STARTED, 4, JOB_STATE_RUNNING},
    {EVENT_ATTEMPT_ENDED, 4, JOB_STATE_RUNNING},
    {EVENT_JOB_SUCCEEDED, 4, JOB_STATE_SUCCEEDED},
};

static void live(struct queue *queue, int64_t id)
{
    struct job job;
    struct error err;

    assert_ok(submit(queue, id, "life", &err), &err);
    for (size_t i = 0; i < sizeof life / sizeof life[0]; i++) {
        assert_ok(
            queue_append(queue, life[i].type, id, life[i].attempt, data_of(life[i].type), &err),
            &err);
        assert_ok(queue_get_job(queue, &job, id, &err), &err);
        assert_int_equal(job.state, life[i].state);
    }
}

/* ---- Tests ---- */

static void every_event_moves_the_tables_and_replay_rebuilds_them(void **state)
{
    struct fixture *fixture = *state;
    struct attempt attempt;
    struct job job;
    struct error err;

    live(fixture->queue, 1);
    live(fixture->queue, 2);
    assert_ok(queue_commit(fixture->queue, &err), &err);
    assert_ok(queue_get_job(fixture->queue, &job, 1, &err), &err);
    assert_int_equal(job.attempt, 4);
    assert_int_equal(job.attempts_used, 1); /* since it was resumed */
    assert_true(job.started_ms > 0 && job.ended_ms >= job.started_ms);
    assert_ok(queue_get_attempt(fixture->queue, &attempt, 1, 1, &err), &err);
    assert_int_equal(attempt.state, ATTEMPT_STATE_FAILED);
    assert_int_equal(attempt.exit_code, 137);
    assert_int_equal(attempt.resumed_from, 4);
    assert_int_equal(attempt.checkpoint_step, 5);
    assert_int_equal(attempt.evaluation_step, 5);
    assert_int_equal(attempt.guard_step, 5);
    assert_int_equal(attempt.shim.pid, 11);
    assert_int_equal(attempt.cpus.count, 2);
    assert_ok(queue_verify(fixture->queue, &err), &err);
}

static void tables_that_no_event_explains_are_found(void **state)
{
    static const char *const changes[] = {
        "UPDATE jobs SET evidence = 'other'",
        "UPDATE attempts SET exit_code = 0 WHERE attempt = 1",
        "DELETE FROM attempts WHERE attempt = 4",
        "INSERT INTO jobs SELECT 2, name, kind, state, reason, evidence, hint, spec, inputs, uid,"
        " slots, attempts_max, attempts_used, attempt, queued_seq, submitted_ms, started_ms,"
        " ended_ms FROM jobs",
    };
    struct fixture *fixture = *state;
    struct error err;

    live(fixture->queue, 1);
    assert_ok(queue_commit(fixture->queue, &err), &err);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_ok(db_begin(fixture->queue->db, &err), &err);
        assert_ok(db_script(fixture->queue->db, changes[i], &err), &err);
        assert_int_equal(queue_verify(fixture->queue, &err), STATUS_CORRUPT);
        queue_rollback(fixture->queue);
        assert_ok(queue_verify(fixture->queue, &err), &err);
    }
}

static void events_can_neither_change_nor_go(void **state)
{
    static const char *const changes[] = {"UPDATE events SET job = 2", "DELETE FROM events"};
    struct fixture *fixture = *state;
    struct error err;

    assert_ok(submit(fixture->queue, 1, "j", &err), &err);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_int_not_equal(db_script(fixture->queue->db, changes[i], &err), STATUS_OK);
        assert_contains(err.message, "append-only");
    }
}

static void a_failed_change_leaves_only_the_rollback(void **state)
{
    struct fixture *fixture = *state;
    struct job job;
    struct error err;

    assert_ok(submit(fixture->queue, 1, "kept", &err), &err);
    assert_ok(queue_commit(fixture->queue, &err), &err);
    assert_ok(submit(fixture->queue, 2, "lost", &err), &err);
    assert_false(queue_is_committed(fixture->queue));
    assert_int_equal(
        queue_append(fixture->queue, EVENT_JOB_FAILED, 1, 0, json_object(), &err), /* no reason */
        STATUS_CORRUPT);
    assert_true(queue_has_failed(fixture->queue, NULL));
    assert_int_equal(submit(fixture->queue, 3, "late", &err), STATUS_CORRUPT); /* the first error */
    assert_int_equal(queue_put_document(fixture->queue, "d", "{}", &err), STATUS_CORRUPT);
    assert_int_equal(queue_commit(fixture->queue, &err), STATUS_CORRUPT);
    queue_rollback(fixture->queue);
    assert_false(queue_has_failed(fixture->queue, NULL));
    assert_true(queue_is_committed(fixture->queue));
    assert_int_equal(queue_last_seq(fixture->queue), 1);
    assert_int_equal(queue_get_job(fixture->queue, &job, 2, &err), STATUS_NOT_FOUND);
    assert_ok(submit(fixture->queue, 2, "again", &err), &err);
    assert_ok(queue_commit(fixture->queue, &err), &err);
    assert_int_equal(queue_last_seq(fixture->queue), 2);
    assert_ok(queue_verify(fixture->queue, &err), &err);
}

static void a_full_disk_loses_nothing_that_was_committed(void **state)
{
    struct fixture *fixture = *state;
    struct queue *queue = fixture->queue;
    int64_t committed = 0;
    struct error err;

    assert_ok(db_script(queue->db, "PRAGMA max_page_count = 40", &err), &err);
    enum status status = STATUS_OK;
    for (int64_t job = 1; status == STATUS_OK && job < 10000; job++) {
        status = submit(queue, job, "j", &err);
        if (status == STATUS_OK) {
            status = queue_commit(queue, &err);
        }
        committed += status == STATUS_OK ? 1 : 0;
    }
    assert_int_equal(status, STATUS_NO_SPACE);
    assert_true(committed > 10);
    queue_rollback(queue);
    assert_int_equal(queue_last_seq(queue), committed);
    assert_ok(queue_verify(queue, &err), &err);
    assert_ok(db_script(queue->db, "PRAGMA max_page_count = 1000", &err), &err);
    assert_ok(submit(queue, committed + 1, "room", &err), &err);
    assert_ok(queue_commit(queue, &err), &err);
}

static void what_is_committed_survives_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    int64_t next = 0;
    struct error err;

    assert_ok(submit(fixture->queue, 1, "kept", &err), &err);
    assert_ok(queue_commit(fixture->queue, &err), &err);
    assert_ok(submit(fixture->queue, 2, "lost", &err), &err);
    queue_close(fixture->queue);
    fixture->queue = NULL;
    assert_ok(queue_open(&fixture->queue, fixture->path, &err), &err);
    assert_int_equal(queue_last_seq(fixture->queue), 1);
    assert_ok(queue_next_job(fixture->queue, &next, &err), &err);
    assert_int_equal(next, 2);
}

static void jobs_are_found_by_id_and_by_a_name_that_is_unique(void **state)
{
    static const struct {
        const char *reference;
        enum status status;
        int64_t id;
    } cases[] = {
        {"1", STATUS_OK, 1},          {"one", STATUS_OK, 1},        {"3", STATUS_OK, 3},
        {"twin", STATUS_CONFLICT, 0}, {"4", STATUS_NOT_FOUND, 0},   {"nobody", STATUS_NOT_FOUND, 0},
        {"1x", STATUS_NOT_FOUND, 0},  {"0x1", STATUS_NOT_FOUND, 0}, {"", STATUS_NOT_FOUND, 0},
    };
    struct fixture *fixture = *state;
    struct error err;

    assert_ok(submit(fixture->queue, 1, "one", &err), &err);
    assert_ok(submit(fixture->queue, 2, "twin", &err), &err);
    assert_ok(submit(fixture->queue, 3, "twin", &err), &err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct job job = {0};
        enum status status = queue_find_job(fixture->queue, &job, cases[i].reference, &err);
        if (status != cases[i].status || (status == STATUS_OK && job.id != cases[i].id)) {
            fail_msg("'%s': status %d, job %lld", cases[i].reference, (int)status,
                     (long long)job.id);
        }
    }
    assert_int_equal(queue_find_job(fixture->queue, &(struct job){0}, "twin", &err),
                     STATUS_CONFLICT);
    assert_contains(err.hint, "3, 2");
}

/* ---- Calls that fail ---- */

static enum status open_and_submit(void *context, struct error *err)
{
    struct queue *queue = NULL;
    const char *path = context;

    enum status status = queue_open(&queue, path, err);
    if (status == STATUS_OK) {
        status = submit(queue, queue_last_seq(queue) + 1, "j", err);
    }
    if (status == STATUS_OK) {
        status = queue_commit(queue, err);
    }
    queue_close(queue);
    return status;
}

static void check_failure(void *context, enum status status, const struct error *err)
{
    (void)context;
    assert_int_not_equal(status, STATUS_OK);
    assert_true(err->message[0] != '\0');
}

static void a_failing_call_is_a_clean_error(void **state)
{
    struct fixture *fixture = *state;

    queue_close(fixture->queue);
    fixture->queue = NULL;
    test_fail_each_call(open_and_submit, check_failure, fixture->path);
}

#define with_queue(test) cmocka_unit_test_setup_teardown(test, fixture_create, fixture_destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_queue(every_event_moves_the_tables_and_replay_rebuilds_them),
        with_queue(tables_that_no_event_explains_are_found),
        with_queue(events_can_neither_change_nor_go),
        with_queue(a_failed_change_leaves_only_the_rollback),
        with_queue(a_full_disk_loses_nothing_that_was_committed),
        with_queue(what_is_committed_survives_and_nothing_else),
        with_queue(jobs_are_found_by_id_and_by_a_name_that_is_unique),
        with_queue(a_failing_call_is_a_clean_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
