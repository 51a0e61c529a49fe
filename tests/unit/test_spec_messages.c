/* What people read when a spec is wrong: the field, the value, the range, and what to do. */
#include "proto/spec/spec.h"
#include "tests/support/spec_example.h"
#include "tests/support/test.h"

/* Parses the example, applies the overrides (NULL-terminated), validates. */
static enum status validate_with(const char *yaml, const char *const *overrides,
                                 struct schema_problems *problems, struct error *err)
{
    json_t *spec = NULL;
    assert_ok(spec_parse(&spec, yaml, strlen(yaml), SPEC_FORMAT_YAML, "a.yaml", err), err);
    enum status status = STATUS_OK;
    for (; *overrides && !status; overrides++) {
        status = spec_override(spec, *overrides, err);
    }
    if (!status) {
        status = spec_validate_all(spec, problems, err);
    }
    json_decref(spec);
    return status;
}

struct bad {
    const char *overrides[4];
    const char *message; /* beginning; the path is its first word */
    const char *hint;    /* part of it; NULL: there is none */
};

static void check_all(const char *yaml, const struct bad *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct error err = {0};
        enum status status = validate_with(yaml, cases[i].overrides, NULL, &err);
        if (status != STATUS_INVALID ||
            strncmp(err.message, cases[i].message, strlen(cases[i].message)) != 0) {
            fail_msg("'%s' gave '%s' (hint '%s'), not '%s'", cases[i].overrides[0], err.message,
                     err.hint, cases[i].message);
        }
        if (strncmp(err.message, err.field, strlen(err.field)) != 0) {
            fail_msg("field '%s' does not begin '%s'", err.field, err.message);
        }
        if (cases[i].hint) {
            assert_contains(err.hint, cases[i].hint);
        } else {
            assert_string_equal(err.hint, "");
        }
    }
}
#define CHECK_ALL(yaml, cases) check_all((yaml), (cases), sizeof(cases) / sizeof(cases)[0])

static void a_value_out_of_range_is_named_with_the_range(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"optimizer.lr=-1"}, "optimizer.lr: -1 is below the minimum 0 (exclusive)", NULL},
        {{"optimizer.lr=0"}, "optimizer.lr: 0 is not inside the minimum 0 (exclusive)", NULL},
        {{"optimizer.lr=11"}, "optimizer.lr: 11 is above the maximum 10", NULL},
        {{"optimizer.betas[1]=1"}, "optimizer.betas[1]: 1 is not inside the maximum 1", NULL},
        {{"optimizer.betas=[0.9]"}, "optimizer.betas: has 1 items; the minimum is 2", NULL},
        {{"optimizer.eps=0"}, "optimizer.eps: 0 is not inside", NULL},
        {{"optimizer.weight_decay=-0.1"}, "optimizer.weight_decay: -0.1 is below", NULL},
        {{"optimizer.clip_norm=-1"}, "optimizer.clip_norm: -1 is below", NULL},
        {{"batch.global=0"},
         "batch.global: 0 is below the minimum 1; the maximum is 1048576",
         NULL},
        {{"batch.micro=65537"}, "batch.micro: 65537 is above the maximum 65536", NULL},
        {{"launch.ranks=1025"}, "launch.ranks: 1025 is above the maximum 1024", NULL},
        {{"launch.threads_per_rank=0"}, "launch.threads_per_rank: 0 is below", NULL},
        {{"steps=0"}, "steps: 0 is below the minimum 1", NULL},
        {{"steps=1e13"}, "steps: 10000000000000.0 is above the maximum 1099511627776", NULL},
        {{"seed=-1"}, "seed: -1 is below the minimum 0", NULL},
        {{"seed=9007199254740992"}, "seed: 9007199254740992 is above the maximum", NULL},
        {{"data.train[0].weight=0"}, "data.train[0].weight: 0 is not inside the minimum 0", NULL},
        {{"data.train=[]"}, "data.train: has 0 items; the minimum is 1", NULL},
        {{"data.sequence_length=1"}, "data.sequence_length: 1 is below the minimum 2", NULL},
        {{"data.validation.sequences=0"}, "data.validation.sequences: 0 is below", NULL},
        {{"schedule.min_lr_ratio=1.1"}, "schedule.min_lr_ratio: 1.1 is above the maximum 1", NULL},
        {{"method.r=0"}, "method.r: 0 is below the minimum 1; the maximum is 65536", NULL},
        {{"retry.max_attempts=0"}, "retry.max_attempts: 0 is below the minimum 1", NULL},
        {{"checkpoint.keep_last=0"}, "checkpoint.keep_last: 0 is below the minimum 1", NULL},
    };
    CHECK_ALL(SPEC_EXAMPLE_YAML, cases);
}

