#include "daemon/outcome.h"
#include "daemon/process.h"
#include "proto/base/file.h"
#include "tests/support/test.h"

/* ---- Judging ---- */

struct judge_case {
    const char *what;
    struct exit_record exit;
    bool is_shim_lost;
    bool is_other_boot;
    bool is_stopping; /* the job was asked to stop */
    bool is_last;     /* no attempt is left after this one */
    enum attempt_state attempt_state;
    enum reason_type reason;
    enum job_state job_state;
    bool counts;
};

/* The order of exit_record: exit code, signal, cancelled, never started, time, message. */
static const struct judge_case judge_cases[] = {
    {"success",
     {0, 0, false, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_SUCCEEDED,
     REASON_COMPLETED,
     JOB_STATE_SUCCEEDED,
     true},
    {"success of the last attempt",
     {0, 0, false, false, 1, ""},
     false,
     false,
     false,
     true,
     ATTEMPT_STATE_SUCCEEDED,
     REASON_COMPLETED,
     JOB_STATE_SUCCEEDED,
     true},
    {"success before the stop was heard",
     {0, 0, false, false, 1, ""},
     false,
     false,
     true,
     false,
     ATTEMPT_STATE_SUCCEEDED,
     REASON_COMPLETED,
     JOB_STATE_SUCCEEDED,
     true},
    {"some failure",
     {1, 0, false, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_WORKER_FAILED,
     JOB_STATE_QUEUED,
     true},
    {"some failure of the last attempt",
     {1, 0, false, false, 1, ""},
     false,
     false,
     false,
     true,
     ATTEMPT_STATE_FAILED,
     REASON_WORKER_FAILED,
     JOB_STATE_FAILED,
     true},
    {"no space is no reason to give up",
     {9, 0, false, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_WORKER_FAILED,
     JOB_STATE_QUEUED,
     true},
    {"a bad spec is",
     {2, 0, false, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_INVALID_JOB,
     JOB_STATE_FAILED,
     true},
    {"a rank killed, as mpirun tells it",
     {137, 0, false, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_WORKER_KILLED,
     JOB_STATE_QUEUED,
     true},
    {"mpirun itself killed",
     {-1, 9, false, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_WORKER_KILLED,
     JOB_STATE_QUEUED,
     true},
    {"mpirun's own code for a lost host",
     {205, 0, false, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_WORKER_FAILED,
     JOB_STATE_QUEUED,
     true},
    {"could not be launched",
     {-1, 0, false, false, 1, "no mpirun"},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_LAUNCH_FAILED,
     JOB_STATE_QUEUED,
     true},
    {"stopped in order by the worker",
     {11, 0, false, false, 1, ""},
     false,
     false,
     true,
     false,
     ATTEMPT_STATE_CANCELLED,
     REASON_CANCELLED,
     JOB_STATE_CANCELLED,
     true},
    {"taken down by the shim",
     {143, 0, true, false, 1, ""},
     false,
     false,
     true,
     false,
     ATTEMPT_STATE_CANCELLED,
     REASON_CANCELLED,
     JOB_STATE_CANCELLED,
     true},
    {"failed while it was to stop",
     {1, 0, false, false, 1, ""},
     false,
     false,
     true,
     false,
     ATTEMPT_STATE_CANCELLED,
     REASON_CANCELLED,
     JOB_STATE_CANCELLED,
     true},
    {"told to end by somebody else",
     {143, 0, true, false, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_CANCELLED,
     REASON_CANCELLED,
     JOB_STATE_QUEUED,
     true},
    {"the shim vanished",
     {-1, 0, false, false, 1, ""},
     true,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_SHIM_LOST,
     JOB_STATE_QUEUED,
     true},
    {"the shim vanished, asked to stop",
     {-1, 0, false, false, 1, ""},
     true,
     false,
     true,
     false,
     ATTEMPT_STATE_CANCELLED,
     REASON_CANCELLED,
     JOB_STATE_CANCELLED,
     true},
    {"the machine was restarted",
     {-1, 0, false, false, 1, ""},
     true,
     true,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_HOST_RESTARTED,
     JOB_STATE_QUEUED,
     false},
    {"never started",
     {-1, 0, false, true, 1, ""},
     false,
     false,
     false,
     false,
     ATTEMPT_STATE_FAILED,
     REASON_NEVER_STARTED,
     JOB_STATE_QUEUED,
     false},
    {"never started, and cancelled",
     {-1, 0, false, true, 1, ""},
     false,
     false,
     true,
     false,
     ATTEMPT_STATE_CANCELLED,
     REASON_CANCELLED,
     JOB_STATE_CANCELLED,
     false},
};

static void each_end_of_an_attempt_has_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof judge_cases / sizeof judge_cases[0]; i++) {
        const struct judge_case *row = &judge_cases[i];
        const struct outcome outcome = {.exit = row->exit,
                                        .is_shim_lost = row->is_shim_lost,
                                        .is_other_boot = row->is_other_boot};
        const struct job job = {.id = 7,
                                .state = row->is_stopping ? JOB_STATE_STOPPING : JOB_STATE_RUNNING,
                                .attempts_max = 3,
                                .attempts_used = row->is_last ? 2 : 0};
        struct verdict verdict;

        outcome_judge(&verdict, &outcome, &job);
        if (verdict.attempt_state != row->attempt_state || verdict.reason.type != row->reason ||
            verdict.job_state != row->job_state || verdict.counts != row->counts) {
            fail_msg("%s: attempt %s (%s), job %s, counts %d", row->what,
                     attempt_state_name(verdict.attempt_state), reason_name(verdict.reason.type),
                     job_state_name(verdict.job_state), verdict.counts);
        }
        assert_true(job_state_allows(job.state, verdict.job_state));
    }
}

static void the_evidence_is_what_the_rank_or_else_the_output_said(void **state)
{
    const struct job job = {.id = 7, .state = JOB_STATE_RUNNING, .attempts_max = 1};
    struct outcome outcome = {.exit = {.exit_code = 1}, .last_line = "Segmentation fault"};
    struct verdict verdict;

    (void)state;
    outcome_judge(&verdict, &outcome, &job);
    assert_string_equal(verdict.reason.evidence, "exit code 1; its last line: Segmentation fault");
    assert_string_equal(verdict.reason.hint, "remora logs 7");
    outcome.has_rank_error = true;
    (void)error_set(&outcome.rank_error, STATUS_IO, "rank 1: disk gone");
    error_set_hint(&outcome.rank_error, "find it");
    outcome_judge(&verdict, &outcome, &job);
    assert_string_equal(verdict.reason.evidence, "exit code 1: rank 1: disk gone");
    assert_string_equal(verdict.reason.hint, "find it");
}

/* ---- Gathering ---- */

struct gather_case {
    const char *what;
    bool has_folder;
    bool has_shim;
    bool has_exit;
    bool never_started;
    bool is_shim_lost;
};

static const struct gather_case gather_cases[] = {
    {"not even a folder", false, false, false, true, false},
    {"a folder, but no shim", true, false, false, true, false},
    {"a shim without an end", true, true, false, false, true},
    {"a shim and its end", true, true, true, false, false},
};

static void what_an_attempt_left_says_how_it_ended(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof gather_cases / sizeof gather_cases[0]; i++) {
        const struct gather_case *row = &gather_cases[i];
        struct process_identity shim = {.pid = 4711, .start_ticks = 5};
        const struct exit_record end = {.exit_code = 3, .ended_ms = 1};
        char root[PATH_BYTES_MAX];
        char folder[PATH_BYTES_MAX];
        char tmp[PATH_BYTES_MAX];
        struct exit_record fence;
        struct outcome outcome;
        struct error err;

        test_folder_create(root);
        assert_ok(path_printf(folder, &err, "%s/1", root), &err);
        assert_ok(path_printf(tmp, &err, "%s/tmp", folder), &err);
        assert_ok(boot_id_read(shim.boot_id, &err), &err);
        if (row->has_folder) {
            assert_ok(folder_create(tmp, 0700, &err), &err);
        }
        if (row->has_shim) {
            assert_ok(shim_record_write(folder, "no-such-attempt", &shim, &err), &err);
        }
        if (row->has_exit) {
            assert_ok(exit_record_write(folder, &end, &err), &err);
        }
        assert_ok(outcome_gather(&outcome, folder, "no-such-attempt", 1, 0, &err), &err);
        if (outcome.exit.never_started != row->never_started ||
            outcome.is_shim_lost != row->is_shim_lost || outcome.is_other_boot ||
            outcome.left != 0 || outcome.exit.exit_code != (row->has_exit ? 3 : -1)) {
            fail_msg("%s: never started %d, lost %d, exit code %d", row->what,
                     outcome.exit.never_started, outcome.is_shim_lost, outcome.exit.exit_code);
        }
        assert_false(file_exists(tmp));
        if (row->has_folder) { /* no late shim may start */
            assert_ok(exit_record_read(folder, &fence, &err), &err);
        }
        test_folder_remove(root);
    }
}

static void a_shim_of_an_earlier_boot_went_with_the_machine(void **state)
{
    const struct process_identity shim = {.boot_id = "another", .pid = 4711, .start_ticks = 5};
    char folder[PATH_BYTES_MAX];
    struct outcome outcome;
    struct error err;

    (void)state;
    test_folder_create(folder);
    assert_ok(shim_record_write(folder, "no-such-attempt", &shim, &err), &err);
    assert_ok(outcome_gather(&outcome, folder, "no-such-attempt", 1, 0, &err), &err);
    assert_true(outcome.is_other_boot);
    assert_true(outcome.is_shim_lost);
    test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_end_of_an_attempt_has_its_verdict),
        cmocka_unit_test(the_evidence_is_what_the_rank_or_else_the_output_said),
        cmocka_unit_test(what_an_attempt_left_says_how_it_ended),
        cmocka_unit_test(a_shim_of_an_earlier_boot_went_with_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
