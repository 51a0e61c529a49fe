#include <math.h>

#include "proto/base/sys.h"
#include "tests/support/learner_fixture.h"
#include "tests/support/method_variants.h"
#include "worker/method/learner.h"
#include "worker/model/param_shard.h"
#include "worker/optim/schedule.h"

#define SEQUENCES 64

/* 64 sequences of random tokens that differ in their first, so that each can be told by it. */
static uint32_t *distinct_sequences(int64_t T)
{
    uint32_t *tokens = fixture_tokens(SEQUENCES * (T + 1), SEQUENCES, 1);

    for (int64_t b = 0; b < SEQUENCES; b++) {
        tokens[b * (T + 1)] = (uint32_t)b;
    }
    return tokens;
}

static struct learner_options overfit_options(enum method_name method)
{
    struct learner_options options = fixture_tiny(method);

    options.config.hidden_size = 64;
    options.config.intermediate_size = 128;
    options.config.num_key_value_heads = 4;
    options.config.head_dim = 16;
    options.config.vocab_size = SEQUENCES;
    options.config.initializer_range = 0.05;
    options.method.r = method == METHOD_NAME_FULL ? 0 : 16;
    options.method.alpha = 32.0;
    options.method.lr_ratio = method == METHOD_NAME_LORA_PLUS ? 4.0 : 1.0;
    options.micro = SEQUENCES;
    options.sequence_length = 8;
    return options;
}

static double overfit(enum method_name method, int64_t steps)
{
    struct learner_options options = overfit_options(method);
    options.method.merge_every = method_has_cycles(method) ? steps / 3 : 0;
    struct learner_fixture fixture = fixture_open(&options, 2);
    uint32_t *tokens = distinct_sequences(options.sequence_length);
    double loss = 0.0;

    for (int64_t step = 1; step <= steps; step++) {
        loss = fixture_step(&fixture, tokens, 4e-3, step, steps);
    }
    free(tokens);
    fixture_close(&fixture);
    return loss;
}

static void two_layers_overfit_64_sequences(void **state)
{
    (void)state;
    for (enum method_name method = METHOD_NAME_FULL; method < METHOD_NAME_FROZEN; method++) {
        const double loss = overfit(method, 150);
        print_message("loss after 150 steps: %s %.4f\n", method_name_text(method), loss);
        assert_true(loss < 0.1);
    }
}

/* Every method, over its merges and the end of its full-rank steps. */
static void side_path_and_effective_weights_agree(void **state)
{
    (void)state;
    for (int v = 0; v < METHOD_VARIANT_COUNT; v++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
        options.method = method_variant_at(v).spec;
        options.config.initializer_range = 0.05;
        struct learner_fixture fixture = fixture_open(&options, 2);
        const int64_t targets = options.micro * options.sequence_length;
        struct error err = {0};

        for (int64_t step = 1; step <= 11; step++) {
            uint32_t *tokens = fixture_tokens(options.micro * (options.sequence_length + 1),
                                              options.config.vocab_size, (uint64_t)step);
            const struct model_ref reference = method_reference(learner_method(fixture.learner));
            double expected = 0.0;
            assert_ok(model_ref_loss(&expected, &reference, tokens, options.micro,
                                     options.sequence_length, &err),
                      &err);
            const double loss = fixture_step(&fixture, tokens, 3e-3, step, 12);
            if (!(fabs(loss - expected / (double)targets) <= 1e-5 * loss)) {
                fail_msg("%s, step %lld: loss %.9g, reference %.9g", method_variant_at(v).name,
                         (long long)step, loss, expected / (double)targets);
            }
            free(tokens);
        }
        fixture_close(&fixture);
    }
}

