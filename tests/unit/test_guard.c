/* The parts of the guard that need no run: the window of losses, patience, documents in words. */
#include <math.h>

#include "proto/base/json.h"
#include "tests/support/test.h"
#include "worker/train/documents.h"
#include "worker/train/guard.h"
#include "worker/train/patience.h"

static struct guard guard_with(int64_t window, double z, int64_t max_skipped)
{
    const struct train_spec spec = {
        .guard = {.max_skipped = max_skipped, .spike_window = window, .spike_z = z}};
    struct guard guard;
    struct error err;

    assert_ok(guard_init(&guard, &spec, &err), &err);
    return guard;
}

static void a_spike_is_told_once_the_window_is_full(void **state)
{
    static const struct {
        double loss;
        bool is_spike;
    } steps[] = {
        {4.0, false}, {6.0, false}, {90.0, false}, /* not full yet */
        {4.0, false},                              /* 4, 6, 90 before */
        {5.0, false}, {6.0, false},                /* the 90 has left */
        {9.0, true},                               /* 4, 5, 6: mean 5, deviation 1, z 4 */
        {9.0, false},                              /* 5, 6, 9 */
    };
    struct guard guard = guard_with(3, 3.0, 3);
    (void)state;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct loss_spike spike = {0};
        if (guard_take_loss(&guard, steps[i].loss, &spike) != steps[i].is_spike) {
            fail_msg("loss %zu: z %g", i, spike.z);
        }
        if (steps[i].is_spike) {
            assert_true(spike.mean == 5.0 && spike.deviation == 1.0 && spike.z == 4.0);
        }
    }
    guard_deinit(&guard);
}

static void equal_losses_and_a_z_of_0_give_no_spike(void **state)
{
    (void)state;
    for (int z = 0; z < 2; z++) {
        struct guard guard = guard_with(2, z, 0);
        struct loss_spike spike = {0};
        for (int i = 0; i < 4; i++) {
            assert_false(guard_take_loss(&guard, 3.0, &spike));
        }
        if (z == 0) {
            assert_false(guard_take_loss(&guard, 5.0, &spike));
            assert_false(guard_take_loss(&guard, 1e9, &spike));
        }
        guard_deinit(&guard);
    }
}

static void skips_count_in_a_row(void **state)
{
    struct guard guard = guard_with(2, 6.0, 2);
    struct loss_spike spike = {0};
    (void)state;

    for (int round = 0; round < 3; round++) {
        guard_take_skip(&guard);
        guard_take_skip(&guard);
        assert_false(guard_is_exhausted(&guard));
        (void)guard_take_loss(&guard, 1.0, &spike);
    }
    for (int i = 0; i < 3; i++) {
        assert_false(guard_is_exhausted(&guard));
        guard_take_skip(&guard);
    }
    assert_true(guard_is_exhausted(&guard));
    assert_int_equal(guard.skipped, 9);
    guard_deinit(&guard);
}

static void a_guards_state_goes_on_elsewhere(void **state)
{
    struct guard guard = guard_with(3, 1.5, 2);
    struct guard other = guard_with(3, 1.5, 2);
    struct loss_spike spike = {0};
    struct loss_spike other_spike = {0};
    struct error err;
    (void)state;

    for (int i = 0; i < 7; i++) {
        (void)guard_take_loss(&guard, 3.0 + 1.0 / (i + 3.0), &spike);
    }
    guard_take_skip(&guard);
    json_t *saved = guard_state(&guard);
    assert_ok(guard_set_state(&other, saved, &err), &err);
    assert_int_equal(other.skipped, 1);
    assert_int_equal(other.skipped_in_row, 1);
    assert_true(guard_take_loss(&guard, 3.9, &spike));
    assert_true(guard_take_loss(&other, 3.9, &other_spike));
    assert_memory_equal(&spike, &other_spike, sizeof spike);

    (void)json_array_append_new(json_object_get(saved, "losses"), json_integer(1));
    assert_int_equal(guard_set_state(&other, saved, &err), STATUS_CORRUPT);
    (void)json_object_del(saved, "losses");
    assert_int_equal(guard_set_state(&other, saved, &err), STATUS_CORRUPT);
    json_decref(saved);
    guard_deinit(&guard);
    guard_deinit(&other);
}

static void patience_counts_evaluations_since_the_best(void **state)
{
    const struct train_spec spec = {.stop = {.patience = 2, .min_delta = 0.5}};
    struct patience patience = PATIENCE_FRESH;
    struct patience copy;
    struct error err;
    (void)state;

    assert_false(patience_take(&patience, &spec, 0, 4.0));
    assert_false(patience_take(&patience, &spec, 10, 3.6)); /* by less than min_delta */
    json_t *saved = patience_state(&patience);
    assert_ok(patience_set_state(&copy, saved, &err), &err);
    assert_memory_equal(&copy, &patience, sizeof copy);
    json_decref(saved);
    assert_true(patience_take(&copy, &spec, 20, (double)NAN));
    assert_false(patience_take(&patience, &spec, 20, 3.4));
    assert_int_equal(patience.best_step, 20);
    assert_false(patience_take(&patience, &spec, 30, 3.4));
    assert_true(patience_take(&patience, &spec, 40, 3.4));

    const struct train_spec none = {.stop = {.patience = 0}};
    for (int i = 0; i < 100; i++) {
        assert_false(patience_take(&patience, &none, 50, 9.0));
    }
}

static void fresh_patience_is_state_too(void **state)
{
    struct patience patience = PATIENCE_FRESH;
    struct patience copy;
    struct error err;
    (void)state;

    json_t *saved = patience_state(&patience);
    assert_ok(patience_set_state(&copy, saved, &err), &err);
    assert_true(isinf(copy.best) && copy.best_step == -1);
    (void)json_object_del(saved, "since");
    assert_int_equal(patience_set_state(&copy, saved, &err), STATUS_CORRUPT);
    json_decref(saved);
}

static void documents_are_named_as_far_as_they_fit(void **state)
{
    static const struct document_range ranges[] = {{0, 12, 15}, {0, 40, 40}, {3, 7, 8}};
    static const char whole[] = "data.train[0] 12-15, 40; data.train[3] 7-8";
    char text[64];
    (void)state;

    documents_print(text, sizeof text, ranges, 3);
    assert_string_equal(text, whole);
    for (size_t size = sizeof " …"; size < sizeof text; size++) {
        memset(text, 'x', sizeof text);
        documents_print(text, size, ranges, 3);
        const size_t length = strlen(text);
        assert_true(length < size);
        if (strcmp(text, whole) != 0) {
            assert_true(strncmp(text, whole, length - strlen(" …")) == 0);
            assert_string_equal(text + length - strlen(" …"), " …");
        }
    }
    json_t *json = documents_to_json(ranges, 3);
    assert_int_equal(json_array_size(json), 3);
    assert_int_equal(json_get_int(json_array_get(json, 2), "last", -1), 8);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spike_is_told_once_the_window_is_full),
        cmocka_unit_test(equal_losses_and_a_z_of_0_give_no_spike),
        cmocka_unit_test(skips_count_in_a_row),
        cmocka_unit_test(a_guards_state_goes_on_elsewhere),
        cmocka_unit_test(patience_counts_evaluations_since_the_best),
        cmocka_unit_test(fresh_patience_is_state_too),
        cmocka_unit_test(documents_are_named_as_far_as_they_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
