#include <stdio.h>
#include <string.h>

#include "proto/base/command.h"
#include "proto/base/json.h"
#include "proto/spec/schema_internal.h"

#define CANDIDATES_MAX 64
/* A value longer than this is cut in messages. */
#define VALUE_BYTES_SHOWN 80

/* ---- Paths ---- */

static size_t path_push(struct schema_path *path, const char *text)
{
    const size_t before = path->size;
    const size_t size = strlen(text);
    if (before + size < sizeof path->text) {
        memcpy(path->text + before, text, size + 1);
        path->size += size;
    }
    return before;
}

/* Keys come from people and may hold anything; odd ones are shown as JSON text in brackets. */
static bool key_is_plain(const char *key)
{
    const size_t size =
        strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return size > 0 && key[size] == '\0';
}

size_t schema_path_push_key(struct schema_path *path, const char *key)
{
    char text[SCHEMA_TEXT_BYTES + 4];
    if (key_is_plain(key)) {
        (void)snprintf(text, sizeof text, "%s%.*s", path->size ? "." : "", VALUE_BYTES_SHOWN, key);
    } else {
        char quoted[SCHEMA_TEXT_BYTES];
        json_t *value = json_string(key);
        schema_value_text(quoted, value);
        json_decref(value);
        (void)snprintf(text, sizeof text, "[%s]", quoted);
    }
    return path_push(path, text);
}

size_t schema_path_push_index(struct schema_path *path, size_t index)
{
    char text[32];
    (void)snprintf(text, sizeof text, "[%zu]", index);
    return path_push(path, text);
}

void schema_path_pop(struct schema_path *path, size_t size)
{
    path->size = size;
    path->text[size] = '\0';
}

/* ---- Values and lists ---- */

/* Cuts text at a character's boundary. */
static void cut(char *text, size_t size_max)
{
    static const char ellipsis[] = "…";
    if (strlen(text) <= size_max) {
        return;
    }
    size_t size = size_max - strlen(ellipsis);
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80) {
        size--;
    }
    memcpy(text + size, ellipsis, sizeof ellipsis);
}

void schema_value_text(char out[SCHEMA_TEXT_BYTES], const json_t *value)
{
    if (json_is_object(value)) {
        (void)snprintf(out, SCHEMA_TEXT_BYTES, "an object");
        return;
    }
    if (json_is_array(value)) {
        (void)snprintf(out, SCHEMA_TEXT_BYTES, "a list of %zu", json_array_size(value));
        return;
    }
    struct bytes text = {0};
    json_canonical(&text, value);
    (void)snprintf(out, SCHEMA_TEXT_BYTES, "%.*s", SCHEMA_TEXT_BYTES - 1,
                   text.data ? text.data : "a value");
    cut(out, VALUE_BYTES_SHOWN);
    bytes_deinit(&text);
}

/* Appends to a list, ", " between items. */
static void list_append(char out[SCHEMA_TEXT_BYTES], const char *separator, const char *item)
{
    const size_t size = strlen(out);
    (void)snprintf(out + size, SCHEMA_TEXT_BYTES - size, "%s%s", size ? separator : "", item);
}

void schema_types_text(char out[SCHEMA_TEXT_BYTES], unsigned types)
{
    static const struct {
        unsigned type;
        const char *text;
    } names[] = {
        {SCHEMA_TYPE_NULL, "null"},        {SCHEMA_TYPE_BOOLEAN, "true or false"},
        {SCHEMA_TYPE_NUMBER, "a number"},  {SCHEMA_TYPE_INTEGER, "a whole number"},
        {SCHEMA_TYPE_STRING, "text"},      {SCHEMA_TYPE_ARRAY, "a list"},
        {SCHEMA_TYPE_OBJECT, "an object"},
    };
    if (types & SCHEMA_TYPE_NUMBER) {
        types &= ~(unsigned)SCHEMA_TYPE_INTEGER;
    }
    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (types & names[i].type) {
            list_append(out, " or ", names[i].text);
        }
    }
}

/* The choices of a node as an array of text; borrowed. */
static size_t choices_of(const struct schema *schema, const json_t *node,
                         const char *choices[CANDIDATES_MAX])
{
    const char *discriminator = json_get_text(node, "x-discriminator", NULL);
    const json_t *list = json_object_get(node, discriminator ? "oneOf" : "enum");
    size_t count = 0;
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(list, i, item)
    {
        const char *name = discriminator ? schema_alternative_name(schema, item, discriminator)
                                         : json_string_value(item);
        if (name && count < CANDIDATES_MAX) {
            choices[count++] = name;
        }
    }
    return count;
}

void schema_choices_text(char out[SCHEMA_TEXT_BYTES], const struct schema *schema,
                         const json_t *node)
{
    const char *choices[CANDIDATES_MAX];
    const size_t count = choices_of(schema, node, choices);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        list_append(out, ", ", choices[i]);
    }
}