/* Copies all state from one learner to another by the list that checkpoints use. */
static void copy_state(struct learner_fixture *to, const struct learner_fixture *from)
{
    struct error err = {0};
    json_t *scalars = learner_state(from->learner);

    assert_ok(learner_set_state(to->learner, scalars, &err), &err);
    json_decref(scalars);
    assert_int_equal(learner_tensor_count(to->learner), learner_tensor_count(from->learner));
    for (int64_t i = 0; i < learner_tensor_count(to->learner); i++) {
        const struct learner_tensor source = learner_tensor(from->learner, i);
        const struct learner_tensor target = learner_tensor(to->learner, i);
        assert_string_equal(source.name, target.name);
        assert_int_equal(source.elements, target.elements);
        memcpy(target.data, source.data, (size_t)source.elements * sizeof(float));
    }
    learner_write_weights(to->learner);
}

static void assert_state_equal(const struct learner_fixture *a, const struct learner_fixture *b)
{
    for (int64_t i = 0; i < learner_tensor_count(a->learner); i++) {
        const struct learner_tensor first = learner_tensor(a->learner, i);
        const struct learner_tensor second = learner_tensor(b->learner, i);
        if (memcmp(first.data, second.data, (size_t)first.elements * sizeof(float)) != 0) {
            fail_msg("%s differs", first.name);
        }
    }
    json_t *first = learner_state(a->learner);
    json_t *second = learner_state(b->learner);
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
}

/* Trains for 12 steps, over two merges and the end of full-rank steps; a second learner takes over
 * after step `cut`, with other threads and another initial state. */
static void resume_after(int64_t cut, int variant, enum dtype dtype)
{
    struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
    options.method = method_variant_at(variant).spec;
    options.dtype = dtype;
    options.rounding = COMPUTE_ROUNDING_STOCHASTIC;
    struct learner_fixture straight = fixture_open(&options, 2);
    struct learner_fixture resumed = fixture_open(&options, 1);
    uint32_t *tokens =
        fixture_tokens(options.micro * (options.sequence_length + 1), options.config.vocab_size, 2);

    for (enum param_role role = PARAM_ROLE_EMBEDDING; role <= PARAM_ROLE_SKETCH; role++) {
        fixture_randomise(&resumed, role, 1.0, 99);
    }
    for (int64_t step = 1; step <= 12; step++) {
        (void)fixture_step(&straight, tokens, 0.01, step, 12);
        if (step == cut) {
            copy_state(&resumed, &straight);
        } else if (step > cut) {
            (void)fixture_step(&resumed, tokens, 0.01, step, 12);
        }
    }
    print_message("%s, %s, resumed after step %lld\n", method_variant_at(variant).name,
                  dtype_name(dtype), (long long)cut);
    assert_state_equal(&resumed, &straight);
    free(tokens);
    fixture_close(&straight);
    fixture_close(&resumed);
}

static void loaded_state_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    for (int v = 0; v < 2 * METHOD_VARIANT_COUNT; v++) {
        const enum dtype dtype = v % 2 == 0 ? DTYPE_FP32 : DTYPE_BF16;
        resume_after(2, v / 2, dtype); /* within full-rank steps, and before a merge */
        resume_after(4, v / 2, dtype); /* right at a merge */
        resume_after(6, v / 2, dtype); /* between two merges */
    }
}

