/*
 * A supervisor whose transaction is in the test's hands. The shim that it finds is a child of this
 * process that only holds the lock.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include "daemon/attempt_files.h"
#include "daemon/process.h"
#include "daemon/supervisor.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "tests/support/test.h"

/* A bound on hangs, never a measurement. */
#define PATIENCE_NS ((int64_t)20 * 1000000000)

struct fixture {
    struct supervisor_config config;
    uv_loop_t loop;
    struct queue *queue;
    struct metrics *metrics;
    struct supervisor *supervisor;
    pid_t shim;
};

static void on_record(void *context, int64_t job, const json_t *record)
{
    (void)context;
    (void)job;
    (void)record;
}

static bool on_control(void *context, int64_t job, int attempt, const char *action)
{
    (void)context;
    (void)job;
    (void)attempt;
    (void)action;
    return false;
}

/* ---- What an earlier daemon has left: job 1 with its attempt 1 running ---- */

static void append_past(struct queue *queue)
{
    struct error err;

    assert_ok(queue_append(queue, EVENT_JOB_SUBMITTED, 1, 0,
                           json_pack("{s:s, s:s, s:s, s:s}", "name", "j", "kind", "prepare", "spec",
                                     "s", "inputs", "i"),
                           &err),
              &err);
    assert_ok(queue_append(queue, EVENT_ATTEMPT_STARTING, 1, 1,
                           json_pack("{s:s, s:[i]}", "attempt_id", "a", "cpus", 0), &err),
              &err);
    assert_ok(queue_append(
                  queue, EVENT_ATTEMPT_STARTED, 1, 1,
                  json_pack("{s:s, s:i, s:i}", "boot_id", "b", "pid", 2, "process_start", 3), &err),
              &err);
    assert_ok(queue_commit(queue, &err), &err);
}

/* Returns when the child holds the lock. */
static void start_shim(struct fixture *fixture, const char *folder)
{
    struct process_identity identity;
    struct error err;
    int ends[2];
    char byte = 0;

    assert_int_equal(pipe(ends), 0);
    fixture->shim = fork();
    assert_true(fixture->shim >= 0);
    if (fixture->shim == 0) {
        int lock = -1;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test fail */
        byte = attempt_lock_take(&lock, folder, NULL) == STATUS_OK ? '1' : '0';
        (void)!write(ends[1], &byte, 1);
        for (;;) {
            (void)pause();
        }
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, '1');
    (void)close(ends[0]);
    (void)close(ends[1]);
    assert_ok(process_identify(&identity, fixture->shim, &err), &err);
    assert_ok(shim_record_write(folder, "a", &identity, &err), &err);
}

static int fixture_create(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const struct supervisor_callbacks callbacks = {.on_record = on_record,
                                                   .on_control = on_control};
    const struct cpu_list cores = {.count = 1};
    char path[PATH_BYTES_MAX];
    bool was_replaced = false;
    struct error err;

    test_folder_create(fixture->config.state_folder);
    slot_set_init(&fixture->config.slots, &cores, 1);
    assert_ok(attempt_folder_path(path, fixture->config.state_folder, 1, 1, &err), &err);
    assert_ok(folder_create(path, 0700, &err), &err);
    start_shim(fixture, path);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_ok(path_printf(path, &err, "%s/queue.db", fixture->config.state_folder), &err);
    assert_ok(queue_open(&fixture->queue, path, &err), &err);
    assert_ok(path_printf(path, &err, "%s/metrics.db", fixture->config.state_folder), &err);
    assert_ok(metrics_open(&fixture->metrics, path, &was_replaced, &err), &err);
    append_past(fixture->queue);
    assert_ok(supervisor_create(&fixture->supervisor, &fixture->loop, fixture->queue,
                                fixture->metrics, &fixture->config, &callbacks, &err),
              &err);
    *state = fixture;
    return 0;
}

static int fixture_destroy(void **state)
{
    struct fixture *fixture = *state;

    supervisor_stop(fixture->supervisor);
    (void)uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    supervisor_destroy(fixture->supervisor);
    metrics_close(fixture->metrics);
    queue_close(fixture->queue);
    (void)kill(fixture->shim, SIGKILL);
    (void)waitpid(fixture->shim, NULL, 0);
    test_folder_remove(fixture->config.state_folder);
    free(fixture);
    return 0;
}

/* ---- The daemon's side ---- */

/* As a full disk does: from here on the transaction is only good for a rollback. */
static void spoil_transaction(struct fixture *fixture)
{
    assert_int_not_equal(
        queue_append(fixture->queue, EVENT_ATTEMPT_ENDED, 1, 1, json_object(), NULL), STATUS_OK);
}

static void roll_back(struct fixture *fixture)
{
    queue_rollback(fixture->queue);
    metrics_rollback(fixture->metrics);
    supervisor_rolled_back(fixture->supervisor);
}

/* One iteration of the daemon's loop. */
static void iterate(struct fixture *fixture)
{
    struct error err;

    (void)uv_run(&fixture->loop, UV_RUN_ONCE);
    supervisor_plan(fixture->supervisor);
    assert_ok(queue_commit(fixture->queue, &err), &err);
    assert_ok(metrics_commit(fixture->metrics, &err), &err);
    supervisor_committed(fixture->supervisor);
}

static enum status count_adoption(void *context, const struct event *event, struct error *err)
{
    (void)err;
    *(int *)context += event->type == EVENT_ATTEMPT_ADOPTED ? 1 : 0;
    return STATUS_OK;
}

static int adoptions(struct fixture *fixture)
{
    int count = 0;
    struct error err;

    assert_ok(queue_each_event(fixture->queue, 1, 0, 1000, count_adoption, &count, &err), &err);
    return count;
}

static void expect_one_adoption(struct fixture *fixture)
{
    int64_t deadline_ns = sys_monotonic_ns() + PATIENCE_NS;

    while (adoptions(fixture) == 0) {
        assert_true(sys_monotonic_ns() < deadline_ns);
        iterate(fixture);
    }
    for (int i = 0; i < 5; i++) {
        iterate(fixture);
    }
    assert_int_equal(adoptions(fixture), 1);
}

/* ---- Tests ---- */

static void a_living_attempt_is_adopted_once(void **state)
{
    struct fixture *fixture = *state;
    struct error err;

    assert_ok(supervisor_start(fixture->supervisor, &err), &err);
    expect_one_adoption(fixture);
}

static void an_adoption_that_could_not_be_appended_is_appended_later(void **state)
{
    struct fixture *fixture = *state;
    struct error err;

    spoil_transaction(fixture);
    assert_ok(supervisor_start(fixture->supervisor, &err), &err);
    roll_back(fixture);
    assert_int_equal(adoptions(fixture), 0);
    expect_one_adoption(fixture);
}

static void an_adoption_that_was_rolled_back_is_appended_again(void **state)
{
    struct fixture *fixture = *state;
    struct error err;

    assert_ok(supervisor_start(fixture->supervisor, &err), &err);
    assert_int_equal(adoptions(fixture), 1);
    spoil_transaction(fixture);
    roll_back(fixture);
    assert_int_equal(adoptions(fixture), 0);
    expect_one_adoption(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_living_attempt_is_adopted_once, fixture_create,
                                        fixture_destroy),
        cmocka_unit_test_setup_teardown(an_adoption_that_could_not_be_appended_is_appended_later,
                                        fixture_create, fixture_destroy),
        cmocka_unit_test_setup_teardown(an_adoption_that_was_rolled_back_is_appended_again,
                                        fixture_create, fixture_destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
