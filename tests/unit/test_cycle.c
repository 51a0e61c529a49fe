#include <math.h>

#include "tests/support/learner_fixture.h"
#include "tests/support/method_variants.h"

/* A learner that has made three steps of its cycle of four. */
static struct learner_fixture before_a_merge(const struct learner_options *options,
                                             uint32_t **tokens)
{
    struct learner_fixture fixture = fixture_open(options, 2);

    *tokens = fixture_tokens(options->micro * (options->sequence_length + 1),
                             options->config.vocab_size, 5);
    for (int64_t step = 1; step < 4; step++) {
        (void)fixture_step(&fixture, *tokens, 0.01, step, 0);
    }
    return fixture;
}

static const struct param *find(const struct learner_fixture *fixture, const char *suffix)
{
    char name[PARAM_NAME_BYTES_MAX];
    (void)snprintf(name, sizeof name, "model.layers.1.self_attn.q_proj.weight%s", suffix);
    const struct param *param = param_table_find(learner_params(fixture->learner), name);
    assert_non_null(param);
    return param;
}

static float *copy_of(const float *x, int64_t n)
{
    float *copy = malloc((size_t)n * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, x, (size_t)n * sizeof *copy);
    return copy;
}

static int64_t adapter_steps(const struct learner_fixture *fixture)
{
    json_t *state = learner_state(fixture->learner);
    const json_t *steps = json_object_get(state, "adam_steps");
    const int64_t adapter = json_integer_value(json_object_get(steps, "adapter"));
    json_decref(state);
    return adapter;
}

static void each_reset_leaves_what_it_says(void **state)
{
    (void)state;
    static const struct {
        enum method_reset reset;
        int64_t steps; /* that the counter shows afterwards */
    } cases[] = {{METHOD_RESET_ZERO, 0}, {METHOD_RESET_RANDOM, 3}, {METHOD_RESET_MAGNITUDE, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_RELORA);
        options.method.reset = cases[i].reset;
        options.method.reset_ratio = 0.75;
        uint32_t *tokens = NULL;
        struct learner_fixture fixture = before_a_merge(&options, &tokens);
        const struct param *b = find(&fixture, ".lora_B");
        const struct param *gain =
            param_table_norm(learner_params(fixture.learner), 0, false); /* is left alone */
        float *first = copy_of(b->exp_avg, b->elements);
        float *gain_first = copy_of(gain->exp_avg, gain->elements);
        struct merge_report report;
        struct error err = {0};
        int64_t kept = 0;

        assert_ok(learner_merge(fixture.learner, tokens, 5, &report, &err), &err);
        for (int64_t e = 0; e < b->elements; e++) {
            assert_true((b->exp_avg[e] == 0.0F) == (b->exp_avg_sq[e] == 0.0F));
            assert_true(b->exp_avg[e] == 0.0F || b->exp_avg[e] == first[e]);
            kept += b->exp_avg[e] != 0.0F;
        }
        if (cases[i].reset == METHOD_RESET_ZERO) {
            assert_int_equal(kept, 0);
        } else if (cases[i].reset == METHOD_RESET_MAGNITUDE) {
            assert_int_equal(kept, b->elements - (b->elements * 3) / 4);
        } else {
            assert_true(kept > 0 && kept < b->elements / 2);
        }
        assert_int_equal(adapter_steps(&fixture), cases[i].steps);
        assert_memory_equal(gain->exp_avg, gain_first, (size_t)gain->elements * sizeof(float));
        assert_true(report.moments_nonzero_before > report.moments_nonzero_after);
        free(first);
        free(gain_first);
        free(tokens);
        fixture_close(&fixture);
    }
}

static void forget_to_prune(struct backend *backend, float *exp_avg, float *exp_avg_sq, int64_t n,
                            int64_t keep)
{
    (void)backend;
    (void)exp_avg;
    (void)exp_avg_sq;
    (void)n;
    (void)keep;
}

/* What happens to a threshold where all are equal. */
static void prune_everything(struct backend *backend, float *exp_avg, float *exp_avg_sq, int64_t n,
                             int64_t keep)
{
    (void)keep;
    backend->op->zero(backend, exp_avg, n);
    backend->op->zero(backend, exp_avg_sq, n);
}

static void forget_to_drop(struct backend *backend, float *exp_avg, float *exp_avg_sq, int64_t n,
                           double ratio, uint64_t seed, uint64_t stream)
{
    (void)backend;
    (void)exp_avg;
    (void)exp_avg_sq;
    (void)n;
    (void)ratio;
    (void)seed;
    (void)stream;
}