/* What the gradients of four lanes come to when each is accumulated alone. */
static void lanes_add_by_pairs_from_zero(void **state)
{
    (void)state;
    struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
    struct learner_fixture alone = fixture_open(&options, 2);
    options.lanes = 4;
    struct learner_fixture lanes = fixture_open(&options, 2);
    const int64_t row_count = options.micro * (options.sequence_length + 1);
    int64_t count = 0;
    const float *grads = learner_grads(alone.learner, &count);
    float *of_lane[4];

    for (uint64_t lane = 0; lane < 4; lane++) {
        uint32_t *tokens = fixture_tokens(row_count, options.config.vocab_size, lane);
        (void)learner_forward_backward(lanes.learner, tokens, options.micro, 1.0);
        if (lane < 3) {
            learner_end_lane(lanes.learner, (int64_t)lane);
        }
        learner_zero_grads(alone.learner);
        (void)learner_forward_backward(alone.learner, tokens, options.micro, 1.0);
        of_lane[lane] = malloc((size_t)count * sizeof(float));
        memcpy(of_lane[lane], grads, (size_t)count * sizeof(float));
        free(tokens);
    }
    /* The last lane joins range by range. */
    learner_join_lane(lanes.learner, 3, 0, 100);
    learner_join_lane(lanes.learner, 3, 100, count - 100);
    grads = learner_grads(lanes.learner, &count);
    bool depends_on_order = false;
    for (int64_t i = 0; i < count; i++) {
        const float first = of_lane[0][i] + of_lane[1][i];
        const float expected = first + (of_lane[2][i] + of_lane[3][i]);
        assert_memory_equal(&grads[i], &expected, sizeof expected);
        depends_on_order |= expected != first + of_lane[2][i] + of_lane[3][i];
    }
    assert_true(depends_on_order);
    assert_int_equal(learner_memory(lanes.learner)->bytes[MEMORY_KIND_GRADIENTS],
                     3 * learner_memory(alone.learner)->bytes[MEMORY_KIND_GRADIENTS]);
    for (int lane = 0; lane < 4; lane++) {
        free(of_lane[lane]);
    }
    fixture_close(&alone);
    fixture_close(&lanes);
}

#define SHARDS 3

/* What dist_gather does between ranks. */
static void exchange_by_hand(struct learner_fixture *shards, float *const *buffers)
{
    for (int from = 0; from < SHARDS; from++) {
        for (enum param_shard_part part = 0; part < PARAM_SHARD_PARTS; part++) {
            int64_t first = 0;
            int64_t count = 0;
            param_shard_range(learner_params(shards[from].learner), from, part, &first, &count);
            for (int to = 0; to < SHARDS; to++) {
                if (to != from) {
                    memcpy(buffers[to] + first, buffers[from] + first,
                           (size_t)count * sizeof(float));
                }
            }
        }
    }
}

#define SHARD_STEPS 12

/* Gradients and update; returns the norm. */
static double update(struct learner_fixture *fixture, const uint32_t *tokens)
{
    struct error err = {0};
    double norm = 0.0;

    learner_zero_grads(fixture->learner);
    (void)learner_forward_backward(fixture->learner, tokens,
                                   learner_options(fixture->learner)->micro, 1e-2);
    assert_ok(learner_update(fixture->learner, 0.01, 1.0, &norm, &err), &err);
    return norm;
}

/* Merges where it is due; returns how many moments were not zero before it, and after. */
static void finish_step(struct learner_fixture *fixture, const uint32_t *tokens, int64_t step,
                        int64_t moments[2])
{
    struct merge_report report = {0};
    struct error err = {0};

    if (learner_merge_due(fixture->learner, step, SHARD_STEPS)) {
        assert_ok(learner_merge(fixture->learner, tokens,
                                learner_options(fixture->learner)->sequence_length, &report, &err),
                  &err);
    } else {
        learner_write_weights(fixture->learner);
    }
    moments[0] += report.moments_nonzero_before;
    moments[1] += report.moments_nonzero_after;
}

static void step_with_shards(struct learner_fixture *whole, struct learner_fixture *shards,
                             const uint32_t *tokens, int64_t step)
{
    const double norm = update(whole, tokens);
    int64_t moments[2] = {0, 0};
    int64_t shared_moments[2] = {0, 0};
    float *of_rank[SHARDS];
    int64_t count = 0;

    finish_step(whole, tokens, step, moments);
    for (int rank = 0; rank < SHARDS; rank++) {
        assert_true(update(&shards[rank], tokens) == norm);
        learner_stage_update(shards[rank].learner);
        of_rank[rank] = learner_grads(shards[rank].learner, &count);
    }
    exchange_by_hand(shards, of_rank);
    for (int rank = 0; rank < SHARDS; rank++) {
        learner_take_update(shards[rank].learner);
        finish_step(&shards[rank], tokens, step, shared_moments);
    }
    assert_memory_equal(shared_moments, moments, sizeof moments);
}

