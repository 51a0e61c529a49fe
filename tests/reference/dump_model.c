/*
 * dump_model METHOD CYCLE SHAPE DTYPE FOLDER — trains a small model for a few steps and writes what
 * another implementation needs to repeat it: FOLDER/model.json (config, tokens, losses, and where
 * each tensor lies) and FOLDER/tensors.bin (little-endian fp32). check_model.py reads both.
 */
#include <jansson.h>

#include "tests/support/learner_fixture.h"

#define STEPS         6
#define LEARNING_RATE 0.01
#define WEIGHT_DECAY  0.1

static const struct {
    const char *text;
    enum method_name name;
} methods[] = {
    {"full", METHOD_NAME_FULL},
    {"mora", METHOD_NAME_MORA},
    {"remora", METHOD_NAME_REMORA},
};

struct dump {
    FILE *bytes;
    json_t *tensors;
    size_t offset;
};

/* what: "initial", "gradient" or "final". */
static void dump_tensor(struct dump *dump, const char *what, const char *name, const float *data,
                        int64_t rows, int64_t columns, int dimensions)
{
    const size_t elements = (size_t)(rows * columns);
    json_t *shape = dimensions == 1 ? json_pack("[I]", (json_int_t)rows)
                                    : json_pack("[I,I]", (json_int_t)rows, (json_int_t)columns);

    assert_int_equal(fwrite(data, sizeof *data, elements, dump->bytes), elements);
    json_array_append_new(dump->tensors,
                          json_pack("{s:s, s:s, s:o, s:I}", "what", what, "name", name, "shape",
                                    shape, "offset", (json_int_t)dump->offset));
    dump->offset += elements * sizeof *data;
}

static void dump_state(struct dump *dump, const char *what, const struct learner *learner)
{
    for (int64_t i = 0; i < learner_params(learner)->count; i++) {
        const struct learner_tensor tensor = learner_tensor(learner, i);
        dump_tensor(dump, what, tensor.name, tensor.data, tensor.shape[0], tensor.shape[1],
                    tensor.dimensions);
    }
}

static void dump_gradients(struct dump *dump, const struct learner *learner)
{
    const struct param_table *table = learner_params(learner);

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (param->trainable) {
            dump_tensor(dump, "gradient", param->name, param->grad, param->shape[0],
                        param->shape[1], param->dimensions);
        }
    }
}

static json_t *config_json(const struct learner_options *options)
{
    const struct model_config *config = &options->config;

    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:b, s:{s:f, s:f, s:f, s:I}}",
        "hidden_size", (json_int_t)config->hidden_size, "intermediate_size",
        (json_int_t)config->intermediate_size, "num_hidden_layers",
        (json_int_t)config->num_hidden_layers, "num_attention_heads",
        (json_int_t)config->num_attention_heads, "num_key_value_heads",
        (json_int_t)config->num_key_value_heads, "head_dim", (json_int_t)config->head_dim,
        "vocab_size", (json_int_t)config->vocab_size, "rms_norm_eps", config->rms_norm_eps,
        "rope_theta", config->rope_theta, "merge_every", (json_int_t)options->method.merge_every,
        "tie_word_embeddings", config->tie_word_embeddings, "rope_scaling", "factor",
        config->rope_scaling.factor, "low_freq_factor", config->rope_scaling.low_freq_factor,
        "high_freq_factor", config->rope_scaling.high_freq_factor,
        "original_max_position_embeddings",
        (json_int_t)config->rope_scaling.original_max_position_embeddings);
}

/* Weights and an update that a training run could have; every part of the gradient is then there.
 */