static void a_reset_that_goes_wrong_is_noticed(void **state)
{
    (void)state;
    for (int fault = 0; fault < 3; fault++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
        options.method.reset = fault < 2 ? METHOD_RESET_MAGNITUDE : METHOD_RESET_RANDOM;
        uint32_t *tokens = NULL;
        struct learner_fixture fixture = before_a_merge(&options, &tokens);
        struct backend_table table = *fixture.backend->op;
        const struct backend_table *sound = fixture.backend->op;
        struct merge_report report;
        struct error err = {0};

        fixture.backend->op = &table;
        table.moments_keep_largest = fault == 0 ? forget_to_prune : prune_everything;
        table.moments_keep_random = forget_to_drop;
        const enum status status = learner_merge(fixture.learner, tokens, 5, &report, &err);
        fixture.backend->op = sound;
        assert_int_equal(status, STATUS_CORRUPT);
        assert_contains(err.message, fault < 2 ? "reset 'magnitude'" : "reset 'random'");
        free(tokens);
        fixture_close(&fixture);
    }
}

static void relora_merges_into_the_base_and_draws_anew(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_RELORA);
    uint32_t *tokens = NULL;
    struct learner_fixture fixture = before_a_merge(&options, &tokens);
    const struct param *w0 = find(&fixture, "");
    const struct param *a = find(&fixture, ".lora_A");
    const struct param *b = find(&fixture, ".lora_B");
    float *weight =
        copy_of(model_weight(learner_model(fixture.learner), 1, LINEAR_Q), w0->elements);
    float *old_a = copy_of(a->value, a->elements);
    struct merge_report report;
    struct error err = {0};

    assert_true(memcmp(w0->value, weight, (size_t)w0->elements * sizeof(float)) != 0);
    assert_ok(learner_merge(fixture.learner, tokens, 5, &report, &err), &err);
    assert_memory_equal(w0->value, weight, (size_t)w0->elements * sizeof(float));
    assert_memory_equal(model_weight(learner_model(fixture.learner), 1, LINEAR_Q), weight,
                        (size_t)w0->elements * sizeof(float));
    for (int64_t e = 0; e < a->elements; e++) {
        assert_true(a->value[e] != old_a[e]);
    }
    for (int64_t e = 0; e < b->elements; e++) {
        assert_true(b->value[e] == 0.0F);
    }
    assert_string_equal(report.group_kind, "lora");
    assert_int_equal(report.ranks[LINEAR_Q], options.method.r);
    free(weight);
    free(old_a);
    free(tokens);
    fixture_close(&fixture);
}

static void kinds_follow_each_other_as_groups_says(void **state)
{
    (void)state;
    static const struct {
        enum method_groups groups;
        const char *kinds[5];
    } cases[] = {
        {METHOD_GROUPS_PAPER,
         {"mod_tile", "blocks_interleave", "mod_tile", "blocks_interleave", "mod_tile"}},
        {METHOD_GROUPS_OFFICIAL,
         {"mod_tile", "blocks_interleave", "blocks_tile", "mod_interleave", "mod_tile"}},
        {METHOD_GROUPS_PERMUTED, {"permuted", "permuted", "permuted", "permuted", "permuted"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
        options.method.groups = cases[i].groups;
        uint32_t *tokens = NULL;
        struct learner_fixture fixture = before_a_merge(&options, &tokens);
        for (int64_t cycle = 0; cycle < 4; cycle++) {
            struct merge_report report;
            struct error err = {0};
            assert_ok(learner_merge(fixture.learner, tokens, 5, &report, &err), &err);
            assert_int_equal(report.cycle, cycle);
            assert_string_equal(report.group_kind, cases[i].kinds[cycle]);
            assert_string_equal(report.next_kind, cases[i].kinds[cycle + 1]);
            (void)fixture_step(&fixture, tokens, 0.01, 1, 0);
        }
        free(tokens);
        fixture_close(&fixture);
    }
}

/* The effective weights of layer 1, q and k, that a unit in M's corner gives: the members of a
 * group of rows and of columns. */
static void take_groups(struct learner_fixture *fixture, float *q, float *k)
{
    const struct param_table *table = learner_params(fixture->learner);
    float *const out[2] = {q, k};

    for (enum linear linear = LINEAR_Q; linear <= LINEAR_K; linear++) {
        const struct param *w0 = param_table_linear(table, 1, linear);
        char name[PARAM_NAME_BYTES_MAX + 8];
        (void)snprintf(name, sizeof name, "%s.M", w0->name);
        const struct param *m = param_table_find(table, name);
        assert_non_null(m);
        memset(w0->value, 0, (size_t)w0->elements * sizeof(float));
        memset(m->value, 0, (size_t)m->elements * sizeof(float));
        m->value[0] = 1.0F;
        learner_write_weights(fixture->learner);
        memcpy(out[linear], model_weight(learner_model(fixture->learner), 1, linear),
               (size_t)w0->elements * sizeof(float));
    }
}

static void permutations_differ_by_cycle_tensor_and_side(void **state)
{
    (void)state;
    struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    options.config.num_key_value_heads = 4; /* q and k have one shape */
    options.method.groups = METHOD_GROUPS_PERMUTED;
    uint32_t *tokens = NULL;
    struct learner_fixture fixture = before_a_merge(&options, &tokens);
    const int64_t C = options.config.hidden_size;
    float *groups = calloc((size_t)(4 * C * C), sizeof *groups);
    struct merge_report report;
    struct error err = {0};
    bool sides_differ = false;

    assert_non_null(groups);
    take_groups(&fixture, groups, groups + C * C);
    assert_ok(learner_merge(fixture.learner, tokens, 0, &report, &err), &err);
    take_groups(&fixture, groups + 2 * C * C, groups + 3 * C * C);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            assert_true(memcmp(groups + i * C * C, groups + j * C * C,
                               (size_t)(C * C) * sizeof *groups) != 0);
        }
    }
    for (int64_t o = 0; o < C; o++) {
        for (int64_t j = 0; j < C; j++) {
            sides_differ |= groups[o * C + j] != groups[j * C + o];
        }
    }
    assert_true(sides_differ);
    free(groups);
    free(tokens);
    fixture_close(&fixture);
}

