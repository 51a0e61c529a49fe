#include <limits.h>

#include "daemon/scheduler.h"
#include "tests/support/test.h"

#define CPUS_MAX 8

/* A list of cores as tables hold it: its count, then the cores. */
struct cores {
    int count;
    int cpus[CPUS_MAX];
};

static struct cpu_list list_of(const struct cores *cores)
{
    struct cpu_list list = {.count = cores->count};
    memcpy(list.cpus, cores->cpus, (size_t)cores->count * sizeof cores->cpus[0]);
    return list;
}

static struct slot_set slots_over(const struct cores *cores, int slot_count)
{
    struct slot_set slots;
    const struct cpu_list list = list_of(cores);

    slot_set_init(&slots, &list, slot_count);
    return slots;
}

static const struct cores two_cores = {2, {0, 1}};

static void slots_lie_evenly_over_the_cores(void **state)
{
    static const struct {
        struct cores cores;
        int slot_count;
        struct cores expected;
    } cases[] = {
        {{1, {0}}, 0, {1, {0}}},
        {{2, {4, 7}}, 0, {2, {4, 7}}}, /* one per core */
        {{2, {4, 7}}, 1, {1, {4}}},
        {{2, {4, 7}}, 5, {5, {4, 7, 4, 7, 4}}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slot_set slots = slots_over(&cases[i].cores, cases[i].slot_count);
        assert_int_equal(slots.count, cases[i].expected.count);
        assert_int_equal(slot_set_free_count(&slots), slots.count);
        for (int slot = 0; slot < slots.count; slot++) {
            assert_int_equal(slots.cpus[slot], cases[i].expected.cpus[slot]);
        }
    }
}

static void taken_slots_are_busy_until_cleared(void **state)
{
    struct slot_set slots = slots_over(&two_cores, 4);
    const struct cpu_list both = list_of(&(struct cores){2, {0, 1}});
    const struct cpu_list first = list_of(&(struct cores){1, {0}});

    (void)state;
    slot_set_take(&slots, &both);
    assert_int_equal(slot_set_free_count(&slots), 2);
    slot_set_take(&slots, &first);
    assert_int_equal(slot_set_free_count(&slots), 1);
    slot_set_clear(&slots);
    assert_int_equal(slot_set_free_count(&slots), 4);
}

/* An earlier daemon had --slots 4, this one has 2: two attempts of two ranks use both cores. */
static void the_end_of_an_attempt_beyond_the_slots_frees_nobody_else_s(void **state)
{
    struct slot_set slots = slots_over(&two_cores, 2);
    const struct cpu_list cpus = list_of(&(struct cores){2, {0, 1}});
    const struct cpu_list foreign = list_of(&(struct cores){2, {5, 6}});

    (void)state;
    slot_set_take(&slots, &cpus);
    slot_set_take(&slots, &cpus);
    slot_set_take(&slots, &foreign); /* cores that this daemon was not given */
    assert_int_equal(slot_set_free_count(&slots), 0);
    slot_set_clear(&slots); /* one of the two has ended, the others take theirs again */
    slot_set_take(&slots, &cpus);
    slot_set_take(&slots, &foreign);
    assert_int_equal(slot_set_free_count(&slots), 0);
    slot_set_clear(&slots);
    slot_set_take(&slots, &foreign);
    assert_int_equal(slot_set_free_count(&slots), 2);
}

struct schedule_case {
    const char *what;
    int slot_count; /* over two cores */
    struct cores taken;
    int requests[4];     /* slots; 0 ends */
    int64_t waits_ms[4]; /* of the requests */
    int expected;        /* index, or -1 */
    struct cores cpus;
};

static const struct schedule_case schedule_cases[] = {
    {"nobody waits", 2, {0}, {0}, {0}, -1, {0}},
    {"the first goes first", 2, {0}, {1, 1}, {0}, 0, {1, {0}}},
    {"idle cores before shared ones", 4, {1, {0}}, {1}, {0}, 0, {1, {1}}},
    {"ranks are spread", 4, {0}, {3}, {0}, 0, {3, {0, 1, 0}}},
    {"all slots", 2, {0}, {2}, {0}, 0, {2, {0, 1}}},
    {"no slot is free", 2, {2, {0, 1}}, {1}, {0}, -1, {0}},
    {"the head waits and is not overtaken", 2, {1, {0}}, {2, 1}, {0}, -1, {0}},
    {"who can never run is passed over", 2, {0}, {3, 1}, {0}, 1, {1, {0}}},
    {"nobody can ever run", 2, {0}, {3, 4}, {0}, -1, {0}},
    {"a far retry is passed over", 2, {0}, {1, 1}, {SCHEDULE_HOLD_MS + 1}, 1, {1, {0}}},
    {"a near retry is waited for", 2, {0}, {1, 1}, {SCHEDULE_HOLD_MS}, -1, {0}},
    {"to the end", 2, {0}, {1, 1}, {1}, -1, {0}},
    {"only far retries", 2, {0}, {1, 1}, {9999, 9999}, -1, {0}},
    {"a far retry before a near one", 2, {0}, {1, 1, 1}, {9999, 1}, -1, {0}},
    {"who can never run is not waited for", 2, {0}, {3, 1}, {1}, 1, {1, {0}}},
    {"a retry behind the next one", 2, {0}, {1, 1}, {0, 1}, 0, {1, {0}}},
};

static void the_queue_is_served_in_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof schedule_cases / sizeof schedule_cases[0]; i++) {
        const struct schedule_case *row = &schedule_cases[i];
        struct slot_set slots = slots_over(&two_cores, row->slot_count);
        const struct cpu_list taken = list_of(&row->taken);
        struct schedule_request requests[4];
        struct cpu_list cpus = {0};
        size_t count = 0;

        for (; count < 4 && row->requests[count] > 0; count++) {
            requests[count] = (struct schedule_request){.job = (int64_t)count,
                                                        .slots = row->requests[count],
                                                        .wait_ms = row->waits_ms[count]};
        }
        slot_set_take(&slots, &taken);
        int free_count = slot_set_free_count(&slots);
        int index = schedule_next(&slots, requests, count, &cpus);
        if (index != row->expected || (index >= 0 && cpus.count != row->cpus.count)) {
            fail_msg("%s: request %d on %d cores", row->what, index, cpus.count);
        }
        for (int cpu = 0; index >= 0 && cpu < cpus.count; cpu++) {
            assert_int_equal(cpus.cpus[cpu], row->cpus.cpus[cpu]);
        }
        assert_int_equal(slot_set_free_count(&slots), free_count); /* it only looks */
    }
}

static void the_wait_for_a_retry_doubles_up_to_its_limit(void **state)
{
    static const struct {
        int failures;
        int64_t delay_ms;
    } cases[] = {{0, 0},     {1, 500},   {2, 1000},     {3, 2000},       {6, 16000},
                 {7, 30000}, {8, 30000}, {1000, 30000}, {INT_MAX, 30000}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(retry_delay_ms(cases[i].failures), cases[i].delay_ms);
    }
}

static void the_cores_of_this_process_are_found(void **state)
{
    struct cpu_list cores;
    struct error err;

    (void)state;
    assert_ok(slot_set_own_cores(&cores, &err), &err);
    assert_true(cores.count >= 1);
    for (int i = 1; i < cores.count; i++) {
        assert_true(cores.cpus[i - 1] < cores.cpus[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_lie_evenly_over_the_cores),
        cmocka_unit_test(taken_slots_are_busy_until_cleared),
        cmocka_unit_test(the_end_of_an_attempt_beyond_the_slots_frees_nobody_else_s),
        cmocka_unit_test(the_queue_is_served_in_order),
        cmocka_unit_test(the_wait_for_a_retry_doubles_up_to_its_limit),
        cmocka_unit_test(the_cores_of_this_process_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
