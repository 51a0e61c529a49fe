#include "tests/support/test.h"
#include "worker/model/memory_plan.h"

struct tensors {
    float *a;
    float *b;
    float *none;
};

static void layout(struct tensors *tensors, struct memory_plan *plan)
{
    tensors->a = memory_plan_floats(plan, MEMORY_KIND_PARAMETERS, 17);
    tensors->none = memory_plan_floats(plan, MEMORY_KIND_WORKSPACE, 0);
    tensors->b = memory_plan_floats(plan, MEMORY_KIND_ACTIVATIONS, 3);
}

static void the_second_pass_binds_what_the_first_planned(void **state)
{
    (void)state;
    struct memory_plan plan = {0};
    struct tensors tensors;
    struct error err = {0};

    layout(&tensors, &plan);
    assert_null(tensors.a);
    assert_int_equal(plan.bytes_total, 128 + 64);
    assert_int_equal(plan.bytes[MEMORY_KIND_PARAMETERS], 128);
    assert_ok(memory_plan_allocate(&plan, 192, &err), &err);
    assert_false(memory_plan_complete(&plan));
    layout(&tensors, &plan);
    assert_true(memory_plan_complete(&plan));
    assert_non_null(tensors.a);
    assert_null(tensors.none);
    assert_int_equal((uintptr_t)tensors.a % MEMORY_ALIGNMENT, 0);
    assert_ptr_equal(tensors.b, tensors.a + 32);
    for (int i = 0; i < 17; i++) {
        assert_true(tensors.a[i] == 0.0F);
        tensors.a[i] = 1.0F;
    }
    memory_plan_deinit(&plan);
}

static void what_does_not_fit_is_refused_with_what_to_change(void **state)
{
    (void)state;
    struct memory_plan plan = {0};
    struct error err = {0};

    (void)memory_plan_floats(&plan, MEMORY_KIND_PARAMETERS, 10 * 1024 * 1024);
    (void)memory_plan_floats(&plan, MEMORY_KIND_ACTIVATIONS, 30 * 1024 * 1024);
    assert_int_equal(memory_plan_allocate(&plan, (160 * MIB) - 1, &err), STATUS_LIMIT);
    assert_contains(err.message, "needs 160 MiB of memory and 159 MiB are there");
    assert_contains(err.message, "activations 120 MiB");
    assert_string_equal(err.field, "batch.micro");
    assert_contains(err.hint, "batch.micro");
    memory_plan_deinit(&plan);

    (void)memory_plan_floats(&plan, MEMORY_KIND_PARAMETERS, 30 * 1024 * 1024);
    assert_int_equal(memory_plan_allocate(&plan, 100 * MIB, &err), STATUS_LIMIT);
    assert_contains(err.hint, "smaller model");
    memory_plan_deinit(&plan);
}

static void a_size_that_overflows_is_refused(void **state)
{
    (void)state;
    struct memory_plan plan = {0};
    struct error err = {0};

    (void)memory_plan_floats(&plan, MEMORY_KIND_PARAMETERS, INT64_MAX);
    assert_int_equal(memory_plan_allocate(&plan, 0, &err), STATUS_LIMIT);
    memory_plan_deinit(&plan);
}

static void some_memory_is_available(void **state)
{
    (void)state;
    assert_true(memory_available_bytes() > MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_pass_binds_what_the_first_planned),
        cmocka_unit_test(what_does_not_fit_is_refused_with_what_to_change),
        cmocka_unit_test(a_size_that_overflows_is_refused),
        cmocka_unit_test(some_memory_is_available),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
