/*
 * Runs alone (a world of one) and under mpirun with 2 to 4 ranks: every test is collective.
 */
#include "tests/support/test.h"
#include "worker/dist/dist.h"
#include "worker/dist/reduction.h"

static struct dist *world;

/* Values whose sum depends on the order of adding. */
static float value_at(int rank, size_t index)
{
    static const float values[] = {1e8F, 1.25F, -1e8F, 3e-5F, 7.0F};

    return values[((size_t)rank + index) % 5] * (1.0F + (float)(index % 13));
}

/* The sum of ranks first … first + count - 1 of a power of two of places, those beyond the world
 * being empty. */
static float sum_by_pairs(size_t index, int first, int count)
{
    if (count == 1) {
        return value_at(first, index);
    }
    float left = sum_by_pairs(index, first, count / 2);
    int middle = first + count / 2;
    return middle < dist_world(world) ? left + sum_by_pairs(index, middle, count / 2) : left;
}

static void sums_add_by_pairs(void **state)
{
    static const size_t counts[] = {0,      1, 2, 3, 7, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 5,
                                    2500000};
    struct error err;
    (void)state;

    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        float *values = malloc((counts[c] + 1) * sizeof *values);
        for (size_t i = 0; i < counts[c]; i++) {
            values[i] = value_at(dist_rank(world), i);
        }
        values[counts[c]] = 42.0F;
        assert_ok(dist_sum(world, values, counts[c], &err), &err);
        for (size_t i = 0; i < counts[c]; i++) {
            float expected = sum_by_pairs(i, 0, 8);
            assert_memory_equal(&values[i], &expected, sizeof expected);
        }
        assert_true(values[counts[c]] == 42.0F);
        free(values);
    }
}

static void doubles_add_by_pairs(void **state)
{
    double values[DIST_DOUBLES_MAX];
    struct error err;
    (void)state;

    for (size_t i = 0; i < DIST_DOUBLES_MAX; i++) {
        values[i] = (dist_rank(world) % 2 == 0 ? 1e17 : -1e17) + (double)(dist_rank(world) + 1);
    }
    assert_ok(dist_sum_doubles(world, values, DIST_DOUBLES_MAX, &err), &err);
    double parts[8] = {0.0};
    for (int rank = 0; rank < dist_world(world); rank++) {
        parts[rank] = (rank % 2 == 0 ? 1e17 : -1e17) + (double)(rank + 1);
    }
    double expected = ((parts[0] + parts[1]) + (parts[2] + parts[3])) +
                      ((parts[4] + parts[5]) + (parts[6] + parts[7]));
    for (size_t i = 0; i < DIST_DOUBLES_MAX; i++) {
        assert_memory_equal(&values[i], &expected, sizeof expected);
    }
}

static void broadcasts_come_from_the_root(void **state)
{
    size_t size = 3 * MIB + 1;
    struct error err;
    (void)state;

    for (int root = 0; root < dist_world(world); root++) {
        unsigned char *data = malloc(size);
        memset(data, dist_rank(world) + 1, size);
        assert_ok(dist_broadcast(world, data, size, root, &err), &err);
        assert_int_equal(data[0], root + 1);
        assert_int_equal(data[size - 1], root + 1);
        free(data);
    }
    assert_ok(dist_barrier(world, &err), &err);
}

static void all_ranks_learn_the_lowest_failing_ranks_error(void **state)
{
    struct error err = {0};
    int speaker = -1;
    (void)state;

    assert_int_equal(dist_agree(world, STATUS_OK, &speaker, &err), STATUS_OK);
    for (int failing = 0; failing < dist_world(world); failing++) {
        enum status status = STATUS_OK;
        if (dist_rank(world) >= failing) {
            status = error_set(&err, STATUS_NOT_FOUND, "from rank %d", dist_rank(world));
            error_set_hint(&err, "a hint");
        }
        char expected[32];
        (void)snprintf(expected, sizeof expected, "from rank %d", failing);
        assert_int_equal(dist_agree(world, status, &speaker, &err), STATUS_NOT_FOUND);
        assert_int_equal(speaker, failing);
        assert_string_equal(err.message, expected);
        assert_string_equal(err.hint, "a hint");
    }
}