/* With a side of 16 in 64 × 64 linears, the paper's kinds reach a rank of 28 and no more; permuted
 * groups go on. */
static void permuted_groups_keep_adding_rank(void **state)
{
    (void)state;
    static const int64_t expected[2][4] = {{16, 28, 28, 28}, {16, 31, 46, 60}};
    for (int is_permuted = 0; is_permuted < 2; is_permuted++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
        options.config.hidden_size = 64;
        options.config.num_key_value_heads = 4;
        options.config.head_dim = 16;
        options.method.groups = is_permuted == 1 ? METHOD_GROUPS_PERMUTED : METHOD_GROUPS_PAPER;
        struct learner_fixture fixture = fixture_open(&options, 2);
        for (int64_t cycle = 0; cycle < 4; cycle++) {
            struct merge_report report;
            struct error err = {0};
            fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 0.1, (uint64_t)cycle);
            assert_ok(learner_merge(fixture.learner, NULL, 0, &report, &err), &err);
            assert_int_equal(report.rank_layer, 1);
            assert_int_equal(report.ranks_max[LINEAR_Q], 64);
            print_message("%s, cycle %lld: rank %lld\n", report.group_kind, (long long)cycle,
                          (long long)report.ranks[LINEAR_Q]);
            assert_true(llabs(report.ranks[LINEAR_Q] - expected[is_permuted][cycle]) <=
                        (is_permuted == 1 ? 2 : 0));
        }
        fixture_close(&fixture);
    }
}

static void full_rank_steps_end_like_a_cycle(void **state)
{
    (void)state;
    for (int v = 0; v < METHOD_VARIANT_COUNT; v++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
        options.method = method_variant_at(v).spec;
        if (options.method.full_rank_steps == 0) {
            continue;
        }
        uint32_t *tokens = NULL;
        struct learner_fixture fixture = before_a_merge(&options, &tokens);
        const struct param *w0 = find(&fixture, "");
        float *trained = copy_of(w0->value, w0->elements);
        struct merge_report report;
        struct error err = {0};
        int64_t full_count = 0;
        int64_t count = 0;

        assert_true(w0->trainable);
        (void)learner_grads(fixture.learner, &full_count);
        assert_ok(learner_merge(fixture.learner, tokens, 11, &report, &err), &err);
        (void)learner_grads(fixture.learner, &count);
        assert_false(w0->trainable);
        assert_true(count < full_count);
        assert_string_equal(report.group_kind, "full");
        assert_true(report.moments_nonzero_before > 0);
        assert_int_equal(report.moments_nonzero_after, 0);
        assert_int_equal(adapter_steps(&fixture), 0);
        assert_int_equal(report.ranks[LINEAR_Q], -1);

        /* From here on the base stays, until a merge rewrites it. */
        for (int64_t step = 1; step < 3; step++) {
            (void)fixture_step(&fixture, tokens, 0.01, step, 0);
        }
        assert_memory_equal(w0->value, trained, (size_t)w0->elements * sizeof(float));
        assert_true(memcmp(w0->value, model_weight(learner_model(fixture.learner), 1, LINEAR_Q),
                           (size_t)w0->elements * sizeof(float)) != 0);
        free(trained);
        free(tokens);
        fixture_close(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_reset_leaves_what_it_says),
        cmocka_unit_test(a_reset_that_goes_wrong_is_noticed),
        cmocka_unit_test(relora_merges_into_the_base_and_draws_anew),
        cmocka_unit_test(kinds_follow_each_other_as_groups_says),
        cmocka_unit_test(permutations_differ_by_cycle_tensor_and_side),
        cmocka_unit_test(permuted_groups_keep_adding_rank),
        cmocka_unit_test(full_rank_steps_end_like_a_cycle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
