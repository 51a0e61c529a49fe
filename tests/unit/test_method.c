#include <math.h>

#include "tests/support/learner_fixture.h"
#include "tests/support/method_variants.h"
#include "worker/method/method.h"

static void r_hat_is_rounded_by_its_rule_and_at_most_the_smaller_side(void **state)
{
    (void)state;
    static const struct {
        int64_t d, k, r, nearest, even, floor;
    } rows[] = {
        {4096, 4096, 8, 256, 256, 256},
        {4096, 4096, 128, 1024, 1024, 1024},
        {4096, 4096, 256, 1448, 1448, 1448},
        {4096, 11008, 8, 348, 348, 347},
        {11008, 4096, 8, 348, 348, 347},
        {4096, 11008, 128, 1390, 1390, 1390},
        {4096, 11008, 256, 1966, 1966, 1966},
        {2048, 2048, 8, 181, 180, 181},
        {2048, 2048, 128, 724, 724, 724},
        {2048, 2048, 256, 1024, 1024, 1024},
        {2048, 5461, 8, 245, 244, 245},
        {2048, 5461, 128, 980, 980, 980},
        {2048, 5461, 256, 1386, 1386, 1386},
        {768, 768, 8, 111, 110, 110},
        {768, 768, 128, 443, 442, 443},
        {768, 768, 256, 627, 626, 627},
        {768, 2560, 8, 163, 162, 163},
        {768, 2560, 128, 653, 652, 652},
        {768, 2560, 256, 768, 768, 768},
        {128, 128, 128, 128, 128, 128},
        {128, 352, 8, 62, 62, 61},
        {128, 128, 8, 45, 44, 45},
        {2, 2, 1, 2, 2, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct method_spec spec = method_spec_default(METHOD_NAME_MORA);
        spec.r = rows[i].r;
        assert_int_equal(mora_r_hat(&spec, rows[i].d, rows[i].k), rows[i].nearest);
        spec.op = MORA_OPERATOR_ROTATION;
        assert_int_equal(mora_r_hat(&spec, rows[i].d, rows[i].k), rows[i].even);
        spec.op = MORA_OPERATOR_SHARING;
        spec.rhat_rule = MORA_RHAT_RULE_FLOOR;
        assert_int_equal(mora_r_hat(&spec, rows[i].d, rows[i].k), rows[i].floor);
    }
}

static void what_was_chosen_is_told(void **state)
{
    (void)state;
    static const struct {
        enum method_name method;
        const char *text;
    } rows[] = {
        {METHOD_NAME_REMORA, "remora (mod_tile, blocks_interleave): r 128 gives r_hat 128 (q, o), "
                             "128 (k, v), 128 (gate, up), 128 (down)"},
        {METHOD_NAME_DORA, "dora: r 128, updates scaled by alpha / r = 0.0234375"},
        {METHOD_NAME_FULL, "full: every linear layer trains"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct learner_options options = fixture_llama_9m(rows[i].method, 128);
        struct learner_fixture fixture = fixture_open(&options, 1);
        assert_string_equal(method_describe(learner_method(fixture.learner)), rows[i].text);
        fixture_close(&fixture);
    }
}

static void merges_are_due_at_the_end_of_cycles_but_not_of_the_run(void **state)
{
    (void)state;
    struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture remora = fixture_open(&options, 1);
    options.method.full_rank_steps = 3;
    struct learner_fixture warm = fixture_open(&options, 1);
    options = fixture_tiny(METHOD_NAME_MORA);
    struct learner_fixture mora = fixture_open(&options, 1);
    options.method.full_rank_steps = 5;
    struct learner_fixture warm_mora = fixture_open(&options, 1);

    for (int64_t step = 1; step <= 12; step++) {
        assert_int_equal(learner_merge_due(remora.learner, step, 12), step == 4 || step == 8);
        assert_int_equal(learner_merge_due(warm.learner, step, 11), step == 3 || step == 7);
        assert_false(learner_merge_due(mora.learner, step, 12));
        assert_int_equal(learner_merge_due(warm_mora.learner, step, 12), step == 5);
    }
    fixture_close(&remora);
    fixture_close(&warm);
    fixture_close(&mora);
    fixture_close(&warm_mora);
}

static void unusable_options_are_refused_with_their_field(void **state)
{
    (void)state;
    struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner *learner = NULL;
    struct backend *backend = NULL;
    struct error err = {0};

    assert_ok(backend_cpu_create(&backend, 1, &err), &err);
    options.method.r = 0;
    assert_int_equal(learner_create(&learner, &options, backend, &err), STATUS_INVALID);
    assert_string_equal(err.field, "method.r");
    options.method.r = 2;
    options.method.merge_every = 0;
    assert_int_equal(learner_create(&learner, &options, backend, &err), STATUS_INVALID);
    assert_string_equal(err.field, "method.merge_every");
    options.method.merge_every = 4;
    options.memory_limit_bytes = 1000;
    assert_int_equal(learner_create(&learner, &options, backend, &err), STATUS_LIMIT);
    options.memory_limit_bytes = 0;
    options.sequence_length = INT64_MAX / 2;
    assert_int_equal(learner_create(&learner, &options, backend, &err), STATUS_LIMIT);
    assert_null(learner);
    backend_destroy(backend);
}

/* W0 + expand(S) per kind + expand(M), in double. */
static double expected_weight(const struct param_table *table, int64_t o, int64_t j)
{
    const struct param *w0 = param_table_linear(table, 1, LINEAR_DOWN);
    const struct param *m = param_table_find(table, "model.layers.1.mlp.down_proj.weight.M");
    const struct param *tile =
        param_table_find(table, "model.layers.1.mlp.down_proj.weight.S.mod_tile");
    const struct param *blocks =
        param_table_find(table, "model.layers.1.mlp.down_proj.weight.S.blocks_interleave");
    const int64_t d = w0->shape[0];
    const int64_t k = w0->shape[1];
    const int64_t r_hat = m->shape[0];
    const int64_t pad = (r_hat - k % r_hat) % r_hat;
    const int64_t row = o % r_hat;

    double weight = (double)w0->value[o * k + j];
    weight += (double)tile->value[row * r_hat + j % r_hat];
    weight += (double)m->value[row * r_hat + j % r_hat];
    if (j < pad) {
        weight += (double)tile->value[row * r_hat + (k + j) % r_hat];
        weight += (double)m->value[row * r_hat + (k + j) % r_hat];
    }
    return weight + (double)blocks->value[sharing_balanced_group(o, d, r_hat) * r_hat +
                                          sharing_balanced_group(j, k, r_hat)];
}

static void effective_weights_add_every_kind_to_the_base(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 1);
    const struct param_table *table = learner_params(fixture.learner);
    const struct param *w0 = param_table_linear(table, 1, LINEAR_DOWN);

    fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 1.0, 1);
    fixture_randomise(&fixture, PARAM_ROLE_SUM, 1.0, 2);
    const float *weight = model_weight_buffer(learner_model(fixture.learner), 1, LINEAR_DOWN);
    for (int64_t o = 0; o < w0->shape[0]; o++) {
        for (int64_t j = 0; j < w0->shape[1]; j++) {
            const double expected = expected_weight(table, o, j);
            assert_true(fabs((double)weight[o * w0->shape[1] + j] - expected) < 1e-5);
        }
    }
    fixture_close(&fixture);
}

