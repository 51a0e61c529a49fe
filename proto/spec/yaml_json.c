#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/limits.h"
#include "proto/spec/yaml.h"

/* One conversion: what the recursion needs everywhere. */
struct convert {
    const struct schema *schema;
    const char *what;
    struct error *err;
};

/* ---- Plain scalars ---- */

static size_t digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* [-+]? (0 | [1-9][0-9]*)? (. [0-9]*)? ([eE] [-+]? [0-9]+)?, with a digit before or after the
 * point. */
static bool is_number(const char *text, bool *is_whole)
{
    *is_whole = true;
    text += *text == '-' || *text == '+';
    const size_t before = digits(text);
    if (before > 1 && text[0] == '0') {
        return false;
    }
    text += before;
    size_t after = 0;
    if (*text == '.') {
        *is_whole = false;
        after = digits(text + 1);
        text += 1 + after;
    }
    if (before + after == 0) {
        return false;
    }
    if (*text == 'e' || *text == 'E') {
        *is_whole = false;
        text++;
        text += *text == '-' || *text == '+';
        const size_t exponent = digits(text);
        if (exponent == 0) {
            return false;
        }
        text += exponent;
    }
    return *text == '\0';
}

/* Sets *out to NULL when memory is out; false when text is no (finite) number. */
static bool number_from_text(const char *text, json_t **out)
{
    bool is_whole = false;
    if (!is_number(text, &is_whole)) {
        return false;
    }
    errno = 0;
    if (is_whole) {
        const long long integer = strtoll(text, NULL, 10);
        if (errno == 0) {
            *out = json_integer(integer);
            return true;
        }
    }
    const double real = strtod(text, NULL);
    if (!isfinite(real)) {
        return false;
    }
    *out = json_real(real);
    return true;
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

json_t *yaml_plain_to_json(const char *text, unsigned types)
{
    const bool is_guess = !(types & SCHEMA_TYPES_SCALAR);
    const unsigned numbers = SCHEMA_TYPE_INTEGER | SCHEMA_TYPE_NUMBER;
    json_t *number = NULL;
    if (*text == '\0') {
        return json_null();
    }
    if ((is_guess || (types & numbers)) && number_from_text(text, &number)) {
        return number;
    }
    if (is_guess || (types & SCHEMA_TYPE_BOOLEAN)) {
        if (is_one_of(text, "true", "True", "TRUE")) {
            return json_true();
        }
        if (is_one_of(text, "false", "False", "FALSE")) {
            return json_false();
        }
    }
    const bool is_null = strcmp(text, "~") == 0 || is_one_of(text, "null", "Null", "NULL");
    if (is_null && !(types & SCHEMA_TYPE_STRING)) {
        return json_null();
    }
    return json_string(text);
}

/* ---- Trees ---- */

static const char *mapping_member_text(const void *instance, const char *key)
{
    const struct yaml_node *mapping = instance;
    for (const struct yaml_node *child = mapping->first; child; child = child->next->next) {
        if (strcmp(child->text, key) == 0) {
            return child->next->kind == YAML_KIND_SCALAR ? child->next->text : "";
        }
    }
    return NULL;
}

static struct schema_view view_of(const struct yaml_node *node)
{
    struct schema_view view = {.member_text = mapping_member_text, .instance = node};
    switch (node->kind) {
    case YAML_KIND_SCALAR:
        view.types = node->is_plain ? SCHEMA_TYPES_SCALAR : SCHEMA_TYPE_STRING;
        break;
    case YAML_KIND_LIST:
        view.types = SCHEMA_TYPE_ARRAY;
        break;
    case YAML_KIND_MAPPING:
        view.types = SCHEMA_TYPE_OBJECT;
        break;
    }
    return view;
}

static enum status out_of_memory(const struct convert *convert)
{
    return error_set(convert->err, STATUS_NO_MEMORY, "%s: out of memory", convert->what);
}

static enum status convert_node(const struct convert *convert, const struct yaml_node *node,
                                const json_t *expected, json_t **out);

// NOLINTNEXTLINE(misc-no-recursion): yaml_read bounds the depth
static enum status convert_list(const struct convert *convert, const struct yaml_node *node,
                                const json_t *expected, json_t *list)
{
    const json_t *items = schema_items(convert->schema, expected);
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        json_t *value = NULL;
        enum status status = convert_node(convert, child, items, &value);
        if (status) {
            return status;
        }
        if (json_array_append_new(list, value) != 0) {
            return out_of_memory(convert);
        }
    }
    return STATUS_OK;
}

// NOLINTNEXTLINE(misc-no-recursion)
static enum status convert_mapping(const struct convert *convert, const struct yaml_node *node,
                                   const json_t *expected, json_t *object)
{
    for (const struct yaml_node *key = node->first; key; key = key->next->next) {
        if (json_object_get(object, key->text)) {
            return error_set(convert->err, STATUS_INVALID,
                             "%s: line %zu, column %zu: the key '%.80s' stands here twice",
                             convert->what, key->line, key->column, key->text);
        }
        const json_t *property = schema_property(convert->schema, expected, key->text);
        json_t *value = NULL;
        enum status status = convert_node(convert, key->next, property, &value);
        if (status) {
            return status;
        }
        if (json_object_set_new(object, key->text, value) != 0) {
            return out_of_memory(convert);
        }
    }
    return STATUS_OK;
}

// NOLINTNEXTLINE(misc-no-recursion)
static enum status convert_node(const struct convert *convert, const struct yaml_node *node,
                                const json_t *expected, json_t **out)
{
    const struct schema_view view = view_of(node);
    const json_t *picked = schema_select(convert->schema, expected, &view);
    enum status status = STATUS_OK;
    json_t *value = NULL;
    switch (node->kind) {
    case YAML_KIND_SCALAR:
        value = node->is_plain ? yaml_plain_to_json(node->text, schema_types(picked))
                               : json_string(node->text);
        break;
    case YAML_KIND_LIST:
        value = json_array();
        status = value ? convert_list(convert, node, picked, value) : STATUS_OK;
        break;
    case YAML_KIND_MAPPING:
        value = json_object();
        status = value ? convert_mapping(convert, node, picked, value) : STATUS_OK;
        break;
    }
    if (!value) {
        return out_of_memory(convert);
    }
    if (status) {
        json_decref(value);
        return status;
    }
    *out = value;
    return STATUS_OK;
}

enum status yaml_to_json(json_t **out, const struct yaml_node *root, const struct schema *schema,
                         const json_t *node, const char *what, struct error *err)
{
    const struct convert convert = {.schema = schema, .what = what, .err = err};
    return convert_node(&convert, root, node, out);
}
