#include "proto/base/json.h"
#include "proto/spec/prepare_spec.h"
#include "proto/spec/presets.h"
#include "proto/spec/spec.h"
#include "proto/spec/train_spec.h"
#include "tests/support/spec_example.h"
#include "tests/support/test.h"

/* A valid spec with overrides (NULL-terminated). */
static json_t *valid(const char *yaml, const char *const *overrides)
{
    struct error err = {0};
    json_t *spec = NULL;
    assert_ok(spec_parse(&spec, yaml, strlen(yaml), SPEC_FORMAT_YAML, "a.yaml", &err), &err);
    for (; overrides && *overrides; overrides++) {
        assert_ok(spec_override(spec, *overrides, &err), &err);
    }
    assert_ok(spec_validate(spec, &err), &err);
    return spec;
}

static void every_field_of_the_example_is_read(void **state)
{
    (void)state;
    struct error err = {0};
    struct train_spec t;
    json_t *spec = valid(SPEC_EXAMPLE_YAML, NULL);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_string_equal(t.name, "pubmed-demo");
    assert_string_equal(t.model.preset, "llama-9m");
    assert_string_equal(t.model.tokenizer, "out/tokenizer.model");
    assert_int_equal(t.model.tokenizer_vocab_size, 0);
    assert_int_equal(t.model.hidden_size, 128);
    assert_int_equal(t.model.intermediate_size, 352);
    assert_int_equal(t.model.num_hidden_layers, 4);
    assert_int_equal(t.model.num_attention_heads, 4);
    assert_true(t.model.rms_norm_eps == 1e-6 && t.model.rope_theta == 10000.0);
    assert_true(t.model.initializer_range == 0.02);
    assert_int_equal(t.data.train_count, 1);
    assert_string_equal(t.data.train[0].shards, "out/train");
    assert_true(t.data.train[0].weight == 1.0);
    assert_int_equal(t.data.train[0].files.pattern_count, 0);
    assert_string_equal(t.data.validation.shards, "out/validation");
    assert_int_equal(t.data.validation.sequences, 64);
    assert_int_equal(t.data.sequence_length, 256);
    assert_int_equal(t.method.name, METHOD_NAME_REMORA);
    assert_int_equal(t.method.r, 20);
    assert_int_equal(t.method.merge_every, 120);
    assert_true(t.optimizer.lr == 1e-3 && t.optimizer.eps == 1e-8);
    assert_true(t.optimizer.betas[0] == 0.9 && t.optimizer.betas[1] == 0.999);
    assert_true(t.optimizer.weight_decay == 0.0 && t.optimizer.clip_norm == 1.0);
    assert_int_equal(t.schedule.name, SCHEDULE_NAME_JAGGED_COSINE);
    assert_int_equal(t.schedule.warmup, 60);
    assert_int_equal(t.schedule.restart_warmup, 6);
    assert_true(t.schedule.min_lr_ratio == 0.1);
    assert_int_equal(t.batch.global, 32);
    assert_int_equal(t.batch.micro, 8);
    assert_int_equal(t.steps, 600);
    assert_int_equal(t.tokens, 0);
    assert_true(t.epochs == 0.0);
    assert_int_equal(t.seed, 0);
    assert_int_equal(t.compute.backend, COMPUTE_BACKEND_AUTO);
    assert_int_equal(t.compute.dtype, COMPUTE_DTYPE_AUTO);
    assert_int_equal(t.launch.ranks, 2);
    assert_int_equal(t.launch.threads_per_rank, 1);
    assert_int_equal(t.checkpoint.every, 100);
    assert_int_equal(t.checkpoint.keep_last, 2);
    assert_int_equal(t.evaluate.every, 100);
    assert_int_equal(t.retry.max_attempts, 3);
    json_decref(spec);
    static const char *const watched[] = {"guard={max_skipped: 5, spike_window: 7, spike_z: 2.5}",
                                          "stop={patience: 4, min_delta: 0.25, max_time: 90}",
                                          NULL};
    spec = valid(SPEC_EXAMPLE_YAML, watched);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_int_equal(t.guard.max_skipped, 5);
    assert_int_equal(t.guard.spike_window, 7);
    assert_true(t.guard.spike_z == 2.5);
    assert_int_equal(t.stop.patience, 4);
    assert_true(t.stop.min_delta == 0.25 && t.stop.max_time_s == 90.0);
    json_decref(spec);
}

