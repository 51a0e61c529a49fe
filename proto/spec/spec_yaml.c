/*
 * Specs as YAML that people like to read: fields in the schema's order; an object whose members are
 * all simple on one line where it fits, others indented.
 */
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/spec/schema_internal.h"
#include "proto/spec/spec.h"
#include "proto/spec/yaml.h"

#define LINE_CHARACTERS_MAX 100
#define INDENT              2

struct writer {
    const struct schema *schema;
    struct bytes *out;
};

static void write_flow(struct writer *writer, const json_t *node, const json_t *value);

/* ---- Scalars ---- */

/* The code point at *at, which is moved past it; text is valid UTF-8, as all of jansson's is. */
static unsigned take_code_point(const char **at)
{
    const unsigned char *text = (const unsigned char *)*at;
    const unsigned lead = text[0];
    const int extra = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    unsigned code = extra == 0 ? lead : lead & (0x3fu >> extra);
    for (int i = 1; i <= extra; i++) {
        code = code << 6 | (text[i] & 0x3fu);
    }
    *at += 1 + extra;
    return code;
}

/* Whether YAML takes the character as it is between double quotes, line breaks excepted. */
static bool is_printable(unsigned code)
{
    if (code < 0x80) {
        return code >= 0x20 && code != 0x7f;
    }
    const bool is_break = code == 0x85 || code == 0x2028 || code == 0x2029;
    const bool is_odd = code < 0xa0 || code == 0xfeff || code == 0xfffe || code == 0xffff;
    return !is_break && !is_odd;
}

static void write_quoted(struct bytes *out, const char *text)
{
    bytes_append_char(out, '"');
    while (*text != '\0') {
        const char *start = text;
        const unsigned code = take_code_point(&text);
        if (code == '"' || code == '\\') {
            bytes_append_char(out, '\\');
            bytes_append_char(out, (char)code);
        } else if (is_printable(code)) {
            bytes_append(out, start, (size_t)(text - start));
        } else {
            bytes_printf(out, "\\u%04x", code);
        }
    }
    bytes_append_char(out, '"');
}

