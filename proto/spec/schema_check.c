#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/spec/schema.h"
#include "proto/spec/schema_internal.h"

/* What a keyword expects as its value. */
enum argument {
    ARGUMENT_TEXT,
    ARGUMENT_BOOLEAN,
    ARGUMENT_COUNT,
    ARGUMENT_NUMBER,
    ARGUMENT_TYPES,       /* a type's name or a list of them */
    ARGUMENT_SCALAR,      /* text, number, boolean */
    ARGUMENT_SCALARS,     /* a list of them, not empty */
    ARGUMENT_TEXTS,       /* a list of text */
    ARGUMENT_TEXT_MAP,    /* an object of text */
    ARGUMENT_PATTERN,     /* POSIX extended syntax, which ours share with ECMA 262 */
    ARGUMENT_REFERENCE,   /* "#/pointer" */
    ARGUMENT_PATH_KIND,   /* of x-path */
    ARGUMENT_INSTANCE,    /* of the node itself: default */
    ARGUMENT_SCHEMA,      /* a subschema */
    ARGUMENT_SCHEMA_LIST, /* alternatives */
    ARGUMENT_SCHEMA_MAP,  /* subschemas by name */
};

/* All that the validator knows; schema_check refuses the rest. */
static const struct keyword {
    const char *name;
    enum argument argument;
} keywords[] = {
    {"$schema", ARGUMENT_TEXT},
    {"$id", ARGUMENT_TEXT},
    {"$ref", ARGUMENT_REFERENCE},
    {"$defs", ARGUMENT_SCHEMA_MAP},
    {"title", ARGUMENT_TEXT},
    {"description", ARGUMENT_TEXT},
    {"default", ARGUMENT_INSTANCE},
    {"type", ARGUMENT_TYPES},
    {"const", ARGUMENT_SCALAR},
    {"enum", ARGUMENT_SCALARS},
    {"oneOf", ARGUMENT_SCHEMA_LIST},
    {"properties", ARGUMENT_SCHEMA_MAP},
    {"required", ARGUMENT_TEXTS},
    {"additionalProperties", ARGUMENT_BOOLEAN},
    {"items", ARGUMENT_SCHEMA},
    {"minItems", ARGUMENT_COUNT},
    {"maxItems", ARGUMENT_COUNT},
    {"minLength", ARGUMENT_COUNT},
    {"maxLength", ARGUMENT_COUNT},
    {"pattern", ARGUMENT_PATTERN},
    {"minimum", ARGUMENT_NUMBER},
    {"maximum", ARGUMENT_NUMBER},
    {"exclusiveMinimum", ARGUMENT_NUMBER},
    {"exclusiveMaximum", ARGUMENT_NUMBER},
    {"x-discriminator", ARGUMENT_TEXT},
    {"x-path", ARGUMENT_PATH_KIND},
    {"x-refused", ARGUMENT_TEXT_MAP},
    {"x-aliases", ARGUMENT_TEXTS},
    {"x-hint", ARGUMENT_TEXT},
    {"x-version", ARGUMENT_COUNT},
};

static const struct keyword *keyword_find(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strcmp(keywords[i].name, name) == 0) {
            return &keywords[i];
        }
    }
    return NULL;
}

static enum status check_refuse(const struct schema *schema, const char *pointer,
                                const char *keyword, const char *why, struct error *err)
{
    return error_set(err, STATUS_INVALID, "schema '%s' at %s: '%s' %s", schema->what,
                     *pointer ? pointer : "/", keyword, why);
}

static bool is_list_of(const json_t *value, unsigned types, size_t count_min)
{
    if (!json_is_array(value) || json_array_size(value) < count_min) {
        return false;
    }
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(value, i, item)
    {
        if (!(schema_type_of(item) & types)) {
            return false;
        }
    }
    return true;
}

static bool is_text_map(const json_t *value)
{
    const char *key = NULL;
    json_t *item = NULL;
    json_object_foreach(schema_iterable(value), key, item)
    {
        if (!json_is_string(item)) {
            return false;
        }
    }
    return json_is_object(value);
}

static bool is_pattern(const json_t *value)
{
    regex_t regex;
    if (!json_is_string(value) ||
        regcomp(&regex, json_string_value(value), REG_EXTENDED | REG_NOSUB) != 0) {
        return false;
    }
    regfree(&regex);
    return true;
}

static bool is_path_kind(const json_t *value)
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    return strcmp(text, "file") == 0 || strcmp(text, "folder") == 0 || strcmp(text, "glob") == 0 ||
           strcmp(text, "checkpoint") == 0 || strcmp(text, "output") == 0;
}

/* Whether default would pass node's own checks. */
static bool is_valid_default(const struct schema *schema, const json_t *node, const json_t *value)
{
    json_t *copy = json_deep_copy(value);
    enum status status = copy ? schema_apply(schema, node, copy, "", NULL, NULL) : STATUS_NO_MEMORY;
    json_decref(copy);
    return status == STATUS_OK;
}

