#include "proto/spec/yaml.h"

#include <assert.h>
#include <string.h>
#include <yaml.h>

#include "proto/base/limits.h"

/* The nodes that are open, outermost first. */
struct build {
    struct arena *arena;
    const char *what;
    const char *text;
    struct yaml_node *root;
    struct yaml_node *open[JSON_DEPTH_MAX];
    size_t depth;
    bool is_inside_document;
    bool is_finished;
};

/* ---- Refusals ---- */

static enum status refuse(const struct build *build, const yaml_mark_t *mark, const char *problem,
                          struct error *err)
{
    return error_set(err, STATUS_INVALID, "%s: line %zu, column %zu: %s", build->what,
                     mark->line + 1, mark->column + 1, problem);
}

static enum status refuse_with_hint(const struct build *build, const yaml_mark_t *mark,
                                    const char *problem, const char *hint, struct error *err)
{
    enum status status = refuse(build, mark, problem, err);
    error_set_hint(err, "%s", hint);
    return status;
}

/* Line and column of an offset; columns count characters. */
static yaml_mark_t mark_at(const char *text, size_t offset)
{
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

/* What libyaml says, with its place. */
static enum status refuse_parse(const struct build *build, const yaml_parser_t *parser, size_t size,
                                struct error *err)
{
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (parser->error == YAML_MEMORY_ERROR) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", build->what);
    }
    if (parser->error == YAML_READER_ERROR) {
        const size_t offset = parser->problem_offset < size ? parser->problem_offset : size;
        const yaml_mark_t mark = mark_at(build->text, offset);
        return refuse_with_hint(build, &mark, problem, "a spec is UTF-8 text", err);
    }
    const size_t index = parser->problem_mark.index;
    if (index < size && build->text[index] == '\t') {
        return refuse_with_hint(build, &parser->problem_mark, problem,
                                "YAML is indented with spaces, not tabs", err);
    }
    enum status status = refuse(build, &parser->problem_mark, problem, err);
    if (parser->context) {
        error_set_hint(err, "%s that begins at line %zu, column %zu", parser->context,
                       parser->context_mark.line + 1, parser->context_mark.column + 1);
    }
    return status;
}

/* ---- The tree ---- */

static void node_append(struct yaml_node *parent, struct yaml_node *node)
{
    if (parent->last) {
        parent->last->next = node;
    } else {
        parent->first = node;
    }
    parent->last = node;
    parent->child_count++;
}

/* A new node at the event's place, hung below the innermost open one. */
static enum status node_add(struct build *build, enum yaml_kind kind, const yaml_event_t *event,
                            struct yaml_node **out, struct error *err)
{
    struct yaml_node *node = arena_alloc(build->arena, sizeof *node);
    if (!node) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", build->what);
    }
    *node = (struct yaml_node){
        .kind = kind,
        .line = event->start_mark.line + 1,
        .column = event->start_mark.column + 1,
    };
    if (build->depth == 0) {
        build->root = node;
    } else {
        struct yaml_node *parent = build->open[build->depth - 1];
        const bool is_key = parent->kind == YAML_KIND_MAPPING && parent->child_count % 2 == 0;
        if (is_key && kind != YAML_KIND_SCALAR) {
            return refuse(build, &event->start_mark, "a key must be a word", err);
        }
        node_append(parent, node);
    }
    *out = node;
    return STATUS_OK;
}

static enum status open_collection(struct build *build, enum yaml_kind kind,
                                   const yaml_event_t *event, struct error *err)
{
    struct yaml_node *node = NULL;
    if (build->depth == JSON_DEPTH_MAX) {
        return refuse(build, &event->start_mark, "nested too deep", err);
    }
    enum status status = node_add(build, kind, event, &node, err);
    if (!status) {
        build->open[build->depth++] = node;
    }
    return status;
}