static void an_export_has_the_effective_weights(void **state)
{
    (void)state;
    for (int v = 0; v < METHOD_VARIANT_COUNT; v++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
        options.method = method_variant_at(v).spec;
        struct learner_fixture fixture = fixture_open(&options, 1);
        const struct param_table *table = learner_params(fixture.learner);

        fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 1.0, 3);
        fixture_randomise(&fixture, PARAM_ROLE_MAGNITUDE, 1.0, 4);
        fixture_randomise(&fixture, PARAM_ROLE_SUM, 1.0, 5);
        for (int64_t i = 0; i < table->model_count; i++) {
            const struct param *param = &table->params[i];
            const size_t size = (size_t)param->elements * sizeof(float);
            float *out = malloc(size);
            assert_non_null(out);
            learner_merged_tensor(fixture.learner, i, out);
            const float *expected =
                param->role == PARAM_ROLE_LINEAR
                    ? model_weight_buffer(learner_model(fixture.learner), param->layer,
                                          (enum linear)param->linear)
                    : param->value;
            assert_memory_equal(out, expected, size);
            free(out);
        }
        fixture_close(&fixture);
    }
}

/* What a target's adapter starts with leaves its effective weight at W0. */
static void fresh_adapters_change_nothing(void **state)
{
    (void)state;
    for (int v = 0; v < METHOD_VARIANT_COUNT; v++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
        options.method = method_variant_at(v).spec;
        struct learner_fixture fixture = fixture_open(&options, 1);
        const struct param_table *table = learner_params(fixture.learner);

        for (int64_t layer = 0; layer < options.config.num_hidden_layers; layer++) {
            for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
                const struct param *w0 = param_table_linear(table, layer, linear);
                assert_memory_equal(model_weight(learner_model(fixture.learner), layer, linear),
                                    w0->value, (size_t)w0->elements * sizeof(float));
            }
        }
        fixture_close(&fixture);
    }
}