static void defaults_are_what_the_schema_says(void **state)
{
    (void)state;
    struct error err = {0};
    struct train_spec t;
    json_t *spec = valid(SPEC_SMALLEST_YAML, NULL);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_int_equal(t.method.name, METHOD_NAME_FULL);
    assert_int_equal(t.method.r, 0);
    assert_int_equal(t.schedule.name, SCHEDULE_NAME_CONSTANT);
    assert_int_equal(t.schedule.warmup, 0);
    assert_true(t.schedule.min_lr_ratio == 1.0);
    assert_true(t.optimizer.betas[1] == 0.999 && t.optimizer.clip_norm == 1.0);
    assert_true(t.epochs == 2.0);
    assert_int_equal(t.launch.ranks, 1);
    assert_int_equal(t.checkpoint.keep_last, 2);
    assert_int_equal(t.compute.deterministic, COMPUTE_DETERMINISTIC_RUN);
    assert_int_equal(t.launch.zero, 0);
    assert_int_equal(t.launch.overlap, LAUNCH_OVERLAP_AUTO);
    assert_false(t.evaluate.spectrum);
    assert_null(t.model.from);
    assert_int_equal(t.guard.max_skipped, 3);
    assert_int_equal(t.guard.spike_window, 100);
    assert_true(t.guard.spike_z == 6.0);
    assert_int_equal(t.stop.patience, 0);
    assert_true(t.stop.max_time_s == 0.0);
    json_decref(spec);
}

static void files_and_a_config_are_read(void **state)
{
    (void)state;
    static const char *const overrides[] = {
        "model={config: {hidden_size: 12, intermediate_size: 20, num_hidden_layers: 3, "
        "num_attention_heads: 2, rope_theta: 500000}, tokenizer: {train: 400}}",
        "data.train=[{files: [/a, '/b*'], format: jsonl, text_field: body, weight: 3}, {files: /c}]",
        "data.validation={fraction: 0.25}",
        "seed=9007199254740991",
        "epochs=null",
        "steps=2",
        NULL};
    struct error err = {0};
    struct train_spec t;
    json_t *spec = valid(SPEC_SMALLEST_YAML, overrides);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_null(t.model.preset);
    assert_null(t.model.tokenizer);
    assert_int_equal(t.model.tokenizer_vocab_size, 400);
    assert_int_equal(t.model.hidden_size, 12);
    assert_int_equal(t.model.intermediate_size, 20);
    assert_int_equal(t.model.num_hidden_layers, 3);
    assert_int_equal(t.model.num_attention_heads, 2);
    assert_true(t.model.rope_theta == 500000.0);
    assert_int_equal(t.data.train_count, 2);
    assert_null(t.data.train[0].shards);
    assert_int_equal(t.data.train[0].files.pattern_count, 2);
    assert_string_equal(t.data.train[0].files.patterns[1], "/b*");
    assert_int_equal(t.data.train[0].files.format, TEXT_FORMAT_JSONL);
    assert_string_equal(t.data.train[0].files.text_field, "body");
    assert_true(t.data.train[0].weight == 3.0);
    assert_string_equal(t.data.train[1].files.patterns[0], "/c");
    assert_int_equal(t.data.train[1].files.format, TEXT_FORMAT_AUTO);
    assert_null(t.data.validation.shards);
    assert_true(t.data.validation.fraction == 0.25);
    assert_true(t.seed == JSON_INTEGER_MAX);
    json_decref(spec);
}

