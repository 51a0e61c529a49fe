#include <math.h>

#include "tests/support/learner_fixture.h"
#include "worker/model/param_table.h"

/* Lialin et al. 2023's shapes with their vocabulary, and the parameter counts of their models. */
static const struct {
    int64_t hidden_size, intermediate_size, layers, heads;
    double millions;
} models[] = {
    {128, 352, 4, 4, 9.02},        {256, 688, 4, 4, 19.60},        {384, 1024, 6, 8, 35.27},
    {512, 1376, 8, 8, 58.18},      {768, 2560, 24, 16, 247.52},    {1024, 2736, 24, 16, 368.17},
    {2048, 5461, 24, 32, 1339.49}, {4096, 11008, 32, 32, 6739.23},
};

static struct model_config config_of(size_t i)
{
    return (struct model_config){.hidden_size = models[i].hidden_size,
                                 .intermediate_size = models[i].intermediate_size,
                                 .num_hidden_layers = models[i].layers,
                                 .num_attention_heads = models[i].heads,
                                 .num_key_value_heads = models[i].heads,
                                 .head_dim = models[i].hidden_size / models[i].heads,
                                 .vocab_size = 32100,
                                 .rms_norm_eps = 1e-6,
                                 .rope_theta = 10000.0,
                                 .initializer_range = 0.02};
}

static void published_models_have_their_number_of_parameters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const struct model_config config = config_of(i);
        struct param_table table;
        struct error err = {0};
        int64_t elements = 0;

        assert_ok(model_config_validate(&config, &err), &err);
        const struct param_training training = {.linears = true};
        assert_ok(param_table_init(&table, &config, &training, &err), &err);
        for (int64_t p = 0; p < table.count; p++) {
            elements += table.params[p].elements;
        }
        assert_int_equal(elements, model_config_parameters(&config));
        assert_true(fabs((double)elements / 1e6 - models[i].millions) < 0.00501);
        param_table_deinit(&table);
    }
}

static void a_config_that_cannot_be_is_refused_with_its_field(void **state)
{
    (void)state;
    const struct {
        size_t offset;
        int64_t value;
        const char *field;
    } cases[] = {
        {offsetof(struct model_config, hidden_size), 0, "model.config.hidden_size"},
        {offsetof(struct model_config, hidden_size), HIDDEN_SIZE_MAX + 1,
         "model.config.hidden_size"},
        {offsetof(struct model_config, num_hidden_layers), LAYERS_MAX + 1,
         "model.config.num_hidden_layers"},
        {offsetof(struct model_config, vocab_size), VOCAB_SIZE_MAX + 1, "model.config.vocab_size"},
        {offsetof(struct model_config, num_key_value_heads), 3, "model.config.num_key_value_heads"},
        {offsetof(struct model_config, head_dim), 7, "model.config.head_dim"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_config config = config_of(0);
        struct error err = {0};

        memcpy((char *)&config + cases[i].offset, &cases[i].value, sizeof cases[i].value);
        assert_int_equal(model_config_validate(&config, &err), STATUS_INVALID);
        assert_string_equal(err.field, cases[i].field);
    }
}

static void tensors_have_the_names_and_order_of_hugging_face(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.0.self_attn.v_proj.weight",
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.0.post_attention_layernorm.weight",
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
    };
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 1);
    const struct param_table *table = learner_params(fixture.learner);

    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_string_equal(table->params[i].name, expected[i]);
    }
    assert_string_equal(table->params[table->model_count - 2].name, "model.norm.weight");
    assert_string_equal(table->params[table->model_count - 1].name, "lm_head.weight");
    assert_string_equal(table->params[table->model_count].name,
                        "model.layers.0.self_attn.q_proj.weight.M");
    assert_string_equal(table->params[table->model_count + 2].name,
                        "model.layers.0.self_attn.v_proj.weight.M");
    assert_string_equal(table->params[table->model_count + 3].name,
                        "model.layers.0.self_attn.q_proj.weight.S.mod_tile");
    assert_string_equal(table->params[table->model_count + 4].name,
                        "model.layers.0.self_attn.q_proj.weight.S.blocks_interleave");
    assert_non_null(param_table_find(table, "model.layers.1.mlp.down_proj.weight.M"));
    assert_null(param_table_find(table, "model.layers.2.mlp.down_proj.weight"));
    fixture_close(&fixture);
}

