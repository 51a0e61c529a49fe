#include <math.h>

#include "tests/support/test.h"
#include "worker/train/permutation.h"
#include "worker/train/sampler.h"

static void a_permutation_hits_everything_once(void **state)
{
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 16, 17, 255, 256, 257, 1000, 4097};
    (void)state;

    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        bool *seen = calloc(sizes[s], sizeof *seen);
        for (uint64_t i = 0; i < sizes[s]; i++) {
            uint64_t image = permutation_at(7, 9, sizes[s], i);
            assert_true(image < sizes[s]);
            assert_false(seen[image]);
            seen[image] = true;
        }
        free(seen);
    }
}

static void keys_give_other_permutations(void **state)
{
    size_t same_seed = 0;
    size_t same_stream = 0;
    size_t fixed = 0;
    (void)state;

    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t image = permutation_at(1, 1, 1000, i);
        same_seed += image == permutation_at(2, 1, 1000, i);
        same_stream += image == permutation_at(1, 2, 1000, i);
        fixed += image == i;
    }
    /* One is expected of random permutations; ten has a chance below 1e-7. */
    assert_true(same_seed < 10);
    assert_true(same_stream < 10);
    assert_true(fixed < 10);
}

/* The order is part of the checkpoint format: these may never change. */
static void the_order_is_that_of_version_1(void **state)
{
    static const uint64_t golden[8] = {25, 61, 73, 89, 80, 16, 30, 10};
    (void)state;

    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(permutation_at(0, 0x0200000000000000U, 100, i), golden[i]);
    }
}

static void one_source_is_read_in_epochs_without_repeats(void **state)
{
    struct sampler_source source = {.weight = 0.3, .sequences = 37};
    struct sampler sampler;
    struct error err;
    (void)state;

    assert_ok(sampler_init(&sampler, 5, &source, 1, &err), &err);
    for (uint64_t epoch = 0; epoch < 4; epoch++) {
        bool seen[37] = {false};
        for (uint64_t i = 0; i < 37; i++) {
            struct sample sample;
            sampler_at(&sampler, epoch * 37 + i, &sample);
            assert_int_equal(sample.source, 0);
            assert_int_equal(sample.epoch, epoch);
            assert_false(seen[sample.sequence]);
            seen[sample.sequence] = true;
        }
    }
    sampler_deinit(&sampler);
}

static void every_prefix_has_the_quota_rounded(void **state)
{
    struct sampler_source sources[4] = {{.weight = 5.0, .sequences = 100},
                                        {.weight = 1.0, .sequences = 10},
                                        {.weight = 3.3, .sequences = 1000},
                                        {.weight = 0.003, .sequences = 7}};
    uint64_t drawn[4] = {0};
    struct sampler sampler;
    struct error err;
    (void)state;

    assert_ok(sampler_init(&sampler, 5, sources, 4, &err), &err);
    for (uint64_t n = 0; n < 3 * SAMPLER_PERIOD; n++) {
        struct sample sample;
        sampler_at(&sampler, n, &sample);
        drawn[sample.source]++;
        for (size_t i = 0; i < 4; i++) {
            double share = (double)(n + 1) * sampler.sources[i].tickets / SAMPLER_PERIOD;
            assert_true(fabs((double)drawn[i] - share) < 1.0);
        }
    }
    for (size_t i = 0; i < 4; i++) {
        double share = sources[i].weight / 9.303 * SAMPLER_PERIOD;
        assert_true(fabs(sampler.sources[i].tickets - share) <= 1.0);
    }
    sampler_deinit(&sampler);
}

/* Reading from the start and counting is the definition; sampler_at has to agree anywhere. */
static void seeking_equals_streaming(void **state)
{
    struct sampler_source sources[3] = {{.weight = 1.0, .sequences = 11},
                                        {.weight = 2.0, .sequences = 5},
                                        {.weight = 0.7, .sequences = 301}};
    uint64_t turns[3] = {0};
    struct sampler sampler;
    struct error err;
    (void)state;

    assert_ok(sampler_init(&sampler, 99, sources, 3, &err), &err);
    for (uint64_t n = 0; n < 2 * SAMPLER_PERIOD + 17; n++) {
        struct sample sample;
        sampler_at(&sampler, n, &sample);
        const struct sampler_source *source = &sources[sample.source];
        uint64_t turn = turns[sample.source]++;
        assert_int_equal(sample.epoch, turn / source->sequences);
        uint64_t stream = (uint64_t)2 << 56 | (uint64_t)sample.source << 28 | sample.epoch;
        assert_int_equal(sample.sequence,
                         permutation_at(99, stream, source->sequences, turn % source->sequences));
    }
    sampler_deinit(&sampler);
}

static void impossible_weights_are_refused(void **state)
{
    static const double weights[] = {0.0, -1.0, (double)NAN, (double)INFINITY, 1e-9};
    struct error err;
    (void)state;

    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        struct sampler_source sources[2] = {{.weight = 1.0, .sequences = 1},
                                            {.weight = weights[i], .sequences = 1}};
        struct sampler sampler;
        assert_int_equal(sampler_init(&sampler, 0, sources, 2, &err), STATUS_INVALID);
        assert_string_equal(err.field, "data.train[1].weight");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_permutation_hits_everything_once),
        cmocka_unit_test(keys_give_other_permutations),
        cmocka_unit_test(the_order_is_that_of_version_1),
        cmocka_unit_test(one_source_is_read_in_epochs_without_repeats),
        cmocka_unit_test(every_prefix_has_the_quota_rounded),
        cmocka_unit_test(seeking_equals_streaming),
        cmocka_unit_test(impossible_weights_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