static void every_field_of_the_methods_is_read(void **state)
{
    (void)state;
    static const char *const mora[] = {
        "method={name: mora, r: 4, operator: rotation, pairing: interleaved, fold: true, pad: zero, "
        "rhat_rule: floor, targets: [q_proj, down_proj], train: [norms], full_rank_steps: 5}",
        "schedule={name: mora_hf, warmup: 3, restart_warmup: 2, restart_every: 7, unwarmed_first: "
        "true}",
        NULL};
    static const char *const relora[] = {
        "method={name: relora, r: 4, alpha: 3, merge_every: 9, reset: magnitude, reset_ratio: 0.8, "
        "train: []}",
        "schedule={name: jagged_cosine, warmup: 3, restart_warmup: 2}", NULL};
    static const char *const lora_plus[] = {"method={name: lora_plus, r: 4, lr_ratio: 2}", NULL};
    static const char *const asylora[] = {"method={name: asylora, r: 4, freeze_a: false}", NULL};
    struct error err = {0};
    struct train_spec t;

    json_t *spec = valid(SPEC_SMALLEST_YAML, mora);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_int_equal(t.method.op, MORA_OPERATOR_ROTATION);
    assert_int_equal(t.method.pairing, MORA_PAIRING_INTERLEAVED);
    assert_true(t.method.fold);
    assert_int_equal(t.method.pad, MORA_PAD_ZERO);
    assert_int_equal(t.method.rhat_rule, MORA_RHAT_RULE_FLOOR);
    assert_int_equal(t.method.targets, 1U | 1U << 6);
    assert_true(t.method.train.norms && !t.method.train.embeddings && !t.method.train.head);
    assert_int_equal(t.method.full_rank_steps, 5);
    assert_int_equal(t.schedule.restart_every, 7);
    assert_true(t.schedule.unwarmed_first && t.schedule.min_lr_ratio == 0.0);
    json_decref(spec);

    spec = valid(SPEC_SMALLEST_YAML, relora);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_true(t.method.alpha == 3.0 && t.method.reset_ratio == 0.8);
    assert_int_equal(t.method.merge_every, 9);
    assert_int_equal(t.schedule.restart_every, 9);
    assert_int_equal(t.method.reset, METHOD_RESET_MAGNITUDE);
    assert_int_equal(t.method.targets, METHOD_TARGETS_ALL);
    assert_false(t.method.train.norms || t.method.train.embeddings || t.method.train.head);
    json_decref(spec);

    spec = valid(SPEC_SMALLEST_YAML, lora_plus);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_true(t.method.lr_ratio == 2.0 && t.method.alpha == 16.0);
    json_decref(spec);
    spec = valid(SPEC_SMALLEST_YAML, asylora);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_false(t.method.freeze_a);
    assert_true(t.method.train.norms && t.method.train.embeddings && t.method.train.head);
    json_decref(spec);
}

static void a_prepare_spec_is_read(void **state)
{
    (void)state;
    struct error err = {0};
    struct prepare_spec p;
    struct train_spec t;
    json_t *spec = valid(SPEC_PREPARE_YAML, NULL);
    assert_ok(prepare_spec_read(&p, spec, &err), &err);
    assert_string_equal(p.name, "p");
    assert_int_equal(p.inputs.pattern_count, 2);
    assert_string_equal(p.inputs.patterns[0], "*.xml.gz");
    assert_int_equal(p.inputs.format, TEXT_FORMAT_AUTO);
    assert_string_equal(p.inputs.text_field, "text");
    assert_null(p.tokenizer);
    assert_int_equal(p.tokenizer_vocab_size, 4096);
    assert_true(p.validation_fraction == 0.02);
    assert_string_equal(p.output, "out");
    assert_int_equal(p.seed, 0);
    assert_int_equal(train_spec_read(&t, spec, &err), STATUS_INVALID);
    assert_string_equal(err.field, "kind");
    json_decref(spec);
    spec = valid(SPEC_SMALLEST_YAML, NULL);
    assert_int_equal(prepare_spec_read(&p, spec, &err), STATUS_INVALID);
    assert_string_equal(err.field, "kind");
    json_decref(spec);
}

