#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/learner_fixture.h"
#include "worker/model/model.h"
#include "worker/model/model_ref.h"

#define GRADIENT_ERROR_MAX 1e-4
#define LOGITS_ERROR_MAX   1e-5
/* Elements of each tensor whose gradient is estimated. */
#define SAMPLES 12

/* The mean loss, in double, of the paper's form of the model. */
static double reference_loss(struct learner_fixture *fixture, const uint32_t *tokens)
{
    const struct learner_options *options = learner_options(fixture->learner);
    const struct model_ref reference = method_reference(learner_method(fixture->learner));
    struct error err = {0};
    double loss = 0.0;

    assert_ok(
        model_ref_loss(&loss, &reference, tokens, options->micro, options->sequence_length, &err),
        &err);
    return loss / (double)(options->micro * options->sequence_length);
}

/* Central difference; the step is what fp32 made of it. */
static double finite_difference(struct learner_fixture *fixture, float *value,
                                const uint32_t *tokens)
{
    const float original = *value;
    const float step = 4e-4F;

    *value = original + step;
    const double above = (double)*value;
    const double loss_above = reference_loss(fixture, tokens);
    *value = original - step;
    const double below = (double)*value;
    const double loss_below = reference_loss(fixture, tokens);
    *value = original;
    return (loss_above - loss_below) / (above - below);
}

static void check_gradients(struct learner_fixture *fixture)
{
    const struct learner_options *options = learner_options(fixture->learner);
    const struct param_table *table = learner_params(fixture->learner);
    const int64_t T = options->sequence_length;
    uint32_t *tokens = fixture_tokens(options->micro * (T + 1), options->config.vocab_size, 3);

    learner_zero_grads(fixture->learner);
    const double scale = 1.0 / (double)(options->micro * T);
    const double loss =
        scale * learner_forward_backward(fixture->learner, tokens, options->micro, scale);
    assert_true(fabs(loss - reference_loss(fixture, tokens)) < 1e-5 * loss);

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        double estimates[SAMPLES];
        double gradients[SAMPLES];
        if (!param->trainable) {
            continue;
        }
        for (int64_t s = 0; s < SAMPLES; s++) {
            /* Of the embedding only rows that occur have a gradient. */
            const int64_t columns = param->shape[1];
            const int64_t element =
                param->role == PARAM_ROLE_EMBEDDING
                    ? (int64_t)tokens[s] * columns + s % columns
                    : (int64_t)rng_below(5, rng_stream(RNG_PURPOSE_TEST, 2, (uint32_t)i),
                                         (uint64_t)s, (uint32_t)param->elements);
            gradients[s] = (double)param->grad[element];
            estimates[s] = finite_difference(fixture, &param->value[element], tokens);
        }
        const double distance = relative_distance(gradients, estimates, SAMPLES);
        if (!(distance <= GRADIENT_ERROR_MAX)) {
            fail_msg("%s: gradient is %g from the finite difference", param->name, distance);
        }
    }
    free(tokens);
}

static void gradients_agree_with_finite_differences_for_full(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
    struct learner_fixture fixture = fixture_open(&options, 2);

    fixture_randomise(&fixture, PARAM_ROLE_NORM, 1.0, 8);
    check_gradients(&fixture);
    fixture_close(&fixture);
}

static void gradients_agree_with_finite_differences_for_mora(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_MORA);
    struct learner_fixture fixture = fixture_open(&options, 2);

    fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 0.1, 9);
    check_gradients(&fixture);
    fixture_close(&fixture);
}

static void gradients_agree_with_finite_differences_for_both_kinds_of_remora(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 2);

    for (int64_t cycle = 0; cycle < 2; cycle++) {
        json_t *method = json_pack("{s:I, s:s}", "cycle", (json_int_t)cycle, "group_kind",
                                   cycle == 0 ? "mod_tile" : "blocks_interleave");
        struct error err = {0};
        assert_ok(method_set_state(learner_method(fixture.learner), method, &err), &err);
        json_decref(method);
        fixture_randomise(&fixture, PARAM_ROLE_SUM, 0.1, 10);
        fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 0.1, 11);
        check_gradients(&fixture);
    }
    fixture_close(&fixture);
}

/* Everything that an imported model may have: grouped heads, a head_dim of its own, the embedding
 * as output projection, stretched positions. */
static struct learner_options imported(enum method_name method)
{
    struct learner_options options = fixture_tiny(method);

    options.config.head_dim = 10;
    options.config.tie_word_embeddings = true;
    options.config.rope_theta = 50.0;
    options.config.rope_scaling.factor = 4.0;
    options.config.rope_scaling.low_freq_factor = 1.0;
    options.config.rope_scaling.high_freq_factor = 3.0;
    options.config.rope_scaling.original_max_position_embeddings = 24;
    return options;
}

