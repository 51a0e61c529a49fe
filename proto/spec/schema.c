#include "proto/spec/schema.h"

#include <string.h>

#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/spec/schema_internal.h"

/* ---- Documents ---- */

enum status schema_create(struct schema **out, const char *text, size_t size, const char *what,
                          struct error *err)
{
    json_t *document = NULL;
    enum status status = json_parse(&document, text, size, what, err);
    if (status) {
        return status;
    }
    struct schema *schema = sys_calloc(1, sizeof *schema);
    char *name = sys_strdup(what);
    if (!schema || !name) {
        free(schema);
        free(name);
        json_decref(document);
        return error_set(err, STATUS_NO_MEMORY, "schema '%s': out of memory", what);
    }
    schema->document = document;
    schema->what = name;
    *out = schema;
    return STATUS_OK;
}

void schema_destroy(struct schema *schema)
{
    if (!schema) {
        return;
    }
    json_decref(schema->document);
    free(schema->what);
    free(schema);
}

const json_t *schema_document(const struct schema *schema)
{
    return schema->document;
}

/* RFC 6901 without its escapes, which our names do not need. */
static const json_t *pointer_follow(const json_t *document, const char *pointer)
{
    const json_t *node = document;
    while (node && *pointer == '/') {
        const char *key = pointer + 1;
        const size_t size = strcspn(key, "/");
        node = json_object_getn(node, key, size);
        pointer = key + size;
    }
    return *pointer == '\0' ? node : NULL;
}

const json_t *schema_deref(const struct schema *schema, const json_t *node)
{
    for (int i = 0; i < SCHEMA_REF_MAX; i++) {
        const char *reference = json_get_text(node, "$ref", NULL);
        if (!reference) {
            return node;
        }
        if (reference[0] != '#') {
            return NULL;
        }
        node = pointer_follow(schema->document, reference + 1);
    }
    return NULL;
}

/* ---- Walking ---- */

const char *schema_required_field(const json_t *alternative)
{
    const json_t *required = json_object_get(alternative, "required");
    if (json_object_size(alternative) != 1 || json_array_size(required) != 1) {
        return NULL;
    }
    return json_string_value(json_array_get(required, 0));
}

const char *schema_present_field(const struct schema *schema, const json_t *alternative)
{
    const json_t *node = schema_deref(schema, alternative);
    const json_t *required = json_object_get(node, "required");
    return schema_types(node) == SCHEMA_TYPE_OBJECT ? json_string_value(json_array_get(required, 0))
                                                    : NULL;
}

enum schema_union schema_union_of(const struct schema *schema, const json_t *node)
{
    const json_t *alternatives = json_object_get(node, "oneOf");
    const json_t *first = json_array_get(alternatives, 0);
    if (!alternatives) {
        return SCHEMA_UNION_NONE;
    }
    if (json_object_get(node, "x-discriminator")) {
        return SCHEMA_UNION_DISCRIMINATED;
    }
    if (schema_required_field(first)) {
        return SCHEMA_UNION_REQUIRED;
    }
    return schema_present_field(schema, first) ? SCHEMA_UNION_PRESENT : SCHEMA_UNION_TYPED;
}

const char *schema_alternative_name(const struct schema *schema, const json_t *alternative,
                                    const char *discriminator)
{
    const json_t *node = schema_deref(schema, alternative);
    const json_t *property = json_object_get(json_object_get(node, "properties"), discriminator);
    return json_get_text(property, "const", NULL);
}

static const json_t *select_discriminated(const struct schema *schema, const json_t *node,
                                          const struct schema_view *view)
{
    const char *discriminator = json_get_text(node, "x-discriminator", "");
    const char *text =
        view->types == SCHEMA_TYPE_OBJECT ? view->member_text(view->instance, discriminator) : NULL;
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(node, "oneOf"), i, alternative)
    {
        const char *name = schema_alternative_name(schema, alternative, discriminator);
        if (text && name && strcmp(name, text) == 0) {
            return alternative;
        }
    }
    return NULL;
}

