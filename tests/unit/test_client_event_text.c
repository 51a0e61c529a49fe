#include "client/event_text.h"
#include "client/spec_summary.h"
#include "tests/support/test.h"

static void events_read_as_sentences(void **state)
{
    static const struct {
        const char *event;
        const char *text;
    } cases[] = {
        {"{\"type\":\"job_submitted\",\"attempt\":0,\"data\":{\"name\":\"x\"}}", "job submitted"},
        {"{\"type\":\"attempt_starting\",\"attempt\":1,\"data\":{\"cpus\":[0,1]}}",
         "attempt 1 starting on cores 0, 1"},
        {"{\"type\":\"run_started\",\"attempt\":2,\"data\":{\"world\":2,\"resumed_from\":40}}",
         "attempt 2 training on 2 rank(s), resumed from step 40"},
        {"{\"type\":\"attempt_ended\",\"attempt\":1,\"data\":{\"state\":\"failed\",\"signal\":9,"
         "\"reason\":{\"evidence\":\"rank 1 was killed\",\"hint\":\"\"}}}",
         "attempt 1 failed by signal 9: rank 1 was killed"},
        {"{\"type\":\"job_failed\",\"attempt\":0,\"data\":{\"reason\":{\"evidence\":\"no "
         "shards\",\"hint\":\"prepare them\"}}}",
         "job failed: no shards (prepare them)"},
        {"{\"type\":\"evaluated\",\"attempt\":1,\"data\":{\"step\":100,\"loss\":4.41,"
         "\"perplexity\":82.27}}",
         "attempt 1 step 100: validation loss 4.410, perplexity 82.27"},
        {"{\"type\":\"checkpoint_committed\",\"attempt\":1,\"data\":{\"step\":100,"
         "\"stored_bytes\":2097152}}",
         "attempt 1 step 100: checkpoint of 2.0 MiB"},
        {"{\"type\":\"step_skipped\",\"attempt\":1,\"data\":{\"step\":7,\"cause\":\"loss\","
         "\"skipped_in_row\":2}}",
         "attempt 1 step 7: skipped, the loss is not finite (2 in a row)"},
        {"{\"type\":\"loss_spike\",\"attempt\":1,\"data\":{\"step\":7,\"loss\":9.5,"
         "\"mean\":4.25}}",
         "attempt 1 step 7: loss spike, 9.500 after a mean of 4.250"},
        /* of a newer daemon, and hostile */
        {"{\"type\":\"job_teleported\",\"attempt\":0,\"data\":{\"to\":\"mars\"}}",
         "job_teleported {\"to\":\"mars\"}"},
        {"{\"type\":\"job_failed\",\"data\":{\"reason\":{\"evidence\":\"a\\u001b[2Jb\"}}}",
         "job failed: a?[2Jb"},
        {"{\"type\":\"job_failed\",\"data\":7}", "job failed"},
        {"{}", "attempt 0  "},
    };
    struct bytes out = {0};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *event = json_loads(cases[i].event, 0, NULL);
        assert_non_null(event);
        bytes_clear(&out);
        event_text_append(&out, event);
        assert_string_equal(out.data, cases[i].text);
        json_decref(event);
    }
    bytes_deinit(&out);
}

static void only_evaluations_and_checkpoints_are_routine(void **state)
{
    json_t *event = json_pack("{s:s}", "type", "evaluated");
    (void)state;
    assert_true(event_text_is_routine(event));
    (void)json_object_set_new(event, "type", json_string("attempt_ended"));
    assert_false(event_text_is_routine(event));
    (void)json_object_set_new(event, "type", json_string("job_teleported"));
    assert_false(event_text_is_routine(event));
    json_decref(event);
}

/* Against the published sizes of ReLoRA's configurations with 32100 pieces. */
static void parameters_are_those_of_the_published_models(void **state)
{
    static const struct {
        int64_t hidden, inter, layers;
        double total, trainable_mora_128, lora_128; /* in millions */
    } cases[] = {{768, 2560, 24, 247.52, 98.9, 49.55}, {2048, 5461, 24, 1339.49, 251.1, 119.53}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct train_spec spec = {.method = method_spec_default(METHOD_NAME_FULL)};
        int64_t total = 0;
        int64_t trainable = 0;
        spec.model.hidden_size = cases[i].hidden;
        spec.model.intermediate_size = cases[i].inter;
        spec.model.num_hidden_layers = cases[i].layers;
        spec.method.name = METHOD_NAME_FULL;
        spec_count_parameters(&spec, 32100, &total, &trainable);
        assert_int_equal(total, trainable);
        assert_int_equal(total / 10000, (int64_t)(cases[i].total * 100 + 0.5));
        spec.method.name = METHOD_NAME_MORA;
        spec.method.r = 128;
        spec_count_parameters(&spec, 32100, &total, &trainable);
        assert_int_equal((trainable + 50000) / 100000,
                         (int64_t)(cases[i].trainable_mora_128 * 10 + 0.5));
        spec.method.name = METHOD_NAME_LORA;
        spec.method.train.embeddings = spec.method.train.norms = spec.method.train.head = false;
        spec_count_parameters(&spec, 32100, &total, &trainable);
        assert_int_equal((trainable + 5000) / 10000, (int64_t)(cases[i].lora_128 * 100 + 0.5));
        spec.method.targets = 1;
        spec_count_parameters(&spec, 32100, &total, &trainable);
        assert_int_equal(trainable, cases[i].layers * 128 * 2 * cases[i].hidden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_read_as_sentences),
        cmocka_unit_test(only_evaluations_and_checkpoints_are_routine),
        cmocka_unit_test(parameters_are_those_of_the_published_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