static void a_value_of_another_type_is_named(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"optimizer.lr=fast"}, "optimizer.lr: \"fast\" is not a number", NULL},
        {{"optimizer.lr='1e-3'"}, "optimizer.lr: \"1e-3\" is not a number", "leave the quotes off"},
        {{"optimizer.lr="}, "optimizer.lr: null is not a number", NULL},
        {{"optimizer.lr=1e999"}, "optimizer.lr: \"1e999\" is not a number", NULL},
        {{"steps=1.5"}, "steps: 1.5 is not a whole number", NULL},
        {{"steps=0x10"}, "steps: \"0x10\" is not a whole number", NULL},
        {{"steps=010"}, "steps: \"010\" is not a whole number", NULL},
        {{"launch=2"}, "launch: 2 is not an object", NULL},
        {{"data.train={shards: a}"}, "data.train: an object is not a list", NULL},
        {{"data.train[0]=a"}, "data.train[0]: \"a\" is not", NULL},
        {{"method=full"}, "method: \"full\" is not an object", "write {name: full}"},
        {{"model.tokenizer=[a]"}, "model.tokenizer: a list of 1 is not text or an object", NULL},
        {{"name="}, "name: null is not text", "a letter"},
    };
    CHECK_ALL(SPEC_EXAMPLE_YAML, cases);
}

static void an_unknown_field_says_what_was_meant(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"optimizer.momentum=1"},
         "optimizer.momentum: unknown field",
         "the fields here are name, lr"},
        {{"optimizer.wieght_decay=1"},
         "optimizer.wieght_decay: unknown field",
         "did you mean 'weight_decay'?"},
        {{"optimizer.learning_rate=1"},
         "optimizer.learning_rate: unknown field",
         "did you mean 'lr'?"},
        {{"lr=1"}, "lr: unknown field", "did you mean 'optimizer.lr'?"},
        {{"batch_size=1"}, "batch_size: unknown field", "did you mean 'batch.global'?"},
        {{"warmup_steps=1"}, "warmup_steps: unknown field", "did you mean 'schedule.warmup'?"},
        {{"data.train[0].shard=1"}, "data.train[0].shard: unknown field", "did you mean 'shards'?"},
        {{"data.train[0].format=text"},
         "data.train[0].format: unknown field",
         "it goes with the field 'files'"},
        {{"method.name=mora"}, "method.merge_every: unknown field", "it goes with name 'relora'"},
        {{"method.name=full"}, "method.r: unknown field", "it goes with name 'lora'"},
        {{"schedule.name=cosine"},
         "schedule.restart_warmup: unknown field",
         "it goes with name 'jagged_cosine'"},
        {{"model.vocab_size=4096"}, "model.vocab_size: unknown field", "the fields here are"},
        {{"compute.device=cpu"}, "compute.device: unknown field", "did you mean 'backend'?"},
        {{"output=x"}, "output: unknown field", NULL},
    };
    const size_t count = sizeof cases / sizeof cases[0];
    check_all(SPEC_EXAMPLE_YAML, cases, count - 1);
    struct error err = {0}; /* the field of the other kind */
    assert_int_equal(validate_with(SPEC_EXAMPLE_YAML, cases[count - 1].overrides, NULL, &err),
                     STATUS_INVALID);
    assert_contains(err.hint, "it goes with kind 'prepare'");
}

