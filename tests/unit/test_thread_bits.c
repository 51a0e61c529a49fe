#include "proto/base/digest.h"
#include "tests/support/learner_fixture.h"
#include "tests/support/method_variants.h"

#define STEPS 20

/* The digest of every loss, gradient and final tensor of 20 steps of llama-9m with a merge. */
static void train(struct digest *out, int64_t r, enum dtype dtype, int threads)
{
    struct learner_options options = fixture_llama_9m(METHOD_NAME_REMORA, r);
    options.dtype = dtype;
    options.rounding = COMPUTE_ROUNDING_STOCHASTIC;
    options.method.merge_every = 8;
    struct learner_fixture fixture = fixture_open(&options, threads);
    const int64_t count = options.micro * (options.sequence_length + 1);
    struct digest_stream *stream = NULL;
    struct error err = {0};
    int64_t grad_count = 0;
    const float *grads = learner_grads(fixture.learner, &grad_count);

    assert_ok(digest_stream_create(&stream, &err), &err);
    for (int64_t step = 1; step <= STEPS; step++) {
        uint32_t *tokens = fixture_tokens(count, options.config.vocab_size, (uint64_t)step);
        const double loss = fixture_step(&fixture, tokens, 1e-3, step, STEPS);
        digest_stream_update(stream, &loss, sizeof loss);
        digest_stream_update(stream, grads, (size_t)grad_count * sizeof(float));
        free(tokens);
    }
    for (int64_t i = 0; i < learner_tensor_count(fixture.learner); i++) {
        const struct learner_tensor tensor = learner_tensor(fixture.learner, i);
        digest_stream_update(stream, tensor.data, (size_t)tensor.elements * sizeof(float));
    }
    digest_stream_finish(stream, out);
    digest_stream_destroy(stream);
    fixture_close(&fixture);
}

static void check(int64_t r, enum dtype dtype)
{
    static const int threads[] = {2, 3, 8};
    struct digest one;

    train(&one, r, dtype, 1);
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        struct digest many;
        train(&many, r, dtype, threads[i]);
        if (!digest_equal(&one, &many)) {
            fail_msg("r %lld, %s: %d threads give other bits than one", (long long)r,
                     dtype_name(dtype), threads[i]);
        }
    }
}

static void threads_do_not_change_a_bit_with_r_8(void **state)
{
    (void)state;
    check(8, DTYPE_FP32);
}

static void threads_do_not_change_a_bit_with_r_20(void **state)
{
    (void)state;
    check(20, DTYPE_FP32);
}

static void threads_do_not_change_a_bit_in_bf16(void **state)
{
    (void)state;
    check(20, DTYPE_BF16);
}

/* The digest of everything that six steps over a merge or two give. */
static void train_variant(struct digest *out, int variant, enum dtype dtype, int threads)
{
    struct learner_options options = fixture_llama_9m(METHOD_NAME_FULL, 0);
    options.method = method_variant_at(variant).spec;
    options.method.r = options.method.r == 0 ? 0 : 20;
    options.method.merge_every = options.method.merge_every == 0 ? 0 : 2;
    options.config.num_hidden_layers = 1;
    options.micro = 2;
    options.dtype = dtype;
    struct learner_fixture fixture = fixture_open(&options, threads);
    uint32_t *tokens =
        fixture_tokens(options.micro * (options.sequence_length + 1), options.config.vocab_size, 1);
    struct digest_stream *stream = NULL;
    struct error err = {0};

    assert_ok(digest_stream_create(&stream, &err), &err);
    for (int64_t step = 1; step <= 6; step++) {
        const double loss = fixture_step(&fixture, tokens, 1e-3, step, 6);
        digest_stream_update(stream, &loss, sizeof loss);
    }
    for (int64_t i = 0; i < learner_tensor_count(fixture.learner); i++) {
        const struct learner_tensor tensor = learner_tensor(fixture.learner, i);
        digest_stream_update(stream, tensor.data, (size_t)tensor.elements * sizeof(float));
    }
    digest_stream_finish(stream, out);
    digest_stream_destroy(stream);
    free(tokens);
    fixture_close(&fixture);
}

static void threads_do_not_change_a_bit_of_any_method(void **state)
{
    (void)state;
    for (int v = 0; v < 2 * METHOD_VARIANT_COUNT; v++) {
        const enum dtype dtype = v % 2 == 0 ? DTYPE_FP32 : DTYPE_BF16;
        struct digest one;
        struct digest three;
        train_variant(&one, v / 2, dtype, 1);
        train_variant(&three, v / 2, dtype, 3);
        if (!digest_equal(&one, &three)) {
            fail_msg("%s, %s: 3 threads give other bits than one", method_variant_at(v / 2).name,
                     dtype_name(dtype));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_a_bit_with_r_8),
        cmocka_unit_test(threads_do_not_change_a_bit_with_r_20),
        cmocka_unit_test(threads_do_not_change_a_bit_of_any_method),
        cmocka_unit_test(threads_do_not_change_a_bit_in_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
