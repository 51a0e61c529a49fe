#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/spec/spec.h"
#include "tests/support/spec_example.h"
#include "tests/support/test.h"

/* The canonical bytes are what a job is known by: a change here changes the identity of every job.
 */
static const char golden[] =
    "{\"batch\":{\"global\":32,\"micro\":8},"
    "\"checkpoint\":{\"every\":100,\"keep_last\":2},"
    "\"compute\":{\"backend\":\"auto\",\"deterministic\":\"run\",\"dtype\":\"auto\","
    "\"recompute\":\"none\",\"rounding\":\"auto\"},"
    "\"data\":{\"sequence_length\":256,\"train\":[{\"shards\":\"/data/out/train\","
    "\"weight\":1.0}],\"validation\":{\"sequences\":64,\"shards\":\"/data/out/validation\"}},"
    "\"evaluate\":{\"every\":100,\"spectrum\":false},"
    "\"guard\":{\"max_skipped\":3,\"spike_window\":100,\"spike_z\":6.0},"
    "\"kind\":\"train\","
    "\"launch\":{\"overlap\":\"auto\",\"ranks\":2,\"threads_per_rank\":1,\"zero\":0},"
    "\"method\":{\"fold\":false,\"full_rank_steps\":0,\"groups\":\"paper\",\"merge_every\":120,"
    "\"name\":\"remora\",\"operator\":\"sharing\",\"pad\":\"wrap\",\"pairing\":\"half\",\"r\":20,"
    "\"reset\":\"zero\",\"reset_ratio\":0.9,\"rhat_rule\":\"nearest\",\"targets\":[\"q_proj\","
    "\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\",\"down_proj\"]},"
    "\"model\":{\"preset\":\"llama-9m\",\"tokenizer\":\"/data/out/tokenizer.model\"},"
    "\"name\":\"pubmed-demo\","
    "\"optimizer\":{\"betas\":[0.9,0.999],\"clip_norm\":1.0,\"eps\":1e-8,\"lr\":0.001,"
    "\"name\":\"adamw\",\"weight_decay\":0.0},"
    "\"retry\":{\"max_attempts\":3},"
    "\"schedule\":{\"min_lr_ratio\":0.1,\"name\":\"jagged_cosine\",\"restart_warmup\":6,"
    "\"warmup\":60},"
    "\"schema\":1,"
    "\"seed\":0,"
    "\"steps\":600,"
    "\"stop\":{\"max_time\":0.0,\"metric\":\"validation_loss\",\"min_delta\":0.0,\"patience\":0}}";
static const char golden_digest[] =
    "2107c788dc49905767b4062ea20effebf454ec4f87e39cd1e3d6ff58c1125e76";

static json_t *parsed(const char *yaml)
{
    struct error err = {0};
    json_t *spec = NULL;
    assert_ok(spec_parse(&spec, yaml, strlen(yaml), SPEC_FORMAT_YAML, "a.yaml", &err), &err);
    return spec;
}

/* The caller frees the text. */
static char *canonical(const json_t *spec)
{
    struct error err = {0};
    struct bytes text = {0};
    assert_ok(spec_canonical(&text, spec, &err), &err);
    char *copy = strdup(text.data);
    bytes_deinit(&text);
    return copy;
}

static void the_canonical_form_and_its_digest_are_golden(void **state)
{
    (void)state;
    struct error err = {0};
    struct digest digest;
    char hex[DIGEST_HEX_BYTES];
    json_t *spec = parsed(SPEC_EXAMPLE_YAML);
    assert_ok(spec_resolve_paths(spec, "/data", &err), &err);
    assert_ok(spec_validate(spec, &err), &err);
    char *text = canonical(spec);
    assert_string_equal(text, golden);
    free(text);
    assert_ok(spec_digest(&digest, spec, &err), &err);
    digest_to_hex(hex, &digest);
    assert_string_equal(hex, golden_digest);
    json_decref(spec);
}