static void a_choice_names_the_choices(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"kind=trian"}, "kind: \"trian\" is none of train, prepare", "did you mean 'train'?"},
        {{"kind=null"}, "kind: is missing; it is one of train, prepare", NULL},
        {{"kind=1"}, "kind: \"1\" is none of train, prepare", NULL},
        {{"method.name=galore"}, "method.name: \"galore\" is none of full, lora, lora_plus", NULL},
        {{"method.name=frozen"}, "method.name: \"frozen\" is none of full, lora, lora_plus", NULL},
        {{"method.name=lorra"}, "method.name: \"lorra\" is none of", "did you mean 'lora'?"},
        {{"method.name=null"}, "method.name: is missing; it is one of full, lora, lora_plus", NULL},
        {{"method.operator=rotations"},
         "method.operator: \"rotations\" is none of sharing, truncation, decoupling, rotation",
         "did you mean 'rotation'?"},
        {{"method.groups=all"},
         "method.groups: \"all\" is none of paper, official, permuted",
         NULL},
        {{"method.targets=[q]"}, "method.targets[0]: \"q\" is none of q_proj, k_proj", NULL},
        {{"method.targets=[]"}, "method.targets: ", NULL},
        {{"method.train=[biases]"},
         "method.train[0]: \"biases\" is none of embeddings, norms, head",
         NULL},
        {{"schedule.name=cosin"},
         "schedule.name: \"cosin\" is none of jagged_cosine, mora_hf, cosine",
         "did you mean 'cosine'?"},
        {{"compute.backend=cuda"},
         "compute.backend: \"cuda\" is none of auto, cpu",
         "use auto or cpu"},
        {{"compute.dtype=fp16"},
         "compute.dtype: \"fp16\" is none of auto, bf16, fp32",
         "use auto, bf16 or fp32"},
        {{"compute.recompute=layers"},
         "compute.recompute: \"layers\" is none of none, attention, layer",
         "did you mean 'layer'?"},
        {{"optimizer.name=adam"},
         "optimizer.name: \"adam\" is none of adamw",
         "did you mean 'adamw'?"},
        {{"model.preset=llama-9n"},
         "model.preset: \"llama-9n\" is none of llama-9m, llama-20m",
         "did you mean 'llama-9m'?"},
        {{"schema=2"}, "schema: 2 is not 1", NULL},
    };
    CHECK_ALL(SPEC_EXAMPLE_YAML, cases);
}

static void what_is_missing_or_too_much_is_named(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"steps=null"},
         "steps: exactly one of steps, tokens, epochs is due, and none is given",
         NULL},
        {{"tokens=9"},
         "tokens: exactly one of steps, tokens, epochs is due, and steps is given",
         "-s steps=null"},
        {{"epochs=1", "tokens=9"}, "tokens: exactly one of steps, tokens, epochs is due", NULL},
        {{"data.train[0].shards=null"},
         "data.train[0].shards: exactly one of shards, files is due",
         NULL},
        {{"data.train[0].files=a"},
         "data.train[0].files: exactly one of shards, files is due, and shards is given",
         "-s data.train[0].shards=null"},
        {{"model.config={hidden_size: 64, intermediate_size: 64, num_hidden_layers: 1, "
          "num_attention_heads: 4}"},
         "model.config: exactly one of preset, config is due",
         "-s model.preset=null"},
        {{"model.preset=null"}, "model.preset: exactly one of preset, config is due", NULL},
        {{"model.from=a@b", "model.preset=null", "model.config={}"},
         "model.config.hidden_size: is missing",
         NULL},
        {{"data.validation.fraction=0.1"}, "data.validation.fraction: exactly one of", NULL},
        {{"optimizer.lr=null"}, "optimizer.lr: is missing", "peak learning rate"},
        {{"model.tokenizer=null"}, "model.tokenizer: is missing", "SentencePiece"},
        {{"data.sequence_length=null"}, "data.sequence_length: is missing", "tokens"},
        {{"name=null"}, "name: is missing", "a letter"},
        {{"batch=null"}, "batch: is missing", "in sequences"},
        {{"method.r=null"}, "method.r: is missing", "matrix rank"},
        {{"schedule.warmup=null"}, "schedule.warmup: is missing", "steps from 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        assert_int_equal(validate_with(SPEC_EXAMPLE_YAML, cases[i].overrides, NULL, &err),
                         STATUS_INVALID);
        assert_contains(err.message, cases[i].message);
        assert_contains(err.hint, cases[i].hint ? cases[i].hint : "");
    }
}

