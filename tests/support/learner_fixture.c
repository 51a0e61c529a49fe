#include "tests/support/learner_fixture.h"

#include <math.h>

#include "proto/base/rng.h"

struct method_spec fixture_method(enum method_name name)
{
    struct method_spec spec = method_spec_default(name);

    spec.r = name == METHOD_NAME_FULL || name == METHOD_NAME_FROZEN ? 0 : 2;
    spec.alpha = 3.0;
    spec.merge_every = method_has_cycles(name) ? 4 : 0;
    return spec;
}

struct learner_options fixture_tiny(enum method_name method)
{
    return (struct learner_options){
        .config = {.hidden_size = 24,
                   .intermediate_size = 37,
                   .num_hidden_layers = 2,
                   .num_attention_heads = 4,
                   .num_key_value_heads = 2,
                   .head_dim = 6,
                   .vocab_size = 61,
                   .rms_norm_eps = 1e-6,
                   .rope_theta = 10000.0,
                   .initializer_range = 0.2},
        .method = fixture_method(method),
        .optimizer = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
        .seed = 17,
        .micro = 3,
        .sequence_length = 11,
    };
}

struct learner_options fixture_llama_9m(enum method_name method, int64_t r)
{
    struct learner_options options = fixture_tiny(method);

    options.config = (struct model_config){.hidden_size = 128,
                                           .intermediate_size = 352,
                                           .num_hidden_layers = 4,
                                           .num_attention_heads = 4,
                                           .num_key_value_heads = 4,
                                           .head_dim = 32,
                                           .vocab_size = 2048,
                                           .rms_norm_eps = 1e-6,
                                           .rope_theta = 10000.0,
                                           .initializer_range = 0.02};
    options.method.r = options.method.r > 0 ? r : 0;
    options.micro = 4;
    options.sequence_length = 128;
    return options;
}

struct learner_fixture fixture_open(const struct learner_options *options, int threads)
{
    struct learner_fixture fixture = {0};
    struct error err = {0};

    assert_ok(backend_cpu_create(&fixture.backend, threads, &err), &err);
    assert_ok(learner_create(&fixture.learner, options, fixture.backend, &err), &err);
    return fixture;
}

void fixture_close(struct learner_fixture *fixture)
{
    learner_destroy(fixture->learner);
    backend_destroy(fixture->backend);
    *fixture = (struct learner_fixture){0};
}

uint32_t *fixture_tokens(int64_t count, int64_t vocab_size, uint64_t seed)
{
    uint32_t *tokens = calloc((size_t)count, sizeof *tokens);

    assert_non_null(tokens);
    for (int64_t i = 0; i < count; i++) {
        tokens[i] =
            rng_below(seed, rng_stream(RNG_PURPOSE_TEST, 0, 0), (uint64_t)i, (uint32_t)vocab_size);
    }
    return tokens;
}

void fixture_randomise(struct learner_fixture *fixture, enum param_role role, double deviation,
                       uint64_t seed)
{
    const struct param_table *table = learner_params(fixture->learner);

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        for (int64_t e = 0; param->role == role && e < param->elements; e++) {
            const uint64_t stream = rng_stream(RNG_PURPOSE_TEST, 1, (uint32_t)i);
            param->value[e] = (float)(deviation * rng_normal(seed, stream, (uint64_t)e));
        }
    }
    learner_write_weights(fixture->learner);
}

double fixture_step(struct learner_fixture *fixture, const uint32_t *tokens, double lr,
                    int64_t step, int64_t steps)
{
    const struct learner_options *options = learner_options(fixture->learner);
    const double targets = (double)(options->micro * options->sequence_length);
    struct merge_report report;
    struct error err = {0};
    double norm = 0.0;

    learner_zero_grads(fixture->learner);
    const double loss =
        learner_forward_backward(fixture->learner, tokens, options->micro, 1.0 / targets);
    assert_ok(learner_update(fixture->learner, lr, 1.0, &norm, &err), &err);
    if (learner_merge_due(fixture->learner, step, steps)) {
        assert_ok(learner_merge(fixture->learner, tokens, options->sequence_length, &report, &err),
                  &err);
    } else {
        learner_write_weights(fixture->learner);
    }
    return loss / targets;
}

double relative_distance(const double *a, const double *b, int64_t count)
{
    double difference_sq = 0.0;
    double b_sq = 0.0;

    for (int64_t i = 0; i < count; i++) {
        difference_sq += (a[i] - b[i]) * (a[i] - b[i]);
        b_sq += b[i] * b[i];
    }
    return sqrt(difference_sq) / sqrt(b_sq);
}