/* Arguments that are no subschemas. */
static bool argument_is_valid(const struct schema *schema, const json_t *node,
                              enum argument argument, const json_t *value)
{
    const unsigned scalars = SCHEMA_TYPES_SCALAR & ~(unsigned)SCHEMA_TYPE_NULL;
    switch (argument) {
    case ARGUMENT_TEXT:
        return json_is_string(value);
    case ARGUMENT_BOOLEAN:
        return json_is_boolean(value);
    case ARGUMENT_COUNT:
        return json_is_integer(value) && json_integer_value(value) >= 0;
    case ARGUMENT_NUMBER:
        return json_is_number(value);
    case ARGUMENT_TYPES:
        return (json_is_string(value) || is_list_of(value, SCHEMA_TYPE_STRING, 1)) &&
               schema_types(node) != 0;
    case ARGUMENT_SCALAR:
        return (schema_type_of(value) & scalars) != 0;
    case ARGUMENT_SCALARS:
        return is_list_of(value, scalars, 1);
    case ARGUMENT_TEXTS:
        return is_list_of(value, SCHEMA_TYPE_STRING, 0);
    case ARGUMENT_TEXT_MAP:
        return is_text_map(value);
    case ARGUMENT_PATTERN:
        return is_pattern(value);
    case ARGUMENT_REFERENCE:
        return json_object_size(node) == 1 && schema_deref(schema, node);
    case ARGUMENT_PATH_KIND:
        return is_path_kind(value);
    case ARGUMENT_INSTANCE:
        return is_valid_default(schema, node, value);
    case ARGUMENT_SCHEMA:
    case ARGUMENT_SCHEMA_MAP:
        return json_is_object(value);
    case ARGUMENT_SCHEMA_LIST:
        return is_list_of(value, SCHEMA_TYPE_OBJECT, 1);
    }
    return false;
}

/* Each alternative must be told apart in the way that the first one suggests. */
static bool union_is_readable(const struct schema *schema, const json_t *node)
{
    const char *discriminator = json_get_text(node, "x-discriminator", "");
    unsigned types_seen = 0;
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(node, "oneOf"), i, alternative)
    {
        const unsigned types = schema_types(schema_deref(schema, alternative));
        bool fits = false;
        switch (schema_union_of(schema, node)) {
        case SCHEMA_UNION_NONE:
            break;
        case SCHEMA_UNION_DISCRIMINATED:
            fits = schema_alternative_name(schema, alternative, discriminator) != NULL;
            break;
        case SCHEMA_UNION_REQUIRED:
            fits = schema_required_field(alternative) != NULL;
            break;
        case SCHEMA_UNION_PRESENT:
            fits = schema_present_field(schema, alternative) != NULL;
            break;
        case SCHEMA_UNION_TYPED:
            fits = types != 0 && !(types & types_seen);
            types_seen |= types;
            break;
        }
        if (!fits) {
            return false;
        }
    }
    return true;
}

static enum status check_node(const struct schema *schema, const json_t *node, const char *pointer,
                              struct error *err);

/* The subschemas below a keyword, if it has any. */
static enum status check_subschemas(const struct schema *schema, const struct keyword *keyword,
                                    const json_t *value, const char *pointer, struct error *err)
{
    char below[ERROR_FIELD_BYTES];
    enum status status = STATUS_OK;
    if (keyword->argument == ARGUMENT_SCHEMA) {
        (void)snprintf(below, sizeof below, "%s/%s", pointer, keyword->name);
        status = check_node(schema, value, below, err);
    } else if (keyword->argument == ARGUMENT_SCHEMA_LIST) {
        for (size_t i = 0; i < json_array_size(value) && !status; i++) {
            (void)snprintf(below, sizeof below, "%s/%s/%zu", pointer, keyword->name, i);
            status = check_node(schema, json_array_get(value, i), below, err);
        }
    } else if (keyword->argument == ARGUMENT_SCHEMA_MAP) {
        const char *key = NULL;
        json_t *item = NULL;
        json_object_foreach(schema_iterable(value), key, item)
        {
            (void)snprintf(below, sizeof below, "%s/%s/%s", pointer, keyword->name, key);
            status = check_node(schema, item, below, err);
            if (status) {
                break;
            }
        }
    }
    return status;
}

static enum status check_node(const struct schema *schema, const json_t *node, const char *pointer,
                              struct error *err)
{
    if (!json_is_object(node)) {
        return check_refuse(schema, pointer, "schema", "is not an object", err);
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(schema_iterable(node), key, value)
    {
        const struct keyword *keyword = keyword_find(key);
        if (!keyword) {
            return check_refuse(schema, pointer, key, "is a keyword the validator does not know",
                                err);
        }
        if (!argument_is_valid(schema, node, keyword->argument, value)) {
            return check_refuse(schema, pointer, key, "has a value it cannot have", err);
        }
        enum status status = check_subschemas(schema, keyword, value, pointer, err);
        if (status) {
            return status;
        }
    }
    if (json_object_get(node, "oneOf") && !union_is_readable(schema, node)) {
        return check_refuse(schema, pointer, "oneOf", "has alternatives that cannot be told apart",
                            err);
    }
    return STATUS_OK;
}

enum status schema_check(const struct schema *schema, const json_t *node, struct error *err)
{
    return check_node(schema, node, "", err);
}