/* Values of every rank, and moments put together, are those of the learner that has all. */
static void assert_shards_equal(const struct learner_fixture *whole,
                                const struct learner_fixture *shards)
{
    assert_int_equal(learner_tensor_count(shards[0].learner), learner_tensor_count(whole->learner));
    for (int64_t i = 0; i < learner_tensor_count(whole->learner); i++) {
        const struct learner_tensor expected = learner_tensor(whole->learner, i);
        int64_t covered = 0;
        for (int rank = 0; rank < SHARDS; rank++) {
            const struct learner_tensor part = learner_tensor(shards[rank].learner, i);
            int64_t first = 0;
            int64_t count = 0;
            learner_tensor_slice(whole->learner, i, 0, &first, &count);
            assert_int_equal(count, expected.elements);
            learner_tensor_slice(shards[0].learner, i, rank, &first, &count);
            assert_true(first == part.first && count == part.count);
            if (part.count > 0 && memcmp(part.data, expected.data + part.first,
                                         (size_t)part.count * sizeof(float)) != 0) {
                fail_msg("%s of rank %d differs", expected.name, rank);
            }
            covered += part.count;
        }
        const bool is_value = i < learner_params(whole->learner)->count;
        assert_int_equal(covered, (is_value ? SHARDS : 1) * expected.elements);
    }
}

/* Ranks with a shard each, their exchange done by hand: the parameters of every one after each step
 * are those of a learner that has all moments, and so are the moments put together; across the end
 * of full-rank steps, and merges. */
static void shards_of_the_moments_change_no_bit(void **state)
{
    (void)state;
    for (int v = 0; v < METHOD_VARIANT_COUNT; v++) {
        struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
        options.method = method_variant_at(v).spec;
        options.dtype = v % 2 == 0 ? DTYPE_BF16 : DTYPE_FP32;
        struct learner_fixture whole = fixture_open(&options, 2);
        struct learner_fixture shards[SHARDS];
        uint32_t *tokens = fixture_tokens(options.micro * (options.sequence_length + 1),
                                          options.config.vocab_size, 2);
        size_t planned = 0;

        print_message("%s\n", method_variant_at(v).name);
        options.shard_world = SHARDS;
        for (int rank = 0; rank < SHARDS; rank++) {
            options.shard_rank = rank;
            shards[rank] = fixture_open(&options, 1);
            planned += learner_memory(shards[rank].learner)->bytes[MEMORY_KIND_OPTIMIZER];
        }
        /* No more than alignment is lost. */
        const size_t bytes = learner_memory(whole.learner)->bytes[MEMORY_KIND_OPTIMIZER];
        assert_true(planned < bytes + (size_t)learner_params(whole.learner)->count * SHARDS * 128);
        for (int64_t step = 1; step < SHARD_STEPS; step++) {
            step_with_shards(&whole, shards, tokens, step);
            assert_shards_equal(&whole, shards);
        }
        for (int rank = 0; rank < SHARDS; rank++) {
            fixture_close(&shards[rank]);
        }
        free(tokens);
        fixture_close(&whole);
    }
}