static enum status add_scalar(struct build *build, const yaml_event_t *event, struct error *err)
{
    const char *text = (const char *)event->data.scalar.value;
    const size_t size = event->data.scalar.length;
    const bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, '\0', size)) {
        return refuse(build, &event->start_mark, "text must not contain NUL", err);
    }
    if (is_plain && strcmp(text, "<<") == 0) {
        return refuse_with_hint(build, &event->start_mark, "merge keys are not allowed",
                                "write the fields out", err);
    }
    struct yaml_node *node = NULL;
    enum status status = node_add(build, YAML_KIND_SCALAR, event, &node, err);
    if (status) {
        return status;
    }
    node->is_plain = is_plain;
    node->text = arena_strndup(build->arena, text, size);
    return node->text ? STATUS_OK
                      : error_set(err, STATUS_NO_MEMORY, "%s: out of memory", build->what);
}

/* ---- Events ---- */

/* Anchors and tags, which scalars and collections can both have. */
static enum status check_properties(const struct build *build, const yaml_event_t *event,
                                    const yaml_char_t *anchor, const yaml_char_t *tag,
                                    struct error *err)
{
    if (anchor) {
        return refuse_with_hint(build, &event->start_mark, "anchors are not allowed",
                                "write the value out; text that begins with '&' needs quotes", err);
    }
    if (tag) {
        return refuse_with_hint(build, &event->start_mark, "tags are not allowed",
                                "types come from the field; text that begins with '!' needs quotes",
                                err);
    }
    return STATUS_OK;
}

static enum status start_document(struct build *build, const yaml_event_t *event, struct error *err)
{
    if (build->is_inside_document || build->root) {
        return refuse_with_hint(build, &event->start_mark, "a second document begins",
                                "a spec is one document: put others into their own files", err);
    }
    if (event->data.document_start.tag_directives.start !=
        event->data.document_start.tag_directives.end) {
        return refuse(build, &event->start_mark, "tags are not allowed", err);
    }
    build->is_inside_document = true;
    return STATUS_OK;
}

static enum status take_event(struct build *build, const yaml_event_t *event, struct error *err)
{
    enum status status = STATUS_OK;
    switch (event->type) {
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
        return STATUS_OK;
    case YAML_STREAM_END_EVENT:
        build->is_finished = true;
        return STATUS_OK;
    case YAML_DOCUMENT_START_EVENT:
        return start_document(build, event, err);
    case YAML_DOCUMENT_END_EVENT:
        build->is_inside_document = false;
        return STATUS_OK;
    case YAML_ALIAS_EVENT:
        return refuse_with_hint(build, &event->start_mark, "aliases are not allowed",
                                "text that begins with '*' needs quotes", err);
    case YAML_SCALAR_EVENT:
        status =
            check_properties(build, event, event->data.scalar.anchor, event->data.scalar.tag, err);
        return status ? status : add_scalar(build, event, err);
    case YAML_SEQUENCE_START_EVENT:
        status = check_properties(build, event, event->data.sequence_start.anchor,
                                  event->data.sequence_start.tag, err);
        return status ? status : open_collection(build, YAML_KIND_LIST, event, err);
    case YAML_MAPPING_START_EVENT:
        status = check_properties(build, event, event->data.mapping_start.anchor,
                                  event->data.mapping_start.tag, err);
        return status ? status : open_collection(build, YAML_KIND_MAPPING, event, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        assert(build->depth > 0);
        build->depth--;
        return STATUS_OK;
    }
    return STATUS_OK;
}

enum status yaml_read(struct yaml_node **out, struct arena *arena, const char *text, size_t size,
                      const char *what, struct error *err)
{
    struct build build = {.arena = arena, .what = what, .text = text};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", what);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);

    enum status status = STATUS_OK;
    while (!status && !build.is_finished) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = refuse_parse(&build, &parser, size, err);
            break;
        }
        status = take_event(&build, &event, err);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (!status && !build.root) {
        status = error_set(err, STATUS_INVALID, "%s: is empty", what);
    }
    if (!status) {
        *out = build.root;
    }
    return status;
}