static void other_ways_to_write_it_give_the_same_digest(void **state)
{
    (void)state;
    static const char *const same[][2] = {
        {"optimizer.lr=0.001", "steps=6e2"},
        {"optimizer.lr=1e-3", "steps=600.0"},
        {"optimizer.weight_decay=-0.0", "seed=0"},
        {"optimizer.weight_decay=null", "seed=null"},
        {"compute=null", "retry={}"},
        {"data.train[0].weight=1", "method.groups=null"},
    };
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct error err = {0};
        json_t *spec = parsed(SPEC_EXAMPLE_YAML);
        assert_ok(spec_override(spec, same[i][0], &err), &err);
        assert_ok(spec_override(spec, same[i][1], &err), &err);
        assert_ok(spec_resolve_paths(spec, "/data", &err), &err);
        assert_ok(spec_validate(spec, &err), &err);
        char *text = canonical(spec);
        assert_string_equal(text, golden);
        free(text);
        json_decref(spec);
    }
}

static void validating_again_changes_nothing(void **state)
{
    (void)state;
    const char *const texts[] = {SPEC_EXAMPLE_YAML, SPEC_SMALLEST_YAML, SPEC_PREPARE_YAML};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err = {0};
        json_t *spec = parsed(texts[i]);
        assert_ok(spec_validate(spec, &err), &err);
        char *once = canonical(spec);
        assert_ok(spec_validate(spec, &err), &err);
        char *twice = canonical(spec);
        assert_string_equal(once, twice);

        json_t *read = NULL;
        assert_ok(spec_parse(&read, once, strlen(once), SPEC_FORMAT_JSON, "a.json", &err), &err);
        assert_ok(spec_validate(read, &err), &err);
        char *reread = canonical(read);
        assert_string_equal(once, reread);
        json_decref(read);
        json_decref(spec);
        free(once);
        free(twice);
        free(reread);
    }
}

static void overrides_reach_every_part(void **state)
{
    (void)state;
    static const struct {
        const char *assignment;
        const char *part; /* of the canonical form */
    } cases[] = {
        {"optimizer.lr=2e-3", "\"lr\":0.002"},
        {"data.train[0].weight=2", "\"weight\":2"},
        {"data.train[1].shards=/b", "{\"shards\":\"/b\"}]"},
        {"data.train[1]={shards: /b, weight: 2}", "{\"shards\":\"/b\",\"weight\":2}]"},
        {"optimizer.betas=[0.5, 0.75]", "\"betas\":[0.5,0.75]"},
        {"optimizer.betas[1]=0.5", "\"betas\":[0.9,0.5]"},
        {"model={preset: llama-20m, tokenizer: t}",
         "\"model\":{\"preset\":\"llama-20m\",\"tokenizer\":\"t\"}"},
        {"model.config.hidden_size=64", "\"config\":{\"hidden_size\":64}"},
        {"name=1e3", "\"name\":\"1e3\""},
        {"name=a=b", "\"name\":\"a=b\""},
        {"name=", "\"name\":null"},
        {"name=''", "\"name\":\"\""},
        {"data.train[0].files=*.xml", "\"files\":\"*.xml\""},
        {"data.train[0].files=[a*, '7']", "\"files\":[\"a*\",\"7\"]"},
        {"model.tokenizer=&a: b", "\"tokenizer\":\"&a: b\""},
        {"zz.y[0]=1", "\"zz\":{\"y\":[1]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        json_t *spec = parsed(SPEC_EXAMPLE_YAML);
        assert_ok(spec_override(spec, cases[i].assignment, &err), &err);
        char *text = canonical(spec);
        assert_contains(text, cases[i].part);
        free(text);
        json_decref(spec);
    }
}

static void null_removes_a_field(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *spec = parsed(SPEC_EXAMPLE_YAML);
    assert_ok(spec_override(spec, "steps=null", &err), &err);
    assert_ok(spec_override(spec, "data.train[0]=null", &err), &err);
    assert_ok(spec_override(spec, "nothing=null", &err), &err);
    assert_null(json_object_get(spec, "steps"));
    assert_int_equal(json_array_size(json_object_get(json_object_get(spec, "data"), "train")), 0);
    json_decref(spec);
}

static void an_override_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *assignment;
        const char *message;
    } cases[] = {
        {"steps", "override 'steps': '=' is missing"},
        {"=5", "the path is empty"},
        {"a..b=1", "a key is empty"},
        {"a.=1", "a key is empty"},
        {"[0]=1", "a key is empty"},
        {"data.train[x]=1", "an index is a number"},
        {"data.train[-1]=1", "an index is a number"},
        {"data.train[0=1", "']' is missing"},
        {"data.train[]=1", "an index is a number"},
        {"data.train[5].weight=1", "the list is not that long"},
        {"data.train[99999999999999999999].weight=1", "the list is not that long"},
        {"data.train.shards=1", "leads into something that is not an object"},
        {"data[0]=1", "leads into something that is not a list"},
        {"steps.x=1", "leads into something that is not an object"},
        {"model={preset: &a b}", "override 'model': line 1, column 10: anchors are not allowed"},
        {"model={preset: a", "override 'model': line 2, column 1"},
        {"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=1",
         "the path is too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        json_t *spec = parsed(SPEC_EXAMPLE_YAML);
        assert_int_equal(spec_override(spec, cases[i].assignment, &err), STATUS_INVALID);
        assert_contains(err.message, cases[i].message);
        json_decref(spec);
    }
}

