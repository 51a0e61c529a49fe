#include "proto/store/lineage.h"

#include <assert.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"

bool lineage_has(const struct lineage *lineage, int64_t generation, int64_t step)
{
    if (generation == lineage->generation) {
        return true;
    }
    for (size_t i = 0; i < lineage->branch_count; i++) {
        if (lineage->branches[i].generation == generation) {
            return step <= lineage->branches[i].step;
        }
    }
    return false;
}

enum status lineage_continue(struct lineage *out, int64_t generation,
                             const struct checkpoint_ref *parent, const struct lineage *of_parent,
                             struct arena *arena, struct error *err)
{
    assert(parent->generation == of_parent->generation);
    assert(generation > parent->generation);
    size_t count = of_parent->branch_count;
    struct lineage_branch *branches = arena_alloc_array(arena, count + 1, sizeof *branches);
    if (branches == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "lineage: out of memory");
    }
    if (count > 0) {
        memcpy(branches, of_parent->branches, count * sizeof *branches);
    }
    branches[count] = (struct lineage_branch){parent->generation, parent->step};
    *out = (struct lineage){
        .generation = generation,
        .has_parent = true,
        .parent = *parent,
        .branches = branches,
        .branch_count = count + 1,
    };
    return STATUS_OK;
}

static json_t *ref_to_json(const struct checkpoint_ref *ref)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(hex, &ref->digest);
    return json_pack("{s:I, s:I, s:s}", "step", (json_int_t)ref->step, "generation",
                     (json_int_t)ref->generation, "digest", hex);
}

bool lineage_to_json(const struct lineage *lineage, json_t *object)
{
    json_t *branches = json_array();
    bool done = branches != NULL;
    for (size_t i = 0; done && i < lineage->branch_count; i++) {
        const struct lineage_branch *branch = &lineage->branches[i];
        json_t *pair = json_pack("{s:I, s:I}", "generation", (json_int_t)branch->generation, "step",
                                 (json_int_t)branch->step);
        done = json_array_append_new(branches, pair) == 0;
    }
    /* Setting to NULL, where memory was out, fails. */
    done = json_object_set_new(object, "lineage", branches) == 0 && done;
    done =
        json_object_set_new(object, "generation", json_integer(lineage->generation)) == 0 && done;
    json_t *parent = lineage->has_parent ? ref_to_json(&lineage->parent) : json_null();
    return json_object_set_new(object, "parent", parent) == 0 && done;
}

static bool numbers_fit(int64_t generation, int64_t step)
{
    return generation >= 1 && generation <= STORE_GENERATION_MAX && step >= 0 && step <= STEPS_MAX;
}

static bool ref_from_json(struct checkpoint_ref *out, const json_t *object)
{
    out->step = json_get_int(object, "step", -1);
    out->generation = json_get_int(object, "generation", -1);
    return numbers_fit(out->generation, out->step) &&
           digest_from_hex(&out->digest, json_get_text(object, "digest", ""));
}

enum status lineage_from_json(struct lineage *out, const json_t *object, struct arena *arena,
                              struct error *err)
{
    const json_t *parent = json_object_get(object, "parent");
    const json_t *list = json_object_get(object, "lineage");
    struct lineage lineage = {.generation = json_get_int(object, "generation", -1)};

    lineage.has_parent = !json_is_null(parent);
    if (!numbers_fit(lineage.generation, 0) || !json_is_array(list) ||
        (lineage.has_parent && !ref_from_json(&lineage.parent, parent))) {
        return error_set(err, STATUS_CORRUPT, "bad generation, parent or lineage");
    }
    size_t count = json_array_size(list);
    struct lineage_branch *branches = arena_alloc_array(arena, count, sizeof *branches);
    if (branches == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(list, i);
        branches[i].generation = json_get_int(pair, "generation", -1);
        branches[i].step = json_get_int(pair, "step", -1);
        if (!numbers_fit(branches[i].generation, branches[i].step) ||
            branches[i].generation >= lineage.generation) {
            return error_set(err, STATUS_CORRUPT, "bad entry %zu of lineage", i);
        }
    }
    lineage.branches = branches;
    lineage.branch_count = count;
    *out = lineage;
    return STATUS_OK;
}