/* A word that the schema lists and train_spec.c lacks would be an assertion in the worker. */
/* As an imported Llama 3 has it; what is left out is what most models have. */
static void shapes_of_imported_models_are_read(void **state)
{
    (void)state;
    static const char *const overrides[] = {
        "model={tokenizer: /t, config: {hidden_size: 64, intermediate_size: 96,"
        " num_hidden_layers: 2, num_attention_heads: 8, num_key_value_heads: 2, head_dim: 16,"
        " tie_word_embeddings: true, rope_theta: 500000.0, rope_scaling: {rope_type: llama3,"
        " factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0,"
        " original_max_position_embeddings: 8192}}}",
        NULL};
    static const char *const plain[] = {
        "model={tokenizer: /t, config: {hidden_size: 64, intermediate_size: 96,"
        " num_hidden_layers: 2, num_attention_heads: 8}}",
        NULL};
    struct train_spec t;
    struct error err = {0};

    json_t *spec = valid(SPEC_SMALLEST_YAML, overrides);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_int_equal(t.model.num_key_value_heads, 2);
    assert_int_equal(t.model.head_dim, 16);
    assert_true(t.model.tie_word_embeddings);
    assert_true(t.model.rope_theta == 500000.0);
    assert_true(t.model.rope_scaling.factor == 32.0);
    assert_true(t.model.rope_scaling.low_freq_factor == 1.0);
    assert_true(t.model.rope_scaling.high_freq_factor == 4.0);
    assert_int_equal(t.model.rope_scaling.original_max_position_embeddings, 8192);
    json_decref(spec);
    spec = valid(SPEC_SMALLEST_YAML, plain);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_int_equal(t.model.num_key_value_heads, 0);
    assert_int_equal(t.model.head_dim, 0);
    assert_false(t.model.tie_word_embeddings);
    assert_true(t.model.rope_scaling.factor == 0.0);
    json_decref(spec);
}