static void fields_that_contradict_each_other_are_named(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"batch.global=30"},
         "batch.global: 30 is not divisible by batch.micro × launch.ranks = "
         "8 × 2 = 16",
         "the nearest are 16 and 32"},
        {{"batch.global=8"}, "batch.global: 8 is not divisible", "the least is 16"},
        {{"compute.deterministic=world", "batch.global=48"},
         "batch.global: 48 is not divisible by 4 lanes × batch.micro 8 = 32",
         "the next is 64"},
        {{"compute.deterministic=world", "launch.ranks=8", "batch.global=64"},
         "launch.ranks: 8, and compute.deterministic world has 4 lanes",
         NULL},
        {{"steps=601"},
         "steps: 601 is not a multiple of method.merge_every 120",
         "the nearest are 600 and 720"},
        {{"steps=100"}, "method.merge_every: 120 is above the number of steps 100", NULL},
        {{"schedule.warmup=121"}, "schedule.warmup: 121 is above the cycle of 120 steps", NULL},
        {{"schedule.restart_warmup=120"},
         "schedule.restart_warmup: 120 is not below the cycle of 120 steps",
         NULL},
        {{"schedule.restart_every=70"},
         "steps: 600 is not a multiple of schedule.restart_every 70",
         "the nearest are 560 and 630"},
        {{"method.full_rank_steps=600"},
         "method.full_rank_steps: 600 is not below the number of steps 600",
         NULL},
        {{"method.full_rank_steps=100"},
         "steps: 600 less method.full_rank_steps 100 is not a multiple of method.merge_every 120",
         "the nearest are 580 and 700"},
        {{"method.full_rank_steps=50", "steps=650"},
         "schedule.warmup: 60 is above method.full_rank_steps 50",
         NULL},
        {{"schedule={name: mora_hf, warmup: 60, restart_warmup: 6}", "steps=601"},
         "steps: 601 is not a multiple of method.merge_every 120",
         "mora_hf has whole cycles"},
        {{"method.operator=truncation", "method.groups=official"},
         "method.groups: goes with the operator sharing, and method.operator is truncation",
         "leave it out"},
        {{"method.operator=truncation", "method.pad=zero"},
         "method.pad: goes with the operator sharing, decoupling or rotation",
         "leave it out"},
        {{"method.pairing=interleaved"},
         "method.pairing: goes with the operator rotation",
         "leave it out"},
        {{"method.fold=true"},
         "method.fold: goes with the operator decoupling or rotation",
         "leave it out"},
        {{"method={name: mora, r: 4, operator: rotation, columns: blocks}",
          "schedule={name: constant}"},
         "method.columns: goes with the operator sharing, and method.operator is rotation",
         "leave it out"},
        {{"method={name: mora, r: 4, operator: rotation, rows: interleave}",
          "schedule={name: constant}"},
         "method.rows: goes with the operator sharing",
         "leave it out"},
        {{"method.groups=permuted", "method.pad=zero"}, "method.pad: permuted groups", NULL},
        {{"steps=null", "epochs=2", "data.train=[{shards: a}, {shards: b}]"},
         "epochs: are of a single source, and data.train has 2",
         "give steps or tokens"},
        {{"schedule={name: linear, warmup: 600}"},
         "schedule.warmup: 600 is not below the number of steps 600",
         NULL},
        {{"method={name: mora, r: 4}"},
         "schedule.restart_every: is missing: jagged_cosine restarts, and method 'mora' has no "
         "cycles",
         "or use cosine"},
        {{"method.r=129"}, "method.r: 129 is above the hidden_size 128", "= 21 keeps"},
        {{"model.preset=null",
          "model.config={hidden_size: 10, intermediate_size: 8, "
          "num_hidden_layers: 1, num_attention_heads: 4}",
          "method.r=1"},
         "model.config.num_attention_heads: hidden_size 10 is not divisible by 4 heads",
         NULL},
        {{"model.preset=null",
          "model.config={hidden_size: 12, intermediate_size: 8, "
          "num_hidden_layers: 1, num_attention_heads: 4}",
          "method.r=1"},
         "model.config.num_attention_heads: hidden_size 12 / 4 heads gives the odd head_dim 3",
         "must be even"},
        {{"model.tokenizer={train: 4096}"},
         "model.tokenizer: is to be trained, but data.train",
         "that the shards were made with"},
        {{"data.validation={fraction: 0.1}"},
         "data.validation.fraction: is a share of files",
         "name validation shards"},
        {{"launch.ranks=1024", "launch.threads_per_rank=256", "batch.global=8192"},
         "launch.ranks: 1024 × launch.threads_per_rank 256 = 262144 is above the maximum 4096",
         NULL},
        {{"data.train=[{shards: a}, {files: b}]", "model.tokenizer={train: 400}"},
         "data.train[0].shards: cannot be used with a tokenizer that is yet to be trained",
         NULL},
        {{"data.train=[{files: b}]", "model.tokenizer={train: 400}"},
         "data.validation.shards: cannot be used with a tokenizer",
         NULL},
    };
    CHECK_ALL(SPEC_EXAMPLE_YAML, cases);
}

