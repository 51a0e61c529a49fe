#include <math.h>

#include "proto/base/rng.h"
#include "tests/support/learner_fixture.h"
#include "tests/support/method_variants.h"
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

/* DoRA's backward pass takes the norms of V = W0 + s B A as constants. For a difference to do so,
 * too, its m makes up for what a step of A or B does to them: m / ‖V‖ stays. */
struct dora {
    const struct param *w0, *a, *b, *m; /* m is NULL where there is nothing to make up for */
    double scale;
    double norms[64]; /* at the point of the gradient */
    float original_m[64];
};

static const struct param *tensor_beside(const struct param_table *table, const struct param *w0,
                                         const char *suffix)
{
    char name[PARAM_NAME_BYTES_MAX + 32];
    (void)snprintf(name, sizeof name, "%s.%s", w0->name, suffix);
    return param_table_find(table, name);
}

static void take_norms(double *norms, const struct dora *dora)
{
    const int64_t k = dora->w0->shape[1];
    const int64_t r = dora->a->shape[0];

    for (int64_t o = 0; o < dora->w0->shape[0]; o++) {
        norms[o] = 0.0;
        for (int64_t j = 0; j < k; j++) {
            double v = (double)dora->w0->value[o * k + j];
            for (int64_t i = 0; i < r; i++) {
                v += dora->scale * (double)dora->b->value[o * r + i] *
                     (double)dora->a->value[i * k + j];
            }
            norms[o] += v * v;
        }
        norms[o] = sqrt(norms[o]);
    }
}

static struct dora dora_of(const struct learner_fixture *fixture, const struct param *param)
{
    const struct param_table *table = learner_params(fixture->learner);
    const struct method_spec *spec = &learner_options(fixture->learner)->method;
    struct dora dora = {0};

    if (spec->name != METHOD_NAME_DORA || param->role != PARAM_ROLE_ADAPTER) {
        return dora;
    }
    dora.scale = spec->alpha / (double)spec->r;
    dora.w0 = param_table_linear(table, param->layer, (enum linear)param->linear);
    dora.a = tensor_beside(table, dora.w0, "lora_A");
    dora.b = tensor_beside(table, dora.w0, "lora_B");
    dora.m = tensor_beside(table, dora.w0, "magnitude");
    assert_true(dora.m->elements <= 64);
    memcpy(dora.original_m, dora.m->value, (size_t)dora.m->elements * sizeof(float));
    take_norms(dora.norms, &dora);
    return dora;
}

static double loss_at(struct learner_fixture *fixture, const struct dora *dora,
                      const uint32_t *tokens)
{
    double norms[64];

    if (dora->m == NULL) {
        return reference_loss(fixture, tokens);
    }
    take_norms(norms, dora);
    for (int64_t o = 0; o < dora->m->elements; o++) {
        dora->m->value[o] = (float)((double)dora->original_m[o] * norms[o] / dora->norms[o]);
    }
    const double loss = reference_loss(fixture, tokens);
    memcpy(dora->m->value, dora->original_m, (size_t)dora->m->elements * sizeof(float));
    return loss;
}

/* Central difference; the step is what fp32 made of it. */
static double finite_difference(struct learner_fixture *fixture, const struct dora *dora,
                                float *value, const uint32_t *tokens)
{
    const float original = *value;
    const float step = dora->m == NULL ? 1e-4F : 4e-3F; /* m's rounding is noise */

    *value = original + step;
    const double above = (double)*value;
    const double loss_above = loss_at(fixture, dora, tokens);
    *value = original - step;
    const double below = (double)*value;
    const double loss_below = loss_at(fixture, dora, tokens);
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
        const struct dora dora = dora_of(fixture, param);
        for (int64_t s = 0; s < SAMPLES; s++) {
            /* Of the embedding only rows that occur have a gradient. */
            const int64_t columns = param->shape[1];
            const int64_t element =
                param->role == PARAM_ROLE_EMBEDDING
                    ? (int64_t)tokens[s] * columns + s % columns
                    : (int64_t)rng_below(5, rng_stream(RNG_PURPOSE_TEST, 2, (uint32_t)i),
                                         (uint64_t)s, (uint32_t)param->elements);
            gradients[s] = (double)param->grad[element];
            estimates[s] = finite_difference(fixture, &dora, &param->value[element], tokens);
        }
        const double distance = relative_distance(gradients, estimates, SAMPLES);
        if (!(distance <= (dora.m == NULL ? 1.0 : 10.0) * GRADIENT_ERROR_MAX)) {
            fail_msg("%s: gradient is %g from the finite difference", param->name, distance);
        }
    }
    free(tokens);
}

/* An update, lengths and sums as training could have left them: then no part of a gradient is zero.
 */
static void stir(struct learner_fixture *fixture, uint64_t seed)
{
    const struct param_table *table = learner_params(fixture->learner);

    fixture_randomise(fixture, PARAM_ROLE_NORM, 1.0, seed);
    fixture_randomise(fixture, PARAM_ROLE_SUM, 0.1, seed + 1);
    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        const uint64_t stream = rng_stream(RNG_PURPOSE_TEST, 3, (uint32_t)i);
        for (int64_t e = 0; param->role == PARAM_ROLE_ADAPTER && e < param->elements; e++) {
            param->value[e] += (float)(0.1 * rng_normal(seed, stream, (uint64_t)e));
        }
        for (int64_t e = 0; param->role == PARAM_ROLE_MAGNITUDE && e < param->elements; e++) {
            const float length = param->value[e] == 0.0F ? 1.0F : param->value[e];
            param->value[e] = length * (float)(1.0 + 0.1 * rng_normal(seed, stream, (uint64_t)e));
        }
    }
    learner_write_weights(fixture->learner);
}

/* The state of a method in that cycle. */
static void enter_cycle(struct learner_fixture *fixture, int64_t cycle)
{
    struct error err = {0};
    json_t *state = method_state(learner_method(fixture->learner));
    static const char *const kinds[] = {
        "full",       "lora",     "mod_tile",    "permuted",          "truncation",
        "decoupling", "rotation", "blocks_tile", "blocks_interleave", "mod_interleave"};
    enum status status = STATUS_CORRUPT;

    (void)json_object_set_new(state, "cycle", json_integer((json_int_t)cycle));
    for (size_t i = 0; status && i < sizeof kinds / sizeof kinds[0]; i++) {
        (void)json_object_set_new(state, "group_kind", json_string(kinds[i]));
        status = method_set_state(learner_method(fixture->learner), state, &err);
    }
    assert_ok(status, &err);
    json_decref(state);
}

static bool has_cycles(const struct method_spec *spec)
{
    return spec->merge_every > 0 || spec->full_rank_steps > 0;
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    for (int v = 0; v < METHOD_VARIANT_COUNT; v++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
        options.method = method_variant_at(v).spec;
        struct learner_fixture fixture = fixture_open(&options, 2);

        for (int64_t cycle = 0; cycle < (has_cycles(&options.method) ? 2 : 1); cycle++) {
            print_message("%s, cycle %lld\n", method_variant_at(v).name, (long long)cycle);
            if (has_cycles(&options.method)) {
                enter_cycle(&fixture, cycle);
            }
            stir(&fixture, (uint64_t)(10 * cycle + 8));
            check_gradients(&fixture);
        }
        fixture_close(&fixture);
    }
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
        cmocka_unit_test(gradients_agree_with_finite_differences),
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