static const struct param *down_tensor(const struct learner_fixture *fixture, const char *suffix)
{
    char name[PARAM_NAME_BYTES_MAX];
    (void)snprintf(name, sizeof name, "model.layers.1.mlp.down_proj.weight.%s", suffix);
    const struct param *param = param_table_find(learner_params(fixture->learner), name);
    assert_non_null(param);
    return param;
}

static void a_starts_uniform_or_orthonormal_and_m_as_the_norms(void **state)
{
    (void)state;
    struct learner_options options = fixture_tiny(METHOD_NAME_ASYLORA);
    options.method.r = 7;
    struct learner_fixture asylora = fixture_open(&options, 3);
    options.method = fixture_method(METHOD_NAME_DORA);
    options.method.r = 7;
    struct learner_fixture dora = fixture_open(&options, 1);
    const struct param *orthonormal = down_tensor(&asylora, "lora_A");
    const struct param *uniform = down_tensor(&dora, "lora_A");
    const struct param *m = down_tensor(&dora, "magnitude");
    const struct param *w0 = param_table_linear(learner_params(dora.learner), 1, LINEAR_DOWN);
    const int64_t k = orthonormal->shape[1];
    double sum_sq = 0.0;

    assert_false(orthonormal->trainable);
    assert_int_equal(orthonormal->shape[0], 7);
    for (int64_t a = 0; a < 7; a++) {
        for (int64_t b = 0; b < 7; b++) {
            double dot = 0.0;
            for (int64_t j = 0; j < k; j++) {
                dot +=
                    (double)orthonormal->value[a * k + j] * (double)orthonormal->value[b * k + j];
            }
            assert_true(fabs(dot - (a == b ? 1.0 : 0.0)) < 1e-6);
        }
    }
    for (int64_t e = 0; e < uniform->elements; e++) {
        assert_true(fabs((double)uniform->value[e]) <= 1.0 / sqrt((double)k));
        sum_sq += pow((double)uniform->value[e], 2.0);
    }
    assert_true(fabs(sum_sq / (double)uniform->elements * 3.0 * (double)k - 1.0) < 0.2);
    for (int64_t o = 0; o < m->elements; o++) {
        double norm_sq = 0.0;
        for (int64_t j = 0; j < k; j++) {
            norm_sq += pow((double)w0->value[o * k + j], 2.0);
        }
        assert_true(fabs((double)m->value[o] / sqrt(norm_sq) - 1.0) < 1e-6);
    }
    fixture_close(&asylora);
    fixture_close(&dora);
}

/* A remora learner a step before its first merge, with moments and an update to merge. */
static struct learner_fixture before_a_merge(uint32_t **tokens)
{
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 2);

    *tokens =
        fixture_tokens(options.micro * (options.sequence_length + 1), options.config.vocab_size, 5);
    for (int64_t step = 1; step < options.method.merge_every; step++) {
        (void)fixture_step(&fixture, *tokens, 0.01, step, 0);
    }
    return fixture;
}

static void a_merge_moves_m_into_s_and_restarts_the_adapter(void **state)
{
    (void)state;
    uint32_t *tokens = NULL;
    struct learner_fixture fixture = before_a_merge(&tokens);
    const struct param_table *table = learner_params(fixture.learner);
    const struct param *m = &table->params[table->model_count];
    const struct param *s =
        param_table_find(table, "model.layers.0.self_attn.q_proj.weight.S.mod_tile");
    float *old_m = malloc((size_t)m->elements * sizeof(float));
    struct merge_report report;
    struct error err = {0};

    assert_non_null(old_m);
    memcpy(old_m, m->value, (size_t)m->elements * sizeof(float));
    assert_ok(learner_merge(fixture.learner, tokens, 100, &report, &err), &err);
    assert_memory_equal(s->value, old_m, (size_t)m->elements * sizeof(float));
    for (int64_t e = 0; e < m->elements; e++) {
        assert_true(m->value[e] == 0.0F && m->exp_avg[e] == 0.0F && m->exp_avg_sq[e] == 0.0F);
    }
    assert_int_equal(report.cycle, 0);
    assert_string_equal(report.group_kind, "mod_tile");
    assert_string_equal(report.next_kind, "blocks_interleave");
    assert_true(report.moments_nonzero_before > 0);
    assert_int_equal(report.moments_nonzero_after, 0);
    assert_true(report.w_eff_equal);
    assert_int_equal(report.probe_tokens, 11); /* the sequence length */
    assert_true(report.probe_error > 0.0 && report.probe_error <= LEARNER_PROBE_ERROR_MAX);

    json_t *scalars = learner_state(fixture.learner);
    char *text = json_dumps(scalars, JSON_SORT_KEYS | JSON_COMPACT);
    assert_string_equal(text, "{\"adam_steps\":{\"adapter\":0,\"model\":3},"
                              "\"method\":{\"cycle\":1,\"group_kind\":\"blocks_interleave\"},"
                              "\"rounding\":\"nearest\"}");
    free(text);
    json_decref(scalars);
    free(old_m);
    free(tokens);
    fixture_close(&fixture);
}