/* Ranges of a buffer in any order, summed while they are added; gaps are left alone. */
static void reduce_and_check(bool with_thread, int rounds)
{
    static const size_t counts[] = {3, (1 << 20) - 1, 1, 0, 2500000, (1 << 20), 17, 900000, 64, 5};
    const size_t range_count = sizeof counts / sizeof counts[0];
    struct dist_reduction *reduction = NULL;
    struct error err;
    size_t firsts[16];
    size_t total = 1;

    for (size_t r = range_count; r-- > 0;) { /* the last range lies first */
        firsts[r] = total;
        total += counts[r] + 1;
    }
    float *values = malloc(total * sizeof *values);
    assert_ok(dist_reduction_create(&reduction, world, with_thread, range_count, &err), &err);
    for (int round = 0; round < rounds; round++) {
        const size_t last = round == 1 ? 0 : range_count; /* one of nothing */
        for (size_t i = 0; i < total; i++) {
            values[i] = value_at(dist_rank(world), i + (size_t)round);
        }
        dist_reduction_start(reduction, values);
        for (size_t r = 0; r < last; r++) {
            dist_reduction_add(reduction, firsts[r], counts[r]);
            dist_reduction_poll(reduction);
        }
        assert_ok(dist_reduction_finish(reduction, &err), &err);
        for (size_t r = 0; r < last; r++) {
            for (size_t i = firsts[r]; i < firsts[r] + counts[r]; i++) {
                const float expected = sum_by_pairs(i + (size_t)round, 0, 8);
                assert_memory_equal(&values[i], &expected, sizeof expected);
            }
            const size_t gap = firsts[r] - 1;
            assert_true(values[gap] == value_at(dist_rank(world), gap + (size_t)round));
        }
        /* The world is the caller's again. */
        double one = 1.0;
        assert_ok(dist_sum_doubles(world, &one, 1, &err), &err);
        assert_true(one == (double)dist_world(world));
    }
    dist_reduction_destroy(reduction);
    free(values);
}

static void ranges_are_summed_while_they_are_added(void **state)
{
    (void)state;
    reduce_and_check(false, 3);
}

static void a_thread_sums_ranges_while_they_are_added(void **state)
{
    (void)state;
    if (!dist_may_have_thread(world)) {
        assert_int_equal(dist_world(world), 1); /* else Open MPI grants it */
        return;
    }
    reduce_and_check(true, 5);
}

/* Ranks bring ranges of different sizes, one of none. */
static void ranges_of_all_ranks_are_gathered(void **state)
{
    const int ranks = dist_world(world);
    const size_t unit = (1 << 19) + 3;
    size_t firsts[8];
    size_t counts[8];
    size_t total = 5;
    struct error err;
    (void)state;

    for (int rank = 0; rank < ranks; rank++) {
        firsts[rank] = total;
        counts[rank] = rank == 1 ? 0 : unit * (size_t)(rank + 1);
        total += counts[rank] + 2;
    }
    float *values = calloc(total, sizeof *values);
    const int own = dist_rank(world);
    for (size_t i = 0; i < counts[own]; i++) {
        values[firsts[own] + i] = value_at(own, i);
    }
    assert_ok(dist_gather(world, values, firsts, counts, &err), &err);
    for (int rank = 0; rank < ranks; rank++) {
        for (size_t i = 0; i < counts[rank]; i++) {
            assert_true(values[firsts[rank] + i] == value_at(rank, i));
        }
        assert_true(values[firsts[rank] + counts[rank]] == 0.0F);
    }
    free(values);
}

static void values_move_from_one_rank_to_another(void **state)
{
    const size_t count = (1 << 20) + 7;
    float *values = malloc(count * sizeof *values);
    struct error err;
    (void)state;

    for (int from = 0; from < dist_world(world); from++) {
        for (int to = 0; to < dist_world(world); to++) {
            const bool has = dist_rank(world) == from || dist_rank(world) == to;
            if (from == to) {
                continue;
            }
            for (size_t i = 0; i < count; i++) {
                values[i] = value_at(dist_rank(world), i);
            }
            assert_ok(dist_move(world, values, count, from, to, &err), &err);
            for (size_t i = 0; i < count; i += 1023) {
                assert_true(values[i] == value_at(has ? from : dist_rank(world), i));
            }
        }
    }
    free(values);
}

/* "test_dist abort": the last rank ends the job while the others wait for it in a sum. */
static int abort_while_others_wait(void)
{
    float value = 1.0F;
    struct error err;

    if (dist_rank(world) == dist_world(world) - 1) {
        dist_abort(world, 7);
    }
    return dist_sum(world, &value, 1, &err) ? 1 : 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_add_by_pairs),
        cmocka_unit_test(doubles_add_by_pairs),
        cmocka_unit_test(broadcasts_come_from_the_root),
        cmocka_unit_test(ranges_are_summed_while_they_are_added),
        cmocka_unit_test(a_thread_sums_ranges_while_they_are_added),
        cmocka_unit_test(ranges_of_all_ranks_are_gathered),
        cmocka_unit_test(values_move_from_one_rank_to_another),
        cmocka_unit_test(all_ranks_learn_the_lowest_failing_ranks_error),
    };
    struct error err;

    if (dist_open(&world, &err) != STATUS_OK) {
        print_error("%s\n", err.message);
        return 1;
    }
    const char *ranks = getenv("OMPI_COMM_WORLD_SIZE");
    if (dist_world(world) != (ranks == NULL ? 1 : atoi(ranks))) {
        print_error("a world of %d\n", dist_world(world));
        return 1;
    }
    int rc = argc > 1 && strcmp(argv[1], "abort") == 0 ? abort_while_others_wait()
                                                       : cmocka_run_group_tests(tests, NULL, NULL);
    dist_close(world);
    return rc;
}