static void start(struct learner_fixture *fixture, const struct learner_options *options,
                  int64_t cycle)
{
    struct error err = {0};

    if (options->method.name == METHOD_NAME_REMORA) {
        json_t *state = json_pack("{s:I, s:s}", "cycle", (json_int_t)cycle, "group_kind",
                                  cycle % 2 == 0 ? "mod_tile" : "blocks_interleave");
        assert_ok(method_set_state(learner_method(fixture->learner), state, &err), &err);
        json_decref(state);
        fixture_randomise(fixture, PARAM_ROLE_SUM, 0.1, 21);
    }
    fixture_randomise(fixture, PARAM_ROLE_ADAPTER, 0.1, 22);
    fixture_randomise(fixture, PARAM_ROLE_NORM, 1.0, 23);
}

static json_t *tokens_json(const uint32_t *tokens, int64_t B, int64_t T)
{
    json_t *rows = json_array();

    for (int64_t b = 0; b < B; b++) {
        json_t *row = json_array();
        for (int64_t t = 0; t <= T; t++) {
            json_array_append_new(row, json_integer((json_int_t)tokens[b * (T + 1) + t]));
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

static void train(struct dump *dump, json_t *root, const struct learner_options *options,
                  int64_t cycle)
{
    struct learner_fixture fixture = fixture_open(options, 2);
    const int64_t T = options->sequence_length;
    uint32_t *tokens = fixture_tokens(options->micro * (T + 1), options->config.vocab_size, 24);
    json_t *losses = json_array();

    start(&fixture, options, cycle);
    dump_state(dump, "initial", fixture.learner);
    for (int64_t step = 1; step <= STEPS; step++) {
        const double loss = fixture_step(&fixture, tokens, LEARNING_RATE, step, STEPS);
        json_array_append_new(losses, json_real(loss));
        if (step == 1) {
            dump_gradients(dump, fixture.learner);
        }
    }
    dump_state(dump, "final", fixture.learner);
    json_object_set_new(root, "tokens", tokens_json(tokens, options->micro, T));
    json_object_set_new(root, "losses", losses);
    free(tokens);
    fixture_close(&fixture);
}

/* What models from elsewhere may have. */
static void shape_as_imported(struct model_config *config)
{
    config->head_dim = 10;
    config->tie_word_embeddings = true;
    config->rope_theta = 50.0;
    config->rope_scaling.factor = 4.0;
    config->rope_scaling.low_freq_factor = 1.0;
    config->rope_scaling.high_freq_factor = 3.0;
    config->rope_scaling.original_max_position_embeddings = 24;
}

int main(int argc, char **argv)
{
    char path[PATH_BYTES_MAX];
    struct learner_options options = {0};

    if (argc != 6) {
        (void)fprintf(stderr, "usage: dump_model METHOD CYCLE SHAPE DTYPE FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(argv[1], methods[i].text) == 0) {
            options = fixture_tiny(methods[i].name);
        }
    }
    if (strcmp(argv[3], "imported") == 0) {
        shape_as_imported(&options.config);
    }
    options.dtype = strcmp(argv[4], "bf16") == 0 ? DTYPE_BF16 : DTYPE_FP32;
    options.optimizer.weight_decay = WEIGHT_DECAY;
    const int64_t cycle = strtoll(argv[2], NULL, 10);

    (void)snprintf(path, sizeof path, "%s/tensors.bin", argv[5]);
    struct dump dump = {.bytes = fopen(path, "wbe"), .tensors = json_array()};
    assert_non_null(dump.bytes);
    json_t *root = json_pack(
        "{s:s, s:I, s:o, s:f, s:f, s:[f,f], s:f}", "method", argv[1], "cycle", (json_int_t)cycle,
        "config", config_json(&options), "lr", LEARNING_RATE, "weight_decay", WEIGHT_DECAY, "betas",
        options.optimizer.beta1, options.optimizer.beta2, "eps", options.optimizer.eps);
    train(&dump, root, &options, cycle);
    json_object_set_new(root, "tensors", dump.tensors);
    assert_int_equal(fclose(dump.bytes), 0);
    (void)snprintf(path, sizeof path, "%s/model.json", argv[5]);
    assert_int_equal(json_dump_file(root, path, JSON_REAL_PRECISION(17)), 0);
    json_decref(root);
    return 0;
}