static void a_learner_for_exports_has_the_same_state_and_no_model(void **state)
{
    (void)state;
    struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture trained = fixture_open(&options, 1);
    options.purpose = LEARNER_PURPOSE_STATE;
    struct learner_fixture exported = fixture_open(&options, 1);
    struct error err = {0};
    json_t *scalars = learner_state(trained.learner);

    assert_int_equal(learner_tensor_count(exported.learner), learner_tensor_count(trained.learner));
    assert_null(learner_model(exported.learner));
    assert_int_equal(learner_memory(exported.learner)->bytes[MEMORY_KIND_ACTIVATIONS], 0);
    assert_int_equal(learner_memory(exported.learner)->bytes[MEMORY_KIND_GRADIENTS], 0);
    assert_ok(learner_set_state(exported.learner, scalars, &err), &err);
    assert_state_equal(&exported, &trained);
    json_decref(scalars);
    fixture_close(&trained);
    fixture_close(&exported);
}

static void scalar_state_with_a_missing_part_is_refused(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 1);
    struct error err = {0};
    json_t *scalars = learner_state(fixture.learner);

    (void)json_object_del(json_object_get(scalars, "adam_steps"), "adapter");
    assert_int_equal(learner_set_state(fixture.learner, scalars, &err), STATUS_CORRUPT);
    assert_contains(err.message, "adam_steps.adapter");
    json_decref(scalars);
    scalars = learner_state(fixture.learner);
    (void)json_object_del(scalars, "method");
    assert_int_equal(learner_set_state(fixture.learner, scalars, &err), STATUS_CORRUPT);
    json_decref(scalars);
    fixture_close(&fixture);
}

static void a_spec_becomes_options_and_a_schedule(void **state)
{
    (void)state;
    const struct train_spec spec = {
        .model = {.hidden_size = 128,
                  .intermediate_size = 352,
                  .num_hidden_layers = 4,
                  .num_attention_heads = 4,
                  .rms_norm_eps = 1e-6,
                  .rope_theta = 10000.0,
                  .initializer_range = 0.02},
        .data = {.sequence_length = 256},
        .method = {.name = METHOD_NAME_REMORA, .r = 20, .merge_every = 120},
        .optimizer = {.lr = 1e-3, .betas = {0.9, 0.999}, .eps = 1e-8, .weight_decay = 0.1},
        .schedule = {.name = SCHEDULE_NAME_JAGGED_COSINE,
                     .warmup = 60,
                     .restart_warmup = 6,
                     .restart_every = 120,
                     .min_lr_ratio = 0.1},
        .batch = {.global = 32, .micro = 8},
        .seed = 5,
    };
    struct learner_options options;
    struct schedule schedule;
    struct error err = {0};

    assert_ok(learner_options_from_spec(&options, &spec, 4096, false, &err), &err);
    assert_int_equal(options.config.head_dim, 32);
    assert_int_equal(options.config.num_key_value_heads, 4);
    assert_int_equal(options.config.vocab_size, 4096);
    assert_int_equal(options.method.merge_every, 120);
    assert_true(options.optimizer.beta2 == 0.999 && options.optimizer.weight_decay == 0.1);
    assert_int_equal(options.micro, 8);
    assert_int_equal(options.sequence_length, 256);

    assert_ok(schedule_from_spec(&schedule, &spec, 600, &err), &err);
    assert_true(schedule_lr(&schedule, 60) == 1e-3);
    assert_true(schedule_lr(&schedule, 120) == 0.0);
    assert_int_equal(schedule_from_spec(&schedule, &spec, 601, &err), STATUS_INVALID);
    assert_int_equal(learner_options_from_spec(&options, &spec, VOCAB_SIZE_MAX + 1, false, &err),
                     STATUS_INVALID);
}

static enum status create_and_train(void *context, struct error *err)
{
    (void)context;
    struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct backend *backend = NULL;
    struct learner *learner = NULL;
    struct merge_report report;
    double norm = 0.0;
    const uint32_t tokens[12] = {1, 2, 3};

    enum status status = backend_cpu_create(&backend, 1, err);
    if (!status) {
        status = learner_create(&learner, &options, backend, err);
    }
    if (!status) {
        (void)learner_forward_backward(learner, tokens, 1, 1.0);
        status = learner_update(learner, 0.01, 1.0, &norm, err);
    }
    if (!status) {
        status = learner_merge(learner, tokens, 11, &report, err);
    }
    learner_destroy(learner);
    backend_destroy(backend);
    return status;
}

