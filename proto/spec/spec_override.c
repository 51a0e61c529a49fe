#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/limits.h"
#include "proto/spec/schema_internal.h"
#include "proto/spec/spec.h"
#include "proto/spec/yaml.h"

/*
 * assignment = path "=" value
 * path       = key { "." key | "[" index "]" }
 */

/* One part of the path: a key, or an index when key is NULL. */
struct step {
    const char *key;
    size_t index;
};

struct override {
    struct arena arena;
    const struct schema *schema;
    struct step steps[JSON_DEPTH_MAX];
    size_t step_count;
    char *path;        /* as it was given */
    const char *value; /* the text after '=' */
};

/* ---- Reading the assignment ---- */

static enum status refuse(const struct override *override, const char *problem, struct error *err)
{
    enum status status =
        error_set(err, STATUS_INVALID, "override '%.200s': %s", override->path, problem);
    error_set_field(err, "%.100s", override->path);
    error_set_hint(err, "write key.path=value, e.g. optimizer.lr=1e-3 or data.train[0].weight=2");
    return status;
}

/* Takes "[index]" at *at. */
static enum status read_index(const struct override *override, char **at, size_t *index,
                              struct error *err)
{
    char *end = *at + 1;
    if (!isdigit((unsigned char)*end)) {
        return refuse(override, "an index is a number", err);
    }
    *index = strtoul(*at + 1, &end, 10);
    if (*end != ']') {
        return refuse(override, "']' is missing", err);
    }
    *at = end + 1;
    return STATUS_OK;
}

/* Takes a key at *at, which ends at '.', '[' or the end of the text; ends it with a NUL. */
static enum status read_key(struct override *override, char **at, const char **key,
                            struct error *err)
{
    const size_t size = strcspn(*at, ".[]");
    if (size == 0) {
        return refuse(override, "a key is empty", err);
    }
    *key = arena_strndup(&override->arena, *at, size);
    *at += size;
    return *key ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "override: out of memory");
}

static enum status read_path(struct override *override, struct error *err)
{
    char *at = override->path;
    while (*at != '\0') {
        if (override->step_count == JSON_DEPTH_MAX) {
            return refuse(override, "the path is too long", err);
        }
        struct step *step = &override->steps[override->step_count];
        enum status status = STATUS_OK;
        if (*at == '[' && override->step_count > 0) {
            status = read_index(override, &at, &step->index, err);
        } else {
            at += *at == '.' && override->step_count > 0;
            status = read_key(override, &at, &step->key, err);
        }
        if (status) {
            return status;
        }
        override->step_count++;
    }
    return override->step_count ? STATUS_OK : refuse(override, "the path is empty", err);
}

/* The value as JSON: a list, an object or quoted text as in YAML, all else one plain scalar,
 * whatever characters it has. */
static enum status read_value(struct override *override, const json_t *node, json_t **out,
                              struct error *err)
{
    const char *text = override->value;
    if (*text != '\0' && strchr("[{\"'", *text)) {
        struct yaml_node *tree = NULL;
        char what[ERROR_FIELD_BYTES];
        (void)snprintf(what, sizeof what, "override '%.100s'", override->path);
        enum status status = yaml_read(&tree, &override->arena, text, strlen(text), what, err);
        return status ? status : yaml_to_json(out, tree, override->schema, node, what, err);
    }
    const struct schema_view view = {.types = SCHEMA_TYPES_SCALAR};
    const unsigned types = schema_types(schema_select(override->schema, node, &view));
    *out = yaml_plain_to_json(text, types);
    return *out ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "override: out of memory");
}

/* ---- Applying it ---- */

/* The schema of a step's value, where instance is what the step starts from. */
static const json_t *node_below(const struct override *override, const json_t *node,
                                const json_t *instance, const struct step *step)
{
    const struct schema_view view = schema_view_of(instance);
    const json_t *picked = schema_select(override->schema, node, &view);
    return step->key ? schema_property(override->schema, picked, step->key)
                     : schema_items(override->schema, picked);
}

static json_t *child_of(const json_t *value, const struct step *step)
{
    return step->key ? json_object_get(value, step->key) : json_array_get(value, step->index);
}

/* Sets what a step leads to; steals child. */
static enum status set_child(const struct override *override, json_t *value,
                             const struct step *step, json_t *child, struct error *err)
{
    int result = 0;
    if (step->key) {
        result = json_object_set_new(value, step->key, child);
    } else if (step->index < json_array_size(value)) {
        result = json_array_set_new(value, step->index, child);
    } else if (step->index == json_array_size(value)) {
        result = json_array_append_new(value, child);
    } else {
        json_decref(child);
        enum status status = refuse(override, "the list is not that long", err);
        error_set_hint(err, "it has %zu items; [%zu] appends one", json_array_size(value),
                       json_array_size(value));
        return status;
    }
    return result == 0 ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "override: out of memory");
}

static void remove_child(json_t *value, const struct step *step)
{
    if (step->key) {
        (void)json_object_del(value, step->key);
    } else {
        (void)json_array_remove(value, step->index);
    }
}

/* Whether value can be stepped into; a wrong spec can have anything anywhere. */
static enum status check_container(const struct override *override, const json_t *value,
                                   const struct step *step, struct error *err)
{
    if (step->key ? json_is_object(value) : json_is_array(value)) {
        return STATUS_OK;
    }
    return refuse(override,
                  step->key ? "leads into something that is not an object"
                            : "leads into something that is not a list",
                  err);
}

static enum status assign(struct override *override, json_t *spec, struct error *err)
{
    const json_t *node = schema_document(override->schema);
    json_t *value = spec;
    for (size_t i = 0;; i++) {
        const struct step *step = &override->steps[i];
        enum status status = check_container(override, value, step, err);
        if (status) {
            return status;
        }
        node = node_below(override, node, value, step);
        if (i + 1 == override->step_count) {
            if (strcmp(override->value, "null") == 0) {
                remove_child(value, step);
                return STATUS_OK;
            }
            json_t *child = NULL;
            status = read_value(override, node, &child, err);
            return status ? status : set_child(override, value, step, child, err);
        }
        if (!child_of(value, step)) {
            json_t *child = override->steps[i + 1].key ? json_object() : json_array();
            status = set_child(override, value, step, child, err);
            if (status) {
                return status;
            }
        }
        value = child_of(value, step);
    }
}

enum status spec_override(json_t *spec, const char *assignment, struct error *err)
{
    struct override override = {0};
    const char *equals = strchr(assignment, '=');
    const size_t path_size = equals ? (size_t)(equals - assignment) : strlen(assignment);
    enum status status = spec_schema(&override.schema, err);
    if (status) {
        return status;
    }
    override.value = equals ? equals + 1 : "";
    override.path = arena_strndup(&override.arena, assignment, path_size);
    if (!override.path) {
        status = error_set(err, STATUS_NO_MEMORY, "override: out of memory");
    } else if (strlen(assignment) > SPEC_BYTES_MAX) {
        status = error_set(err, STATUS_LIMIT, "override: has %zu bytes; the maximum is %zu",
                           strlen(assignment), SPEC_BYTES_MAX);
    } else if (!equals) {
        status = refuse(&override, "'=' is missing", err);
    } else {
        status = read_path(&override, err);
    }
    if (!status) {
        status = assign(&override, spec, err);
    }
    arena_deinit(&override.arena);
    return status;
}