static void relative_paths_are_below_the_folder(void **state)
{
    (void)state;
    static const struct {
        const char *yaml;
        const char *folder;
        const char *part;
    } cases[] = {
        {"kind: prepare\noutput: out", "/w", "\"output\":\"/w/out\""},
        {"kind: prepare\noutput: ./out", "/w/", "\"output\":\"/w/out\""},
        {"kind: prepare\noutput: ../out", "/w", "\"output\":\"/w/../out\""},
        {"kind: prepare\noutput: .", "/w", "\"output\":\"/w/\""},
        {"kind: prepare\noutput: /out", "/w", "\"output\":\"/out\""},
        {"kind: prepare\noutput: ~/out", "/w", "\"output\":\"/home/me/out\""},
        {"kind: prepare\noutput: ~out", "/w", "\"output\":\"/w/~out\""},
        {"kind: prepare\ninputs: '*.xml'", "/w", "\"inputs\":\"/w/*.xml\""},
        {"kind: prepare\ninputs: ['a*', /b]", "/w[1]*", "[\"/w\\\\[1]\\\\*/a*\",\"/b\"]"},
        {"kind: prepare\ntokenizer: t.model", "/w*", "\"tokenizer\":\"/w*/t.model\""},
        {"kind: prepare\ntokenizer: {train: 400}", "/w", "{\"train\":400}"},
        {"kind: train\nname: x\nmodel: {tokenizer: t}\ndata: {train: [{files: [a, b]}, {shards: s}],"
         " validation: {shards: v}}",
         "/w", "{\"files\":[\"/w/a\",\"/w/b\"]},{\"shards\":\"/w/s\"}"},
        {"kind: train\nmodel: {from: a@10}", "/w", "\"from\":\"a@10\""}, /* a job's */
        {"kind: train\nmodel: {from: ./a@10}", "/w", "\"from\":\"/w/a@10\""},
        {"kind: train\nmodel: {from: runs/a@10}", "/w", "\"from\":\"/w/runs/a@10\""},
        {"kind: train\nmodel: {from: a}", "/w", "\"from\":\"/w/a\""},
        {"kind: train\nmodel: {from: a@b}", "/w", "\"from\":\"/w/a@b\""},
        {"kind: train\nmodel: {from: a@}", "/w", "\"from\":\"/w/a@\""},
        {"kind: train\nmodel: {from: '@10'}", "/w", "\"from\":\"/w/@10\""},
        {"kind: train\nmodel: {from: 'hf:m'}", "/w", "\"from\":\"hf:/w/m\""},
        {"kind: train\nmodel: {from: 'hf:m@10'}", "/w", "\"from\":\"hf:/w/m@10\""},
        {"kind: train\nmodel: {from: 'hf:/m'}", "/w", "\"from\":\"hf:/m\""},
        {"kind: train\nmodel: {from: 'hf:~/m'}", "/w", "\"from\":\"hf:/home/me/m\""},
        {"output: out", "/w", "\"output\":\"out\""}, /* of no kind: the validator will say so */
    };
    assert_int_equal(setenv("HOME", "/home/me", 1), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        json_t *spec = parsed(cases[i].yaml);
        assert_ok(spec_resolve_paths(spec, cases[i].folder, &err), &err);
        char *text = canonical(spec);
        assert_contains(text, cases[i].part);
        free(text);
        json_decref(spec);
    }
}

