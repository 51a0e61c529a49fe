#include "proto/spec/spec.h"

#include <libgen.h>
#include <stdatomic.h>
#include <string.h>

#include "embedded/job_schema_json.h"
#include "proto/base/arena.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/spec/spec_internal.h"
#include "proto/spec/yaml.h"

enum status spec_schema(const struct schema **out, struct error *err)
{
    /* Read-only once it is there; of two threads that make it at once, one throws its own away. */
    static _Atomic(struct schema *) shared;

    struct schema *schema = atomic_load(&shared);
    if (!schema) {
        struct schema *made = NULL;
        enum status status =
            schema_create(&made, job_schema_json, job_schema_json_size, "job.schema.json", err);
        if (status) {
            return status;
        }
        if (atomic_compare_exchange_strong(&shared, &schema, made)) {
            schema = made;
        } else {
            schema_destroy(made);
        }
    }
    *out = schema;
    return STATUS_OK;
}

/* ---- From text to JSON ---- */

enum spec_format spec_format_of(const char *path)
{
    const size_t size = strlen(path);
    const bool is_json = size >= 5 && strcmp(path + size - 5, ".json") == 0;
    return is_json ? SPEC_FORMAT_JSON : SPEC_FORMAT_YAML;
}

static enum status parse_yaml(json_t **out, const char *text, size_t size, const char *what,
                              struct error *err)
{
    struct arena arena = {0};
    struct yaml_node *root = NULL;
    const struct schema *schema = NULL;
    enum status status = spec_schema(&schema, err);
    if (!status) {
        status = yaml_read(&root, &arena, text, size, what, err);
    }
    if (!status) {
        status = yaml_to_json(out, root, schema, schema_document(schema), what, err);
    }
    arena_deinit(&arena);
    return status;
}

enum status spec_parse(json_t **out, const char *text, size_t size, enum spec_format format,
                       const char *what, struct error *err)
{
    if (size > SPEC_BYTES_MAX) {
        return error_set(err, STATUS_LIMIT, "%s: has %zu bytes; the maximum is %zu", what, size,
                         SPEC_BYTES_MAX);
    }
    json_t *spec = NULL;
    enum status status = format == SPEC_FORMAT_JSON ? json_parse(&spec, text, size, what, err)
                                                    : parse_yaml(&spec, text, size, what, err);
    if (status) {
        return status;
    }
    if (!json_is_object(spec)) {
        json_decref(spec);
        status = error_set(err, STATUS_INVALID, "%s: is not a mapping of fields", what);
        error_set_hint(err, "a spec begins like 'kind: train'");
        return status;
    }
    *out = spec;
    return STATUS_OK;
}

static enum status load_parsed(json_t *spec, const char *path, const char *const *overrides,
                               size_t override_count, struct error *err)
{
    char folder[PATH_BYTES_MAX];
    enum status status = path_printf(folder, err, "%s", path);
    for (size_t i = 0; i < override_count && !status; i++) {
        status = spec_override(spec, overrides[i], err);
    }
    if (!status) {
        status = spec_resolve_paths(spec, dirname(folder), err);
    }
    return status ? status : spec_validate(spec, err);
}

enum status spec_load(json_t **out, const char *path, const char *const *overrides,
                      size_t override_count, struct error *err)
{
    struct bytes text = {0};
    json_t *spec = NULL;

    enum status status = file_read(&text, path, SPEC_BYTES_MAX, err);
    if (!status) {
        status = spec_parse(&spec, text.data ? text.data : "", text.size, spec_format_of(path),
                            path, err);
    }
    if (!status) {
        status = load_parsed(spec, path, overrides, override_count, err);
    }
    if (!status) {
        *out = json_incref(spec);
    }
    json_decref(spec);
    bytes_deinit(&text);
    return status;
}

/* ---- The canonical form ---- */

enum status spec_validate_all(json_t *spec, struct schema_problems *problems, struct error *err)
{
    struct schema_problems own = {0};
    struct schema_problems *found = problems ? problems : &own;
    const struct schema *schema = NULL;
    enum status status = spec_schema(&schema, err);
    if (!status) {
        status = schema_apply(schema, schema_document(schema), spec, "", found, err);
    }
    return status ? status : spec_check_rules(spec, found, err);
}

enum status spec_validate(json_t *spec, struct error *err)
{
    return spec_validate_all(spec, NULL, err);
}

enum status spec_canonical(struct bytes *out, const json_t *spec, struct error *err)
{
    json_canonical(out, spec);
    return bytes_status(out, "spec", err);
}

enum status spec_digest(struct digest *out, const json_t *spec, struct error *err)
{
    struct bytes text = {0};
    enum status status = spec_canonical(&text, spec, err);
    if (!status) {
        digest_of(out, text.data, text.size);
    }
    bytes_deinit(&text);
    return status;
}

/* ---- Small questions ---- */

enum spec_kind spec_kind(const json_t *spec)
{
    return strcmp(json_get_text(spec, "kind", ""), "prepare") == 0 ? SPEC_KIND_PREPARE
                                                                   : SPEC_KIND_TRAIN;
}

const char *spec_name(const json_t *spec)
{
    return json_get_text(spec, "name", "");
}

int64_t spec_slots(const json_t *spec)
{
    const json_t *launch = json_object_get(spec, "launch");
    return json_get_int(launch, "ranks", 1) * json_get_int(launch, "threads_per_rank", 1);
}

int64_t spec_max_attempts(const json_t *spec)
{
    return json_get_int(json_object_get(spec, "retry"), "max_attempts", 1);
}