/* Words that some reader of YAML takes for a boolean. */
static bool is_boolean_word(const char *text)
{
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off", "true", "false"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(words[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether text stays text without quotes, in whichever place, for whichever reader. */
static bool can_be_plain(const char *text)
{
    static const char safe[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./+-";
    if (*text == '\0' || text[strspn(text, safe)] != '\0' || strchr("+-.", text[0]) ||
        is_boolean_word(text)) {
        return false;
    }
    json_t *guess = yaml_plain_to_json(text, 0);
    const bool is_text = json_is_string(guess);
    json_decref(guess);
    return is_text;
}

static void write_scalar(struct writer *writer, const json_t *value)
{
    if (!json_is_string(value)) {
        json_canonical(writer->out, value);
    } else if (can_be_plain(json_string_value(value))) {
        bytes_append_text(writer->out, json_string_value(value));
    } else {
        write_quoted(writer->out, json_string_value(value));
    }
}

static void write_key(struct writer *writer, const char *key)
{
    if (can_be_plain(key)) {
        bytes_append_text(writer->out, key);
    } else {
        write_quoted(writer->out, key);
    }
    bytes_append_char(writer->out, ':');
}

/* ---- Members in order ---- */

struct member {
    const char *key;
    json_t *value;
    const json_t *node;
};
typedef void member_fn(struct writer *writer, const struct member *member, void *context);

static const json_t *pick(const struct writer *writer, const json_t *node, const json_t *value)
{
    const struct schema_view view = schema_view_of(value);
    return schema_select(writer->schema, node, &view);
}

/* First what the schema has, in its order, then what it does not know. */
static void each_member(struct writer *writer, const json_t *node, const json_t *object,
                        member_fn *visit, void *context)
{
    const json_t *picked = pick(writer, node, object);
    const json_t *properties = json_object_get(picked, "properties");
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(schema_iterable(properties), key, value)
    {
        const struct member member = {key, json_object_get(object, key), value};
        if (member.value) {
            visit(writer, &member, context);
        }
    }
    json_object_foreach(schema_iterable(object), key, value)
    {
        if (!json_object_get(properties, key)) {
            const struct member member = {key, value, NULL};
            visit(writer, &member, context);
        }
    }
}

/* ---- On one line ---- */

static void write_flow_member(struct writer *writer, const struct member *member, void *context)
{
    bool *is_first = context;
    if (!*is_first) {
        bytes_append_text(writer->out, ", ");
    }
    *is_first = false;
    write_key(writer, member->key);
    bytes_append_char(writer->out, ' ');
    write_flow(writer, member->node, member->value);
}

// NOLINTNEXTLINE(misc-no-recursion): the parsers bound the depth
static void write_flow(struct writer *writer, const json_t *node, const json_t *value)
{
    if (json_is_object(value)) {
        bool is_first = true;
        bytes_append_char(writer->out, '{');
        each_member(writer, node, value, write_flow_member, &is_first);
        bytes_append_char(writer->out, '}');
    } else if (json_is_array(value)) {
        const json_t *items = schema_items(writer->schema, pick(writer, node, value));
        bytes_append_char(writer->out, '[');
        for (size_t i = 0; i < json_array_size(value); i++) {
            bytes_append_text(writer->out, i > 0 ? ", " : "");
            write_flow(writer, items, json_array_get(value, i));
        }
        bytes_append_char(writer->out, ']');
    } else {
        write_scalar(writer, value);
    }
}

static size_t flow_characters(const struct writer *writer, const json_t *node, const json_t *value)
{
    struct bytes text = {0};
    struct writer flow = {.schema = writer->schema, .out = &text};
    write_flow(&flow, node, value);
    const size_t size = text.size;
    bytes_deinit(&text);
    return size;
}

/* Scalars and lists of them. */
static bool is_simple(const json_t *value)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(value, i, item)
    {
        if (json_is_object(item) || json_is_array(item)) {
            return false;
        }
    }
    return !json_is_object(value);
}

static bool has_simple_members(const json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(schema_iterable(object), key, value)
    {
        if (!is_simple(value)) {
            return false;
        }
    }
    return true;
}

/* ---- Over several lines ---- */

static void write_indent(struct writer *writer, size_t indent)
{
    bytes_printf(writer->out, "%*s", (int)indent, "");
}

static void write_block_list(struct writer *writer, const json_t *node, const json_t *list,
                             size_t indent)
{
    const json_t *items = schema_items(writer->schema, pick(writer, node, list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        bytes_append_char(writer->out, '\n');
        write_indent(writer, indent);
        bytes_append_text(writer->out, "- ");
        write_flow(writer, items, json_array_get(list, i));
    }
}

// NOLINTNEXTLINE(misc-no-recursion)
static void write_block_member(struct writer *writer, const struct member *member, void *context)
{
    const size_t indent = *(const size_t *)context;
    const json_t *value = member->value;
    if (writer->out->size > 0 && writer->out->data[writer->out->size - 1] != '\n') {
        bytes_append_char(writer->out, '\n');
    }
    write_indent(writer, indent);
    write_key(writer, member->key);

    const size_t before = indent + strlen(member->key) + 2;
    const bool fits = before + flow_characters(writer, member->node, value) <= LINE_CHARACTERS_MAX;
    size_t below = indent + INDENT;
    if (json_object_size(value) > 0 && !(fits && has_simple_members(value))) {
        each_member(writer, member->node, value, write_block_member, &below);
    } else if (json_array_size(value) > 0 && !fits) {
        write_block_list(writer, member->node, value, below);
    } else {
        bytes_append_char(writer->out, ' ');
        write_flow(writer, member->node, value);
    }
}

enum status spec_write_yaml(struct bytes *out, const json_t *spec, struct error *err)
{
    struct writer writer = {.out = out};
    enum status status = spec_schema(&writer.schema, err);
    if (status) {
        return status;
    }
    size_t indent = 0;
    each_member(&writer, schema_document(writer.schema), spec, write_block_member, &indent);
    bytes_append_char(out, '\n');
    return bytes_status(out, "spec", err);
}