static void a_path_that_gets_too_long_is_named(void **state)
{
    (void)state;
    struct error err = {0};
    char folder[PATH_BYTES_MAX] = "/";
    memset(folder + 1, 'a', PATH_BYTES_MAX - 4);
    json_t *spec = parsed("kind: prepare\noutput: out");
    assert_int_equal(spec_resolve_paths(spec, folder, &err), STATUS_LIMIT);
    assert_string_equal(err.field, "output");
    json_decref(spec);
}

static void a_file_is_loaded_in_one_go(void **state)
{
    (void)state;
    struct error err = {0};
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    char expected[PATH_BYTES_MAX];
    static const char *const overrides[] = {"steps=720", "method.r=8"};
    json_t *spec = NULL;
    test_folder_create(folder);
    assert_ok(path_printf(path, &err, "%s/a.yaml", folder), &err);
    assert_ok(file_write(path, SPEC_EXAMPLE_YAML, strlen(SPEC_EXAMPLE_YAML), 0600, &err), &err);
    assert_ok(spec_load(&spec, path, overrides, 2, &err), &err);
    assert_int_equal(json_get_int(spec, "steps", 0), 720);
    assert_ok(path_printf(expected, &err, "%s/out/tokenizer.model", folder), &err);
    assert_string_equal(json_get_text(json_object_get(spec, "model"), "tokenizer", ""), expected);
    assert_int_equal(spec_kind(spec), SPEC_KIND_TRAIN);
    assert_string_equal(spec_name(spec), "pubmed-demo");
    assert_int_equal(spec_slots(spec), 2);
    assert_int_equal(spec_max_attempts(spec), 3);
    json_decref(spec);

    spec = NULL;
    static const char *const bad[] = {"steps=0"};
    assert_int_equal(spec_load(&spec, path, bad, 1, &err), STATUS_INVALID);
    assert_null(spec);
    assert_ok(path_printf(path, &err, "%s/none.yaml", folder), &err);
    assert_int_equal(spec_load(&spec, path, NULL, 0, &err), STATUS_NOT_FOUND);
    assert_contains(err.message, "none.yaml");
    test_folder_remove(folder);
}

static void a_spec_of_10_mb_is_refused(void **state)
{
    (void)state;
    struct error err = {0};
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    json_t *spec = NULL;
    const size_t size = 10 * MIB;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '#', size);
    test_folder_create(folder);
    assert_ok(path_printf(path, &err, "%s/a.yaml", folder), &err);
    assert_ok(file_write(path, text, size, 0600, &err), &err);
    assert_int_equal(spec_load(&spec, path, NULL, 0, &err), STATUS_LIMIT);
    assert_contains(err.message, "a.yaml");
    free(text);
    test_folder_remove(folder);
}

static void prepare_jobs_take_one_slot_and_one_attempt(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *spec = parsed(SPEC_PREPARE_YAML);
    assert_ok(spec_validate(spec, &err), &err);
    assert_int_equal(spec_kind(spec), SPEC_KIND_PREPARE);
    assert_int_equal(spec_slots(spec), 1);
    assert_int_equal(spec_max_attempts(spec), 1);
    json_decref(spec);
}

static void formats_go_by_the_name(void **state)
{
    (void)state;
    assert_int_equal(spec_format_of("a.json"), SPEC_FORMAT_JSON);
    assert_int_equal(spec_format_of("a.yaml"), SPEC_FORMAT_YAML);
    assert_int_equal(spec_format_of("json"), SPEC_FORMAT_YAML);
    assert_int_equal(spec_format_of("-"), SPEC_FORMAT_YAML);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_canonical_form_and_its_digest_are_golden),
        cmocka_unit_test(other_ways_to_write_it_give_the_same_digest),
        cmocka_unit_test(validating_again_changes_nothing),
        cmocka_unit_test(overrides_reach_every_part),
        cmocka_unit_test(null_removes_a_field),
        cmocka_unit_test(an_override_that_makes_no_sense_is_refused),
        cmocka_unit_test(relative_paths_are_below_the_folder),
        cmocka_unit_test(a_path_that_gets_too_long_is_named),
        cmocka_unit_test(a_file_is_loaded_in_one_go),
        cmocka_unit_test(a_spec_of_10_mb_is_refused),
        cmocka_unit_test(prepare_jobs_take_one_slot_and_one_attempt),
        cmocka_unit_test(formats_go_by_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