static void adapters_leave_embeddings_norms_and_head_trainable(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_MORA);
    struct learner_fixture fixture = fixture_open(&options, 1);
    const struct param_table *table = learner_params(fixture.learner);

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        const bool frozen = param->role == PARAM_ROLE_LINEAR || param->role == PARAM_ROLE_SUM;
        assert_int_equal(param->trainable, !frozen);
        assert_true((param->grad == NULL) == frozen);
        assert_true((param->exp_avg_sq == NULL) == frozen);
    }
    fixture_close(&fixture);
}

static void linears_of_a_group_are_one_matrix(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
    struct learner_fixture fixture = fixture_open(&options, 1);
    const struct param_table *table = learner_params(fixture.learner);
    const struct param *q = param_table_linear(table, 1, LINEAR_Q);
    const struct param *k = param_table_linear(table, 1, LINEAR_K);
    const struct param *gate = param_table_linear(table, 0, LINEAR_GATE);
    const struct param *up = param_table_linear(table, 0, LINEAR_UP);

    assert_ptr_equal(k->value, q->value + q->elements);
    assert_ptr_equal(k->grad, q->grad + q->elements);
    assert_ptr_equal(up->value, gate->value + gate->elements);
    assert_ptr_equal(model_weight_buffer(learner_model(fixture.learner), 1, LINEAR_K), k->value);
    fixture_close(&fixture);
}

static void a_fresh_base_is_the_same_for_every_method(void **state)
{
    (void)state;
    const struct learner_options full_options = fixture_tiny(METHOD_NAME_FULL);
    const struct learner_options remora_options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture full = fixture_open(&full_options, 1);
    struct learner_fixture remora = fixture_open(&remora_options, 3);
    const struct param_table *a = learner_params(full.learner);
    const struct param_table *b = learner_params(remora.learner);

    for (int64_t i = 0; i < a->count; i++) {
        assert_string_equal(a->params[i].name, b->params[i].name);
        assert_memory_equal(a->params[i].value, b->params[i].value,
                            (size_t)a->params[i].elements * sizeof(float));
    }
    fixture_close(&full);
    fixture_close(&remora);
}

static void initial_values_have_their_distribution(void **state)
{
    (void)state;
    const struct learner_options options = fixture_llama_9m(METHOD_NAME_REMORA, 8);
    struct learner_fixture fixture = fixture_open(&options, 2);
    const struct param_table *table = learner_params(fixture.learner);

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        const bool drawn = param->role == PARAM_ROLE_EMBEDDING ||
                           param->role == PARAM_ROLE_LINEAR || param->role == PARAM_ROLE_HEAD;
        double sum = 0.0;
        double sum_sq = 0.0;
        for (int64_t e = 0; e < param->elements; e++) {
            sum += (double)param->value[e];
            sum_sq += (double)param->value[e] * (double)param->value[e];
        }
        const double n = (double)param->elements;
        if (drawn) {
            assert_true(fabs(sum / n) < 5.0 * 0.02 / sqrt(n));
            assert_true(fabs(sqrt(sum_sq / n) / 0.02 - 1.0) < 5.0 / sqrt(2.0 * n));
        } else {
            assert_true(sum == (param->role == PARAM_ROLE_NORM ? n : 0.0));
            assert_true(sum_sq == sum);
        }
    }
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_models_have_their_number_of_parameters),
        cmocka_unit_test(a_config_that_cannot_be_is_refused_with_its_field),
        cmocka_unit_test(tensors_have_the_names_and_order_of_hugging_face),
        cmocka_unit_test(adapters_leave_embeddings_norms_and_head_trainable),
        cmocka_unit_test(linears_of_a_group_are_one_matrix),
        cmocka_unit_test(a_fresh_base_is_the_same_for_every_method),
        cmocka_unit_test(initial_values_have_their_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
