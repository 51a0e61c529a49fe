#include "client/job.h"
#include "proto/base/json.h"
#include "tests/support/test.h"

static void ids_and_names_and_steps_are_read(void **state)
{
    static const struct {
        const char *text;
        const char *name;
        int64_t step;
    } cases[] = {{"12", "12", -1},
                 {"pubmed-demo", "pubmed-demo", -1},
                 {"a", "a", -1},
                 {"v1.2_x@300", "v1.2_x", 300},
                 {"7@0", "7", 0}};
    struct job_reference reference;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(job_reference_parse(&reference, cases[i].text, true, &err), &err);
        assert_string_equal(reference.name, cases[i].name);
        assert_int_equal(reference.step, cases[i].step);
    }
}

static void what_is_no_reference_is_refused(void **state)
{
    static const char *const cases[] = {
        "", "0", "-3", "1x", "_a", "a b", "a/b", "x@", "x@-1", "x@1.5", "@300", "job\n1",
        "99999999999999999999",
        /* 65 characters */
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct job_reference reference;
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(job_reference_parse(&reference, cases[i], true, &err), STATUS_INVALID);
    }
    assert_int_equal(job_reference_parse(&reference, "demo@3", false, &err), STATUS_INVALID);
    assert_contains(err.message, "without @STEP");
}

static void an_id_is_asked_for_as_a_number(void **state)
{
    struct job_reference reference = {.name = "12"};
    json_t *params = job_reference_params(&reference);
    (void)state;
    assert_int_equal(json_get_int(params, "job", -1), 12);
    json_decref(params);
    reference = (struct job_reference){.name = "demo"};
    params = job_reference_params(&reference);
    assert_string_equal(json_get_text(params, "job", ""), "demo");
    json_decref(params);
}

static void outcomes_have_their_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(job_state_exit_code(JOB_STATE_SUCCEEDED), 0);
    assert_int_equal(job_state_exit_code(JOB_STATE_FAILED), 1);
    assert_int_equal(job_state_exit_code(JOB_STATE_CANCELLED), 11);
    assert_int_equal(job_state_from_name("hibernating"), JOB_STATE_UNKNOWN);
    assert_false(job_state_is_final(JOB_STATE_UNKNOWN));
}

static void an_object_with_gaps_gives_safe_values(void **state)
{
    json_t *object = json_pack("{s:I, s:n, s:s}", "id", (json_int_t)3, "reason", "state", "queued");
    struct job job;
    (void)state;
    job_from_json(&job, object);
    assert_int_equal(job.id, 3);
    assert_int_equal(job.state, JOB_STATE_QUEUED);
    assert_string_equal(job.name, "");
    assert_string_equal(job.evidence, "");
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_and_names_and_steps_are_read),
        cmocka_unit_test(what_is_no_reference_is_refused),
        cmocka_unit_test(an_id_is_asked_for_as_a_number),
        cmocka_unit_test(outcomes_have_their_exit_codes),
        cmocka_unit_test(an_object_with_gaps_gives_safe_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