static void a_call_that_fails_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    test_fail_each_call(create_and_train, NULL, NULL);
}

static int count_allocation(void *context, const struct sys_event *event)
{
    int *count = context;
    *count += event->call == SYS_CALL_ALLOC || event->call == SYS_CALL_MMAP;
    return 0;
}

/* Merges apart, which take memory for their probe. */
static void steps_allocate_nothing(void **state)
{
    (void)state;
    static const enum method_name methods[] = {METHOD_NAME_FULL, METHOD_NAME_MORA,
                                               METHOD_NAME_REMORA, METHOD_NAME_FROZEN};
    for (size_t i = 0; i < 8; i++) {
        struct learner_options options = fixture_llama_9m(methods[i / 2], 8);
        options.dtype = i % 2 == 0 ? DTYPE_FP32 : DTYPE_BF16;
        options.recompute = COMPUTE_RECOMPUTE_LAYER;
        struct learner_fixture fixture = fixture_open(&options, 2);
        uint32_t *tokens = fixture_tokens(options.micro * (options.sequence_length + 1),
                                          options.config.vocab_size, 4);
        int allocations = 0;

        sys_set_hook(count_allocation, &allocations);
        for (int64_t step = 1; step <= 2; step++) {
            (void)fixture_step(&fixture, tokens, 1e-3, step, 0);
        }
        (void)learner_loss(fixture.learner, tokens, options.micro);
        sys_set_hook(NULL, NULL);
        assert_int_equal(allocations, 0);
        free(tokens);
        fixture_close(&fixture);
    }
}

/* Frozen numbers of 8 significant bits would swallow small updates: they are rounded by chance, and
 * a state that says so keeps to it. */
static void rounding_goes_by_the_base(void **state)
{
    (void)state;
    struct learner_options options = fixture_tiny(METHOD_NAME_MORA);
    struct error err = {0};

    options.dtype = DTYPE_BF16;
    struct learner_fixture fixture = fixture_open(&options, 1);
    json_t *fresh = learner_state(fixture.learner);
    assert_string_equal(json_string_value(json_object_get(fresh, "rounding")), "nearest");
    for (int64_t i = 0; i < learner_params(fixture.learner)->model_count; i++) {
        const struct param *param = &learner_params(fixture.learner)->params[i];
        for (int64_t e = 0; e < param->elements; e++) {
            param->value[e] = bf16_widen(bf16_round(param->value[e]));
        }
    }
    learner_choose_rounding(fixture.learner);
    json_t *exact = learner_state(fixture.learner);
    assert_string_equal(json_string_value(json_object_get(exact, "rounding")), "stochastic");
    assert_ok(learner_set_state(fixture.learner, fresh, &err), &err);
    json_t *loaded = learner_state(fixture.learner);
    assert_string_equal(json_string_value(json_object_get(loaded, "rounding")), "nearest");
    json_decref(fresh);
    json_decref(exact);
    json_decref(loaded);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_allocate_nothing),
        cmocka_unit_test(rounding_goes_by_the_base),
        cmocka_unit_test(two_layers_overfit_64_sequences),
        cmocka_unit_test(side_path_and_effective_weights_agree),
        cmocka_unit_test(loaded_state_goes_on_with_the_same_bits),
        cmocka_unit_test(lanes_add_by_pairs_from_zero),
        cmocka_unit_test(shards_of_the_moments_change_no_bit),
        cmocka_unit_test(a_learner_for_exports_has_the_same_state_and_no_model),
        cmocka_unit_test(scalar_state_with_a_missing_part_is_refused),
        cmocka_unit_test(a_spec_becomes_options_and_a_schedule),
        cmocka_unit_test(a_call_that_fails_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