static void gradients_agree_with_finite_differences_for_imported_shapes(void **state)
{
    (void)state;
    static const enum method_name methods[] = {METHOD_NAME_FULL, METHOD_NAME_MORA};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const struct learner_options options = imported(methods[i]);
        struct learner_fixture fixture = fixture_open(&options, 2);

        assert_null(param_table_find(learner_params(fixture.learner), "lm_head.weight"));
        fixture_randomise(&fixture, PARAM_ROLE_NORM, 1.0, 8);
        fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 0.1, 9);
        check_gradients(&fixture);
        fixture_close(&fixture);
    }
}

/* Loss and gradients of a step, in an array: gradients, then the loss. */
static double *step_of(const struct learner_options *options, int threads, int64_t *count)
{
    struct learner_fixture fixture = fixture_open(options, threads);
    uint32_t *tokens = fixture_tokens(options->micro * (options->sequence_length + 1),
                                      options->config.vocab_size, 4);
    const float *grads = learner_grads(fixture.learner, count);
    struct error err = {0};

    fixture_randomise(&fixture, PARAM_ROLE_NORM, 1.0, 8);
    fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 0.1, 9);
    learner_zero_grads(fixture.learner);
    const double loss = learner_forward_backward(fixture.learner, tokens, options->micro, 0.03);
    assert_ok(backend_finish(fixture.backend, &err), &err);
    double *out = calloc((size_t)*count + 1, sizeof *out);
    for (int64_t i = 0; i < *count; i++) {
        out[i] = (double)grads[i];
    }
    out[(*count)++] = loss;
    free(tokens);
    fixture_close(&fixture);
    return out;
}

static void recomputing_changes_no_bit(void **state)
{
    (void)state;
    static const enum method_name methods[] = {METHOD_NAME_FULL, METHOD_NAME_REMORA};
    for (size_t i = 0; i < 4; i++) {
        struct learner_options options = imported(methods[i % 2]);
        options.dtype = i < 2 ? DTYPE_FP32 : DTYPE_BF16;
        options.config.num_hidden_layers = 3;
        int64_t count = 0;
        double *kept = step_of(&options, 2, &count);
        for (options.recompute = COMPUTE_RECOMPUTE_ATTENTION;
             options.recompute <= COMPUTE_RECOMPUTE_LAYER; options.recompute++) {
            double *again = step_of(&options, 2, &count);
            assert_memory_equal(again, kept, (size_t)count * sizeof *kept);
            free(again);
        }
        free(kept);
    }
}

static void recomputing_takes_less_memory(void **state)
{
    (void)state;
    struct learner_options options = fixture_llama_9m(METHOD_NAME_MORA, 8);
    size_t bytes[3];

    options.purpose = LEARNER_PURPOSE_PLAN;
    for (int i = 0; i < 3; i++) {
        options.recompute = (enum compute_recompute)i;
        struct learner_fixture fixture = fixture_open(&options, 1);
        bytes[i] = learner_memory(fixture.learner)->bytes[MEMORY_KIND_ACTIVATIONS];
        fixture_close(&fixture);
    }
    assert_true(bytes[1] < bytes[0] * 9 / 10);
    assert_true(bytes[2] < bytes[0] * 6 / 10);
}

/* Loss within 1e-3; gradients, all of them as one vector, within 5e-2 of fp32's: operands are off
 * by up to 2^-8, and what adapters get is a sum over groups in which much cancels. */
static void bf16_stays_close_to_fp32(void **state)
{
    (void)state;
    static const enum method_name methods[] = {METHOD_NAME_FULL, METHOD_NAME_MORA,
                                               METHOD_NAME_REMORA, METHOD_NAME_FROZEN};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct learner_options options = fixture_llama_9m(methods[i], 8);
        int64_t count = 0;
        double *fp32 = step_of(&options, 2, &count);
        options.dtype = DTYPE_BF16;
        double *bf16 = step_of(&options, 2, &count);
        const double distance = relative_distance(bf16, fp32, count - 1);

        assert_true(fabs(bf16[count - 1] / fp32[count - 1] - 1.0) < 1e-3);
        if (!(distance > 1e-5 && distance < 5e-2)) {
            fail_msg("%s: gradients of bf16 are %g from those of fp32",
                     method_name_text(methods[i]), distance);
        }
        free(fp32);
        free(bf16);
    }
}