static void every_word_of_the_schema_is_read(void **state)
{
    (void)state;
    static const char *const overrides[][3] = {
        {"method={name: full, train: [embeddings, norms, head]}", NULL},
        {"method={name: lora, r: 4}", NULL},
        {"method={name: lora_plus, r: 4}", NULL},
        {"method={name: asylora, r: 4}", NULL},
        {"method={name: dora, r: 4}", NULL},
        {"method={name: relora, r: 4, merge_every: 1, reset: zero}", NULL},
        {"method={name: relora, r: 4, merge_every: 1, reset: random}", NULL},
        {"method={name: relora, r: 4, merge_every: 1, reset: magnitude}", NULL},
        {"method={name: mora, r: 4, operator: sharing, columns: mod, rows: tile}", NULL},
        {"method={name: mora, r: 4, columns: blocks, rows: interleave, pad: wrap}", NULL},
        {"method={name: mora, r: 4, pad: zero, rhat_rule: nearest}", NULL},
        {"method={name: mora, r: 4, operator: truncation, rhat_rule: floor}", NULL},
        {"method={name: mora, r: 4, operator: decoupling}", NULL},
        {"method={name: mora, r: 4, operator: rotation, pairing: half}", NULL},
        {"method={name: mora, r: 4, operator: rotation, pairing: interleaved}", NULL},
        {"method={name: remora, r: 4, merge_every: 1, groups: paper}", NULL},
        {"method={name: remora, r: 4, merge_every: 1, groups: official}", NULL},
        {"method={name: remora, r: 4, merge_every: 1, groups: permuted}", NULL},
        {"schedule={name: jagged_cosine, warmup: 0, restart_warmup: 0, restart_every: 1}", NULL},
        {"schedule={name: mora_hf, warmup: 0, restart_warmup: 0, restart_every: 1}", NULL},
        {"schedule={name: cosine}", NULL},
        {"schedule={name: linear}", NULL},
        {"schedule={name: constant}", NULL},
        {"compute.backend=auto", NULL},
        {"compute.backend=cpu", NULL},
        {"compute.dtype=auto", NULL},
        {"compute.dtype=fp32", NULL},
        {"compute.deterministic=world", "batch.global=4", NULL},
        {"launch.overlap=auto", NULL},
        {"launch.overlap=off", NULL},
        {"launch.overlap=poll", NULL},
        {"launch.overlap=thread", NULL},
        {"compute.dtype=bf16", NULL},
        {"compute.recompute=none", NULL},
        {"compute.recompute=attention", NULL},
        {"compute.recompute=layer", NULL},
        {"compute.rounding=auto", NULL},
        {"compute.rounding=nearest", NULL},
        {"compute.rounding=stochastic", NULL},
        {"data.train[0]={files: /a, format: auto}", NULL},
        {"data.train[0]={files: /a, format: medline}", NULL},
        {"data.train[0]={files: /a, format: jsonl}", NULL},
        {"data.train[0]={files: /a, format: text}", NULL},
    };
    for (size_t i = 0; i < sizeof overrides / sizeof overrides[0]; i++) {
        struct error err = {0};
        struct train_spec t;
        json_t *spec = valid(SPEC_SMALLEST_YAML, overrides[i]);
        assert_ok(train_spec_read(&t, spec, &err), &err);
        json_decref(spec);
    }
    /* The list above is complete: whoever adds a word to the schema adds it there, too. */
    struct error err = {0};
    const struct schema *schema = NULL;
    assert_ok(spec_schema(&schema, &err), &err);
    const json_t *defs = json_object_get(schema_document(schema), "$defs");
    const json_t *train = json_object_get(json_object_get(defs, "train"), "properties");
    const json_t *compute = json_object_get(json_object_get(train, "compute"), "properties");
    const json_t *backend = json_object_get(json_object_get(compute, "backend"), "enum");
    const json_t *dtype = json_object_get(json_object_get(compute, "dtype"), "enum");
    assert_int_equal(json_array_size(json_object_get(json_object_get(train, "method"), "oneOf")),
                     8);
    assert_int_equal(json_array_size(json_object_get(json_object_get(train, "schedule"), "oneOf")),
                     5);
    static const struct {
        const char *name;
        size_t words;
    } enums[] = {{"operator", 4}, {"columns", 2},   {"rows", 2},   {"pad", 2},
                 {"pairing", 2},  {"rhat_rule", 2}, {"groups", 3}, {"reset", 3}};
    for (size_t i = 0; i < sizeof enums / sizeof enums[0]; i++) {
        const json_t *def = json_object_get(defs, enums[i].name);
        assert_int_equal(json_array_size(json_object_get(def, "enum")), enums[i].words);
    }
    assert_int_equal(json_array_size(json_object_get(json_object_get(defs, "format"), "enum")), 4);
    assert_int_equal(json_array_size(backend), 2);
    assert_int_equal(json_array_size(dtype), 3);
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(compute, "recompute"), "enum")), 3);
    assert_int_equal(json_array_size(json_object_get(json_object_get(compute, "rounding"), "enum")),
                     3);
}