static const json_t *select_present(const struct schema *schema, const json_t *node,
                                    const struct schema_view *view)
{
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(node, "oneOf"), i, alternative)
    {
        const char *field = schema_present_field(schema, alternative);
        if (view->types == SCHEMA_TYPE_OBJECT && view->member_text(view->instance, field)) {
            return alternative;
        }
    }
    return NULL;
}

static const json_t *select_typed(const struct schema *schema, const json_t *node,
                                  const struct schema_view *view)
{
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(node, "oneOf"), i, alternative)
    {
        if (schema_types(schema_deref(schema, alternative)) & view->types) {
            return alternative;
        }
    }
    return NULL;
}

const json_t *schema_select(const struct schema *schema, const json_t *node,
                            const struct schema_view *view)
{
    for (int i = 0; i < SCHEMA_REF_MAX && node; i++) {
        node = schema_deref(schema, node);
        switch (schema_union_of(schema, node)) {
        case SCHEMA_UNION_NONE:
        case SCHEMA_UNION_REQUIRED:
            return node;
        case SCHEMA_UNION_DISCRIMINATED:
            node = select_discriminated(schema, node, view);
            break;
        case SCHEMA_UNION_PRESENT:
            node = select_present(schema, node, view);
            break;
        case SCHEMA_UNION_TYPED:
            node = select_typed(schema, node, view);
            break;
        }
    }
    return NULL;
}

const json_t *schema_property(const struct schema *schema, const json_t *node, const char *key)
{
    return schema_deref(schema, json_object_get(json_object_get(node, "properties"), key));
}

const json_t *schema_items(const struct schema *schema, const json_t *node)
{
    return schema_deref(schema, json_object_get(node, "items"));
}

unsigned schema_type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return SCHEMA_TYPE_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return SCHEMA_TYPE_BOOLEAN;
    case JSON_INTEGER:
        return SCHEMA_TYPE_INTEGER | SCHEMA_TYPE_NUMBER;
    case JSON_REAL:
        return SCHEMA_TYPE_NUMBER;
    case JSON_STRING:
        return SCHEMA_TYPE_STRING;
    case JSON_ARRAY:
        return SCHEMA_TYPE_ARRAY;
    case JSON_OBJECT:
        return SCHEMA_TYPE_OBJECT;
    }
    return 0;
}

static unsigned type_from_name(const char *name)
{
    static const struct {
        const char *name;
        unsigned type;
    } types[] = {
        {"null", SCHEMA_TYPE_NULL},       {"boolean", SCHEMA_TYPE_BOOLEAN},
        {"integer", SCHEMA_TYPE_INTEGER}, {"number", SCHEMA_TYPE_NUMBER},
        {"string", SCHEMA_TYPE_STRING},   {"array", SCHEMA_TYPE_ARRAY},
        {"object", SCHEMA_TYPE_OBJECT},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0) {
            return types[i].type;
        }
    }
    return 0;
}

/* A listed 1 makes a field of whole numbers. */
static unsigned type_of_listed(const json_t *value)
{
    return json_is_integer(value) ? SCHEMA_TYPE_INTEGER : schema_type_of(value);
}

/* Types of the values that const or enum lists. */
static unsigned types_of_values(const json_t *node)
{
    const json_t *constant = json_object_get(node, "const");
    unsigned types = constant ? type_of_listed(constant) : 0;
    size_t i = 0;
    json_t *value = NULL;
    json_array_foreach(json_object_get(node, "enum"), i, value)
    {
        types |= type_of_listed(value);
    }
    return types;
}

unsigned schema_types(const json_t *node)
{
    const json_t *type = json_object_get(node, "type");
    if (json_is_string(type)) {
        return type_from_name(json_string_value(type));
    }
    unsigned types = 0;
    size_t i = 0;
    json_t *name = NULL;
    json_array_foreach(type, i, name)
    {
        types |= type_from_name(json_string_value(name));
    }
    return type ? types : types_of_values(node);
}

static const char *json_member_text(const void *instance, const char *key)
{
    const json_t *member = json_object_get(instance, key);
    return member ? json_get_text(instance, key, "") : NULL;
}

struct schema_view schema_view_of(const json_t *instance)
{
    return (struct schema_view){
        .types = schema_type_of(instance), .member_text = json_member_text, .instance = instance};
}