void schema_keys_text(char out[SCHEMA_TEXT_BYTES], const json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    out[0] = '\0';
    json_object_foreach(schema_iterable(object), key, value)
    {
        list_append(out, ", ", key);
    }
}

/* ---- Did you mean ---- */

static bool has_alias(const json_t *property, const char *key)
{
    size_t i = 0;
    json_t *alias = NULL;
    json_array_foreach(json_object_get(property, "x-aliases"), i, alias)
    {
        if (strcmp(json_string_value(alias), key) == 0) {
            return true;
        }
    }
    return false;
}

/* The property of node that is called key or has that alias, or NULL. */
static const char *property_called(const struct schema *schema, const json_t *node, const char *key)
{
    const char *name = NULL;
    json_t *property = NULL;
    json_object_foreach(schema_iterable(json_object_get(node, "properties")), name, property)
    {
        if (strcmp(name, key) == 0 || has_alias(property, key) ||
            has_alias(schema_deref(schema, property), key)) {
            return name;
        }
    }
    return NULL;
}

/* What picks the alternative of a union that has the property, or NULL. */
static const char *sibling_with(const struct schema *schema, const json_t *union_node,
                                const char *key)
{
    const char *discriminator = json_get_text(union_node, "x-discriminator", NULL);
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(union_node, "oneOf"), i, alternative)
    {
        const json_t *node = schema_deref(schema, alternative);
        if (json_object_get(json_object_get(node, "properties"), key)) {
            return discriminator ? schema_alternative_name(schema, alternative, discriminator)
                                 : schema_present_field(schema, alternative);
        }
    }
    return NULL;
}

/* Looks for a property or alias below node, through alternatives; path then leads to it. */
// NOLINTNEXTLINE(misc-no-recursion): a schema's own depth, at most SCHEMA_REF_MAX
static bool find_below(const struct schema *schema, const json_t *node, const char *key, int depth,
                       struct schema_path *path)
{
    node = schema_deref(schema, node);
    const char *name = property_called(schema, node, key);
    if (name || depth == SCHEMA_REF_MAX) {
        (void)schema_path_push_key(path, name ? name : "");
        return name != NULL;
    }
    json_t *below = NULL;
    json_object_foreach(schema_iterable(json_object_get(node, "properties")), name, below)
    {
        const size_t size = schema_path_push_key(path, name);
        if (find_below(schema, below, key, depth + 1, path)) {
            return true;
        }
        schema_path_pop(path, size);
    }
    size_t i = 0;
    json_array_foreach(json_object_get(node, "oneOf"), i, below)
    {
        if (find_below(schema, below, key, depth + 1, path)) {
            return true;
        }
    }
    return false;
}

static const char *nearest_property(const json_t *node, const char *key)
{
    const char *candidates[CANDIDATES_MAX];
    size_t count = 0;
    const char *name = NULL;
    json_t *property = NULL;
    json_object_foreach(schema_iterable(json_object_get(node, "properties")), name, property)
    {
        if (count < CANDIDATES_MAX) {
            candidates[count++] = name;
        }
    }
    return command_nearest(key, candidates, count);
}

void schema_suggest_field(struct error *err, const struct schema *schema, const json_t *root,
                          const json_t *picked_from, const json_t *node, const char *key)
{
    const char *alias_of = property_called(schema, node, key);
    if (alias_of) {
        error_set_hint(err, "did you mean '%s'?", alias_of);
        return;
    }
    const char *sibling = picked_from ? sibling_with(schema, picked_from, key) : NULL;
    if (sibling) {
        error_set_hint(err, "it goes with %s '%s'",
                       json_get_text(picked_from, "x-discriminator", "the field"), sibling);
        return;
    }
    struct schema_path path = {0};
    if (find_below(schema, root, key, 0, &path)) {
        error_set_hint(err, "did you mean '%s'?", path.text);
        return;
    }
    const char *nearest = nearest_property(node, key);
    if (nearest) {
        error_set_hint(err, "did you mean '%s'?", nearest);
        return;
    }
    char names[SCHEMA_TEXT_BYTES];
    schema_keys_text(names, json_object_get(node, "properties"));
    error_set_hint(err, "the fields here are %s", names);
}

void schema_suggest_value(struct error *err, const struct schema *schema, const json_t *node,
                          const char *text)
{
    const char *hint = json_get_text(json_object_get(node, "x-refused"), text, NULL);
    if (hint) {
        error_set_hint(err, "%s", hint);
        return;
    }
    const char *choices[CANDIDATES_MAX];
    const size_t count = choices_of(schema, node, choices);
    const char *nearest = command_nearest(text, choices, count);
    if (nearest) {
        error_set_hint(err, "did you mean '%s'?", nearest);
    }
}