static void a_name_has_its_form(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a", "A.b_c-9", "a123456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad[] = {
        "9a",  "-a", "a b",
        "a/b", "ä",  "a1234567890123456789012345678901234567890123456789012345678901234"};
    struct error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char assignment[128];
        (void)snprintf(assignment, sizeof assignment, "name=%s", good[i]);
        const char *const overrides[] = {assignment, NULL};
        assert_ok(validate_with(SPEC_EXAMPLE_YAML, overrides, NULL, &err), &err);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char assignment[128];
        (void)snprintf(assignment, sizeof assignment, "name=%s", bad[i]);
        const char *const overrides[] = {assignment, NULL};
        assert_int_equal(validate_with(SPEC_EXAMPLE_YAML, overrides, NULL, &err), STATUS_INVALID);
        assert_contains(err.message, "name: ");
        assert_contains(err.hint, "a name is a letter");
    }
}

static void prepare_specs_are_checked_too(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {{"inputs=[]"}, "inputs: has 0 items; the minimum is 1", NULL},
        {{"inputs[1]=3", "inputs[0]=''"}, "inputs[0]: has 0 characters; the minimum is 1", NULL},
        {{"tokenizer.train=299"}, "tokenizer.train: 299 is below the minimum 300", NULL},
        {{"tokenizer.size=299"}, "tokenizer.size: unknown field", "the fields here are train"},
        {{"validation_fraction=0.6"}, "validation_fraction: 0.6 is above the maximum 0.5", NULL},
        {{"format=xml"}, "format: \"xml\" is none of auto, medline, jsonl, text", NULL},
        {{"output=null"}, "output: is missing", "folder to make"},
        {{"steps=3"}, "steps: unknown field", "it goes with kind 'train'"},
    };
    CHECK_ALL(SPEC_PREPARE_YAML, cases);
}

static void all_problems_come_at_once(void **state)
{
    (void)state;
    static const char *const overrides[] = {"optimizer.lr=-1", "lr=2", "batch.micro=0", NULL};
    struct schema_problems problems = {0};
    struct error err = {0};
    assert_int_equal(validate_with(SPEC_EXAMPLE_YAML, overrides, &problems, &err), STATUS_INVALID);
    assert_int_equal(problems.total, 3);
    assert_string_equal(problems.items[0].field, "lr");
    assert_string_equal(problems.items[1].field, "optimizer.lr");
    assert_string_equal(problems.items[2].field, "batch.micro");
    assert_string_equal(err.field, "lr");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_out_of_range_is_named_with_the_range),
        cmocka_unit_test(a_value_of_another_type_is_named),
        cmocka_unit_test(an_unknown_field_says_what_was_meant),
        cmocka_unit_test(a_choice_names_the_choices),
        cmocka_unit_test(what_is_missing_or_too_much_is_named),
        cmocka_unit_test(fields_that_contradict_each_other_are_named),
        cmocka_unit_test(a_name_has_its_form),
        cmocka_unit_test(prepare_specs_are_checked_too),
        cmocka_unit_test(all_problems_come_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