static void merges_alternate_the_kinds_and_keep_every_bit(void **state)
{
    (void)state;
    uint32_t *tokens = NULL;
    struct learner_fixture fixture = before_a_merge(&tokens);
    struct merge_report report;
    struct error err = {0};

    for (int64_t cycle = 0; cycle < 5; cycle++) {
        assert_ok(learner_merge(fixture.learner, tokens, 5, &report, &err), &err);
        assert_int_equal(report.cycle, cycle);
        assert_string_equal(report.group_kind, cycle % 2 == 0 ? "mod_tile" : "blocks_interleave");
        (void)fixture_step(&fixture, tokens, 0.01, 1, 0);
        (void)fixture_step(&fixture, tokens, 0.01, 2, 0);
    }
    free(tokens);
    fixture_close(&fixture);
}

/* A merge zeroes M and its two moments, linear by linear: only the first of the three is done. */
static void forget_the_moments(struct backend *backend, float *x, int64_t n)
{
    static int calls = 0;
    (void)backend;
    if (calls++ % 3 == 0) {
        memset(x, 0, (size_t)n * sizeof *x);
    }
}

static void add_with_an_ulp_too_much(struct backend *backend, float *out, const float *a,
                                     const float *b, int64_t n)
{
    (void)backend;
    for (int64_t i = 0; i < n; i++) {
        out[i] = nextafterf(a[i] + b[i], INFINITY);
    }
}

static void weight_without_updates(struct backend *backend, float *w, const float *w0,
                                   const struct sharing_term *terms, int64_t term_count, int64_t d,
                                   int64_t k, int64_t r_hat)
{
    (void)backend;
    (void)terms;
    (void)term_count;
    (void)r_hat;
    memmove(w, w0, (size_t)(d * k) * sizeof(float));
}

/* Each check of a merge stands for a way in which it could go wrong. */
static void a_merge_that_goes_wrong_is_noticed(void **state)
{
    (void)state;
    for (int fault = 0; fault < 4; fault++) {
        uint32_t *tokens = NULL;
        struct learner_fixture fixture = before_a_merge(&tokens);
        struct backend_table table = *fixture.backend->op;
        const struct backend_table *sound = fixture.backend->op;
        struct merge_report report;
        struct error err = {0};

        fixture.backend->op = &table;
        if (fault == 0) {
            table.zero = forget_the_moments;
        } else if (fault == 1) {
            table.add = add_with_an_ulp_too_much;
        } else if (fault == 2) {
            table.sharing_weight = weight_without_updates;
        }
        const enum status status = learner_merge(fixture.learner, tokens, 11, &report, &err);
        fixture.backend->op = sound;
        assert_int_equal(status, fault < 3 ? STATUS_CORRUPT : STATUS_OK);
        if (fault == 0) {
            assert_contains(err.message, "moments");
        } else if (fault == 1) {
            assert_contains(err.message, "'model.layers.0.self_attn.q_proj.weight'");
            assert_false(report.w_eff_equal);
        } else if (fault == 2) {
            assert_contains(err.message, "probe");
        }
        free(tokens);
        fixture_close(&fixture);
    }
}

static void state_of_another_cycle_is_refused(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 1);
    static const char *const texts[] = {
        "{}",
        "{\"cycle\":1}",
        "{\"cycle\":1,\"group_kind\":\"mod_tile\"}",
        "{\"cycle\":-1,\"group_kind\":\"mod_tile\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err = {0};
        json_t *json = json_loads(texts[i], 0, NULL);
        assert_int_equal(method_set_state(learner_method(fixture.learner), json, &err),
                         STATUS_CORRUPT);
        json_decref(json);
    }
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_hat_is_rounded_by_its_rule_and_at_most_the_smaller_side),
        cmocka_unit_test(what_was_chosen_is_told),
        cmocka_unit_test(merges_are_due_at_the_end_of_cycles_but_not_of_the_run),
        cmocka_unit_test(unusable_options_are_refused_with_their_field),
        cmocka_unit_test(effective_weights_add_every_kind_to_the_base),
        cmocka_unit_test(an_export_has_the_effective_weights),
        cmocka_unit_test(fresh_adapters_change_nothing),
        cmocka_unit_test(a_starts_uniform_or_orthonormal_and_m_as_the_norms),
        cmocka_unit_test(a_merge_moves_m_into_s_and_restarts_the_adapter),
        cmocka_unit_test(merges_alternate_the_kinds_and_keep_every_bit),
        cmocka_unit_test(a_merge_that_goes_wrong_is_noticed),
        cmocka_unit_test(state_of_another_cycle_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
