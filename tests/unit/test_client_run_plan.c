#include "client/run_plan.h"
#include "proto/base/json.h"
#include "proto/spec/spec.h"
#include "tests/support/test.h"

static struct run_plan plan_of(const char *model, enum method_name method, int64_t steps)
{
    struct run_plan plan = {
        .name = "abstracts",
        .model = model_preset_find(model),
        .method = method,
        .steps = run_steps(steps, method),
        .sequence_length = 256,
        .validation_sequences = 64,
        .folder = "remora-prepared/1f2e3d4c5b6a",
    };
    assert_non_null(plan.model);
    run_launch(&plan, 2);
    return plan;
}

static void every_model_and_method_and_length_gives_a_valid_spec(void **state)
{
    static const int64_t steps[] = {1, 4, 5, 6, 99, 500, 1000003};
    struct error err;
    (void)state;
    for (size_t m = 0; m < model_preset_count; m++) {
        for (int method = METHOD_NAME_FULL; method < METHOD_NAME_FROZEN; method++) {
            for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
                struct run_plan plan =
                    plan_of(model_presets[m].name, (enum method_name)method, steps[i]);
                json_t *spec = NULL;
                assert_ok(run_spec(&spec, &plan, &err), &err);
                assert_ok(spec_resolve_paths(spec, "/data", &err), &err);
                assert_ok(spec_validate(spec, &err), &err);
                assert_int_equal(spec_slots(spec), 2);
                json_decref(spec);
            }
        }
    }
}

static void five_hundred_steps_of_remora_merge_every_hundred(void **state)
{
    struct run_plan plan = plan_of("llama-20m", METHOD_NAME_REMORA, 500);
    struct train_spec view;
    struct error err;
    json_t *spec = NULL;
    (void)state;
    assert_ok(run_spec(&spec, &plan, &err), &err);
    assert_ok(spec_resolve_paths(spec, "/data", &err), &err);
    assert_ok(spec_validate(spec, &err), &err);
    assert_ok(train_spec_read(&view, spec, &err), &err);
    assert_int_equal(view.steps, 500);
    assert_int_equal(view.method.merge_every, 100);
    assert_int_equal(view.method.r, 42);
    assert_int_equal(view.schedule.warmup, 50);
    assert_int_equal(view.schedule.restart_warmup, 10);
    assert_true(view.optimizer.lr == 1.5e-3);
    assert_string_equal(view.model.tokenizer, "/data/remora-prepared/1f2e3d4c5b6a/tokenizer.model");
    assert_string_equal(view.data.validation.shards,
                        "/data/remora-prepared/1f2e3d4c5b6a/validation");
    json_decref(spec);
}

static void steps_are_rounded_up_to_whole_cycles(void **state)
{
    (void)state;
    assert_int_equal(run_steps(500, METHOD_NAME_REMORA), 500);
    assert_int_equal(run_steps(501, METHOD_NAME_REMORA), 505);
    assert_int_equal(run_steps(1, METHOD_NAME_REMORA), 5);
    assert_int_equal(run_steps(501, METHOD_NAME_MORA), 501);
}

static void the_learning_rate_falls_with_the_width(void **state)
{
    static const struct {
        const char *model;
        double lr;
    } cases[] = {
        {"llama-9m", 3e-3}, {"llama-35m", 1e-3}, {"llama-130m", 5e-4}, {"llama-1.3b", 1.9e-4}};
    struct error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct run_plan plan = plan_of(cases[i].model, METHOD_NAME_FULL, 100);
        json_t *spec = NULL;
        assert_ok(run_spec(&spec, &plan, &err), &err);
        assert_true(json_get_real(json_object_get(spec, "optimizer"), "lr", 0) == cases[i].lr);
        json_decref(spec);
    }
}

