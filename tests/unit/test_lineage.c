#include "proto/base/json.h"
#include "proto/store/lineage.h"
#include "tests/support/test.h"

static struct checkpoint_ref ref(int64_t generation, int64_t step)
{
    struct checkpoint_ref made = {.step = step, .generation = generation};
    digest_of(&made.digest, &made.step, sizeof made.step);
    return made;
}

/* The picture in lineage.h: generation 2 leaves 1 at 200, generation 3 leaves 2 at 300. */
static struct lineage third(struct arena *arena)
{
    struct error err;
    struct lineage first = {.generation = 1};
    struct lineage second;
    struct lineage third;
    struct checkpoint_ref parent = ref(1, 200);
    assert_ok(lineage_continue(&second, 2, &parent, &first, arena, &err), &err);
    parent = ref(2, 300);
    assert_ok(lineage_continue(&third, 3, &parent, &second, arena, &err), &err);
    return third;
}

static void only_ancestors_and_own_checkpoints_belong(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct lineage lineage = third(&arena);
    static const struct {
        int64_t generation;
        int64_t step;
        bool belongs;
    } cases[] = {
        {1, 0, true},    {1, 200, true}, {1, 201, false}, {1, 300, false}, {2, 300, true},
        {2, 301, false}, {3, 400, true}, {3, 0, true},    {4, 100, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(lineage_has(&lineage, cases[i].generation, cases[i].step),
                         cases[i].belongs);
    }
    struct lineage nobody = {0};
    assert_false(lineage_has(&nobody, 1, 0));
    arena_deinit(&arena);
}

static void a_lineage_survives_json(void **state)
{
    (void)state;
    struct error err;
    struct arena arena = {0};
    struct bytes before = {0};
    struct bytes after = {0};
    struct lineage lineage = third(&arena);
    struct lineage read;
    json_t *object = json_object();
    json_t *again = json_object();
    assert_true(lineage_to_json(&lineage, object));
    assert_ok(lineage_from_json(&read, object, &arena, &err), &err);
    assert_true(lineage_to_json(&read, again));
    json_canonical(&before, object);
    json_canonical(&after, again);
    assert_string_equal(before.data, after.data);
    assert_contains(before.data, "\"lineage\":[{\"generation\":1,\"step\":200},");
    assert_true(read.has_parent);
    assert_int_equal(read.parent.step, 300);
    json_decref(object);
    json_decref(again);
    bytes_deinit(&before);
    bytes_deinit(&after);
    arena_deinit(&arena);
}

static void damaged_json_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{}",
        "{\"generation\": 1, \"lineage\": []}",
        "{\"generation\": 0, \"lineage\": [], \"parent\": null}",
        "{\"generation\": 1000000, \"lineage\": [], \"parent\": null}",
        "{\"generation\": 1, \"lineage\": {}, \"parent\": null}",
        "{\"generation\": 1, \"lineage\": [], \"parent\": {\"step\": 1, \"generation\": 1}}",
        "{\"generation\": 2, \"lineage\": [{\"generation\": 2, \"step\": 0}], \"parent\": null}",
        "{\"generation\": 2, \"lineage\": [{\"generation\": 1, \"step\": -1}], \"parent\": null}",
        "{\"generation\": 2, \"lineage\": [7], \"parent\": null}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err;
        struct arena arena = {0};
        struct lineage lineage;
        json_t *object = NULL;
        assert_ok(json_parse(&object, cases[i], strlen(cases[i]), "test", &err), &err);
        assert_int_equal(lineage_from_json(&lineage, object, &arena, &err), STATUS_CORRUPT);
        json_decref(object);
        arena_deinit(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_ancestors_and_own_checkpoints_belong),
        cmocka_unit_test(a_lineage_survives_json),
        cmocka_unit_test(damaged_json_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