static void gradients_add_up_over_micro_batches(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 1);
    const int64_t row = options.sequence_length + 1;
    uint32_t *tokens = fixture_tokens(options.micro * row, options.config.vocab_size, 4);
    int64_t count = 0;
    float *grads = learner_grads(fixture.learner, &count);
    double *whole = calloc((size_t)count, sizeof *whole);
    double *parts = calloc((size_t)count, sizeof *parts);

    learner_zero_grads(fixture.learner);
    double loss = learner_forward_backward(fixture.learner, tokens, options.micro, 0.03);
    for (int64_t i = 0; i < count; i++) {
        whole[i] = (double)grads[i];
    }
    learner_zero_grads(fixture.learner);
    for (int64_t b = 0; b < options.micro; b++) {
        loss -= learner_forward_backward(fixture.learner, tokens + b * row, 1, 0.03);
    }
    for (int64_t i = 0; i < count; i++) {
        parts[i] = (double)grads[i];
    }
    assert_true(fabs(loss) < 1e-3);
    assert_true(relative_distance(parts, whole, count) < 1e-6);
    free(whole);
    free(parts);
    free(tokens);
    fixture_close(&fixture);
}

static void logits_agree_with_the_reference(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 2);
    const int64_t T = options.sequence_length;
    const int64_t V = options.config.vocab_size;
    uint32_t *tokens = fixture_tokens(T, V, 5);
    double *expected = calloc((size_t)(T * V), sizeof *expected);
    double *actual = calloc((size_t)(T * V), sizeof *actual);
    float *logits = calloc((size_t)(T * V), sizeof *logits);
    struct error err = {0};

    fixture_randomise(&fixture, PARAM_ROLE_SUM, 0.1, 12);
    fixture_randomise(&fixture, PARAM_ROLE_ADAPTER, 0.1, 13);
    for (int64_t length = 1; length <= T; length += 5) {
        const struct model_ref reference = method_reference(learner_method(fixture.learner));
        assert_ok(model_ref_logits(expected, &reference, tokens, length, &err), &err);
        model_logits(learner_model(fixture.learner), logits, tokens, length);
        for (int64_t i = 0; i < length * V; i++) {
            actual[i] = (double)logits[i];
        }
        assert_true(relative_distance(actual, expected, length * V) < LOGITS_ERROR_MAX);
    }
    free(tokens);
    free(expected);
    free(actual);
    free(logits);
    fixture_close(&fixture);
}

static void a_fresh_model_knows_nothing(void **state)
{
    (void)state;
    static const enum method_name methods[] = {METHOD_NAME_FULL, METHOD_NAME_MORA,
                                               METHOD_NAME_REMORA};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        const struct learner_options options = fixture_llama_9m(methods[i], 8);
        struct learner_fixture fixture = fixture_open(&options, 2);
        const int64_t rows = options.micro;
        uint32_t *tokens =
            fixture_tokens(rows * (options.sequence_length + 1), options.config.vocab_size, 6);

        const double loss =
            learner_loss(fixture.learner, tokens, rows) / (double)(rows * options.sequence_length);
        const double expected = log((double)options.config.vocab_size);
        assert_true(fabs(loss / expected - 1.0) < 0.05);
        free(tokens);
        fixture_close(&fixture);
    }
}

static void evaluation_gives_the_loss_of_training_and_no_gradient(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
    struct learner_fixture fixture = fixture_open(&options, 1);
    uint32_t *tokens =
        fixture_tokens(options.micro * (options.sequence_length + 1), options.config.vocab_size, 7);
    int64_t count = 0;
    const float *grads = learner_grads(fixture.learner, &count);

    const double evaluated = learner_loss(fixture.learner, tokens, options.micro);
    for (int64_t i = 0; i < count; i++) {
        assert_true(grads[i] == 0.0F);
    }
    const double trained = learner_forward_backward(fixture.learner, tokens, options.micro, 1.0);
    assert_true(fabs(evaluated - trained) < 1e-9 * trained);
    free(tokens);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_finite_differences_for_full),
        cmocka_unit_test(gradients_agree_with_finite_differences_for_mora),
        cmocka_unit_test(gradients_agree_with_finite_differences_for_both_kinds_of_remora),
        cmocka_unit_test(gradients_agree_with_finite_differences_for_imported_shapes),
        cmocka_unit_test(recomputing_changes_no_bit),
        cmocka_unit_test(recomputing_takes_less_memory),
        cmocka_unit_test(bf16_stays_close_to_fp32),
        cmocka_unit_test(gradients_add_up_over_micro_batches),
        cmocka_unit_test(logits_agree_with_the_reference),
        cmocka_unit_test(a_fresh_model_knows_nothing),
        cmocka_unit_test(evaluation_gives_the_loss_of_training_and_no_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