static void names_come_from_the_data(void **state)
{
    static const struct {
        const char *path;
        const char *name;
    } cases[] = {
        {"/data/abstracts", "abstracts-llama-9m-mora"},
        {"/data/abstracts/", "abstracts-llama-9m-mora"},
        {"notes.jsonl.gz", "notes-llama-9m-mora"},
        {"/a/2024 März.txt", "run-2024-M--rz-llama-9m-mora"},
        {"/", "run--llama-9m-mora"},
        {"/a/.hidden", "run--hidden-llama-9m-mora"},
    };
    char name[JOB_NAME_BYTES_MAX + 1];
    char path[300];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run_name(name, cases[i].path, "llama-9m", "mora");
        assert_string_equal(name, cases[i].name);
    }
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    run_name(name, path, "llama-9m", "mora");
    assert_int_equal(strlen(name), JOB_NAME_BYTES_MAX);
    assert_contains(name, "x-llama-9m-mora");
}

static void more_text_gets_more_pieces_and_a_smaller_share_for_validation(void **state)
{
    (void)state;
    assert_int_equal(run_vocab_size(run_text_bytes("a.txt", 100000)), 1024);
    assert_int_equal(run_vocab_size(run_text_bytes("a.jsonl.zst", 5000000)), 4096);
    assert_int_equal(run_vocab_size(run_text_bytes("pubmed24n0001.xml.gz", 20000000)), 8192);
    assert_int_equal(run_vocab_size(INT64_C(1) << 40), 32000);
    assert_true(run_validation_fraction(0) == 0.1);
    assert_true(run_validation_fraction(4000000) == 0.04);
    assert_true(run_validation_fraction(1000000000) == 0.02);
}

static void slots_become_two_ranks_and_their_threads(void **state)
{
    static const struct {
        int64_t slots, ranks, threads;
    } cases[] = {{1, 1, 1}, {2, 2, 1}, {3, 2, 1}, {8, 2, 4}, {128, 2, 8}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct run_plan plan = {0};
        run_launch(&plan, cases[i].slots);
        assert_int_equal(plan.ranks, cases[i].ranks);
        assert_int_equal(plan.threads_per_rank, cases[i].threads);
        assert_true(plan.ranks * plan.threads_per_rank <= cases[i].slots);
    }
}

static void little_text_gets_short_sequences(void **state)
{
    const struct model_preset *small = model_preset_find("llama-9m");
    const struct model_preset *wide = model_preset_find("llama-250m");
    (void)state;
    assert_int_equal(run_sequence_length(small, 10000000, 200000), 256);
    assert_int_equal(run_sequence_length(wide, 10000000, 200000), 512);
    assert_int_equal(run_sequence_length(small, 10000000, 130), 128);
    assert_int_equal(run_sequence_length(small, 5000, 1000), 64);
    assert_int_equal(run_sequence_length(small, 1, 1), 32);
}

static void what_is_written_reads_back_the_same(void **state)
{
    struct run_plan plan = plan_of("llama-20m", METHOD_NAME_REMORA, 500);
    struct bytes yaml = {0};
    struct error err;
    json_t *spec = NULL;
    json_t *again = NULL;
    (void)state;
    assert_ok(run_spec(&spec, &plan, &err), &err);
    assert_ok(spec_write_yaml(&yaml, spec, &err), &err);
    assert_ok(spec_parse(&again, yaml.data, yaml.size, SPEC_FORMAT_YAML, "a.yaml", &err), &err);
    assert_true(json_equal(spec, again));
    json_decref(spec);
    json_decref(again);
    bytes_deinit(&yaml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_and_method_and_length_gives_a_valid_spec),
        cmocka_unit_test(five_hundred_steps_of_remora_merge_every_hundred),
        cmocka_unit_test(steps_are_rounded_up_to_whole_cycles),
        cmocka_unit_test(the_learning_rate_falls_with_the_width),
        cmocka_unit_test(names_come_from_the_data),
        cmocka_unit_test(more_text_gets_more_pieces_and_a_smaller_share_for_validation),
        cmocka_unit_test(slots_become_two_ranks_and_their_threads),
        cmocka_unit_test(little_text_gets_short_sequences),
        cmocka_unit_test(what_is_written_reads_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
