#include <sched.h>

#include "proto/base/file.h"
#include "tests/support/test.h"
#include "worker/train/process.h"
#include "worker/train/run_folder.h"

static char root[PATH_BYTES_MAX];
static char path[PATH_BYTES_MAX + 8];

static int create_root(void **state)
{
    (void)state;
    test_folder_create(root);
    (void)snprintf(path, sizeof path, "%s/run", root);
    return 0;
}

static int remove_root(void **state)
{
    (void)state;
    test_folder_remove(root);
    return 0;
}

static json_t *spec_of(double lr, int steps)
{
    return json_pack("{s:s, s:{s:f}, s:i}", "kind", "train", "optimizer", "lr", lr, "steps", steps);
}

static void one_attempt_at_a_time(void **state)
{
    struct run_folder first;
    struct run_folder second;
    struct error err;
    (void)state;

    assert_ok(run_folder_open(&first, path, &err), &err);
    assert_int_equal(run_folder_open(&second, path, &err), STATUS_BUSY);
    run_folder_close(&second);
    run_folder_close(&first);
    assert_ok(run_folder_open(&second, path, &err), &err);
    run_folder_close(&second);
}

static void another_spec_is_refused_naming_the_field(void **state)
{
    struct run_folder folder;
    struct error err;
    (void)state;

    json_t *first = spec_of(0.1, 10);
    json_t *other = spec_of(0.2, 10);
    json_t *more = spec_of(0.1, 10);
    (void)json_object_set_new(more, "seed", json_integer(3));
    assert_ok(run_folder_open(&folder, path, &err), &err);
    assert_ok(run_folder_set_spec(&folder, first, &err), &err);
    assert_ok(run_folder_set_spec(&folder, first, &err), &err);
    assert_int_equal(run_folder_set_spec(&folder, other, &err), STATUS_CONFLICT);
    assert_string_equal(err.field, "optimizer.lr");
    assert_int_equal(run_folder_set_spec(&folder, more, &err), STATUS_CONFLICT);
    assert_string_equal(err.field, "seed");
    assert_ok(run_folder_set_spec(&folder, first, &err), &err);
    json_decref(first);
    json_decref(other);
    json_decref(more);
    run_folder_close(&folder);
}

static void pins_of_the_first_attempt_stay(void **state)
{
    struct bytes differences = {0};
    struct run_folder folder;
    struct error err;
    (void)state;

    json_t *first = json_pack("{s:s, s:i}", "isa", "avx512", "world", 2);
    json_t *other = json_pack("{s:s, s:i}", "isa", "avx2", "world", 2);
    assert_ok(run_folder_open(&folder, path, &err), &err);
    assert_ok(run_folder_pin(&folder, first, &differences, &err), &err);
    assert_ok(run_folder_pin(&folder, first, &differences, &err), &err);
    assert_int_equal(differences.size, 0);
    assert_ok(run_folder_pin(&folder, other, &differences, &err), &err);
    assert_string_equal(differences.data, "isa avx512 → avx2, ");
    bytes_clear(&differences);
    assert_ok(run_folder_pin(&folder, first, &differences, &err), &err);
    assert_int_equal(differences.size, 0);
    bytes_deinit(&differences);
    json_decref(first);
    json_decref(other);
    run_folder_close(&folder);
}

static void a_rank_is_bound_to_its_part_of_the_cores(void **state)
{
    cpu_set_t before;
    cpu_set_t bound;
    char cpus[64];
    struct error err;
    int cpu = 0;
    (void)state;

    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    while (!CPU_ISSET((size_t)cpu, &before)) {
        cpu++;
    }
    /* The first rank's core need not exist for the second one. */
    (void)snprintf(cpus, sizeof cpus, "1023,%d-%d", cpu, cpu);
    assert_ok(process_bind(cpus, 1, 1, &err), &err);
    assert_int_equal(sched_getaffinity(0, sizeof bound, &bound), 0);
    assert_int_equal(CPU_COUNT(&bound), 1);
    assert_true(CPU_ISSET((size_t)cpu, &bound));
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void bad_lists_of_cores_are_refused(void **state)
{
    static const char *const lists[] = {"", "a", "0,", ",0", "3-1", "0-", "-1", "99999", "0;1"};
    struct error err;
    (void)state;

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        assert_int_equal(process_bind(lists[i], 0, 1, &err), STATUS_INVALID);
    }
    assert_int_equal(process_bind("0,1", 1, 2, &err), STATUS_INVALID);
    assert_contains(err.message, "at least 4");
}

#define with_root(test) cmocka_unit_test_setup_teardown(test, create_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_root(one_attempt_at_a_time),
        with_root(another_spec_is_refused_naming_the_field),
        with_root(pins_of_the_first_attempt_stay),
        cmocka_unit_test(a_rank_is_bound_to_its_part_of_the_cores),
        cmocka_unit_test(bad_lists_of_cores_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