static void steps_come_from_tokens_and_epochs(void **state)
{
    (void)state;
    /* A step of the example is 32 × 256 = 8192 tokens, a cycle 120 steps. */
    static const struct {
        const char *overrides[3];
        int64_t sequences;
        int64_t steps;       /* 0: refused */
        const char *message; /* when it is */
    } cases[] = {
        {{NULL}, 0, 600, NULL},
        {{"steps=null", "tokens=4915200", NULL}, 0, 600, NULL},
        {{"steps=null", "tokens=4915199", NULL}, 0, 480, NULL},
        {{"steps=null", "tokens=983040", NULL}, 0, 120, NULL},
        {{"steps=null", "tokens=983039", NULL}, 0, 0, "tokens: is less than a cycle"},
        {{"steps=null", "epochs=1", NULL}, 120 * 32 + 31, 120, NULL},
        {{"steps=null", "epochs=2.5", NULL}, 120 * 32, 240, NULL},
        {{"steps=null", "epochs=0.5", NULL}, 120 * 32, 0, "epochs: is less than a cycle"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        struct train_spec t;
        int64_t steps = 0;
        json_t *spec = valid(SPEC_EXAMPLE_YAML, cases[i].overrides);
        assert_ok(train_spec_read(&t, spec, &err), &err);
        enum status status = train_spec_steps(&steps, &t, cases[i].sequences, &err);
        assert_int_equal(steps, cases[i].steps);
        if (cases[i].steps) {
            assert_ok(status, &err);
        } else {
            assert_int_equal(status, STATUS_INVALID);
            assert_contains(err.message, cases[i].message);
        }
        json_decref(spec);
    }
}

static void steps_without_cycles_are_whole(void **state)
{
    (void)state;
    struct error err = {0};
    struct train_spec t;
    int64_t steps = 0;
    json_t *spec = valid(SPEC_SMALLEST_YAML, NULL); /* 2 epochs, batch 2 */
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_ok(train_spec_steps(&steps, &t, 5, &err), &err);
    assert_int_equal(steps, 5);
    assert_int_equal(train_spec_steps(&steps, &t, 0, &err), STATUS_INVALID);
    assert_contains(err.message, "epochs: is less than a step");
    assert_contains(err.hint, "2 sequences of 8 tokens");
    json_decref(spec);

    static const char *const late[] = {"schedule={name: linear, warmup: 5}", NULL};
    spec = valid(SPEC_SMALLEST_YAML, late);
    assert_ok(train_spec_read(&t, spec, &err), &err);
    assert_int_equal(train_spec_steps(&steps, &t, 5, &err), STATUS_INVALID);
    assert_string_equal(err.field, "schedule.warmup");
    assert_ok(train_spec_steps(&steps, &t, 6, &err), &err);
    json_decref(spec);
}

static void the_schema_lists_the_presets(void **state)
{
    (void)state;
    struct error err = {0};
    const struct schema *schema = NULL;
    assert_ok(spec_schema(&schema, &err), &err);
    const json_t *node = json_object_get(schema_document(schema), "$defs");
    static const char *const path[] = {"train",      "properties", "model",
                                       "properties", "preset",     "enum"};
    for (size_t i = 0; i < sizeof path / sizeof path[0]; i++) {
        node = json_object_get(node, path[i]);
    }
    assert_int_equal(json_array_size(node), model_preset_count);
    for (size_t i = 0; i < model_preset_count; i++) {
        assert_string_equal(json_string_value(json_array_get(node, i)), model_presets[i].name);
        assert_ptr_equal(model_preset_find(model_presets[i].name), &model_presets[i]);
        assert_int_equal(model_presets[i].hidden_size % model_presets[i].num_attention_heads, 0);
    }
    assert_null(model_preset_find("llama-8m"));
}

/* Parameters of each preset with the paper's vocabulary, in millions, as methods are compared. */
static void the_presets_have_the_published_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double millions;
    } sizes[] = {
        {"llama-9m", 9.02},     {"llama-20m", 19.60},    {"llama-35m", 35.27},
        {"llama-40m", 42.48},   {"llama-60m", 58.18},    {"llama-71m", 70.68},
        {"llama-100m", 100.12}, {"llama-130m", 134.26},  {"llama-250m", 247.52},
        {"llama-350m", 368.17}, {"llama-1.3b", 1339.49}, {"llama-3b", 2686.34},
        {"llama-7b", 6739.23},
    };
    assert_int_equal(sizeof sizes / sizeof sizes[0], model_preset_count);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct model_preset *p = model_preset_find(sizes[i].name);
        assert_non_null(p);
        const int64_t C = p->hidden_size;
        const int64_t layer = 4 * C * C + 3 * C * p->intermediate_size + 2 * C;
        const double total = (double)(2 * 32100 * C + p->num_hidden_layers * layer + C) / 1e6;
        assert_true(total > sizes[i].millions - 0.006 && total < sizes[i].millions + 0.006);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_the_example_is_read),
        cmocka_unit_test(defaults_are_what_the_schema_says),
        cmocka_unit_test(files_and_a_config_are_read),
        cmocka_unit_test(every_field_of_the_methods_is_read),
        cmocka_unit_test(a_prepare_spec_is_read),
        cmocka_unit_test(shapes_of_imported_models_are_read),
        cmocka_unit_test(every_word_of_the_schema_is_read),
        cmocka_unit_test(steps_come_from_tokens_and_epochs),
        cmocka_unit_test(steps_without_cycles_are_whole),
        cmocka_unit_test(the_schema_lists_the_presets),
        cmocka_unit_test(the_presets_have_the_published_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
