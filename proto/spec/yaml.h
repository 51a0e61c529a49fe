/*
 * yaml — what of YAML 1.2 a spec may use, by libyaml: mappings, lists and scalars of one document.
 *
 * Refused with line and column: anchors, aliases, tags, directives of tags, merge keys, keys that
 * are not scalars, a second document, nesting deeper than JSON_DEPTH_MAX, invalid UTF-8, NUL.
 *
 * Ownership: the tree is in the caller's arena. Types are not decided here: yaml_to_json does that
 * with a schema at hand, and refuses duplicate keys.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/arena.h"
#include "proto/base/error.h"
#include "proto/spec/schema.h"

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_LIST, YAML_KIND_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    bool is_plain;    /* of a scalar: neither quoted nor a block */
    const char *text; /* of a scalar */
    size_t line;      /* from 1 */
    size_t column;    /* from 1 */
    /* Items of a list; of a mapping, keys and values in turn. */
    struct yaml_node *first;
    struct yaml_node *last;
    size_t child_count;
    struct yaml_node *next; /* of the same parent */
};

/* what names the source in messages ("a.yaml"). */
MUST_USE enum status yaml_read(struct yaml_node **out, struct arena *arena, const char *text,
                               size_t size, const char *what, struct error *err);

/* *out is a new reference: each plain scalar has the type that the schema wants at its place, if it
 * can have it; text otherwise, for the validator to complain about. node may be NULL: types are
 * guessed then, as in YAML's core schema. */
MUST_USE enum status yaml_to_json(json_t **out, const struct yaml_node *root,
                                  const struct schema *schema, const json_t *node, const char *what,
                                  struct error *err);

/* A plain scalar as one of types (bits of schema_type; 0: guess). NULL when memory is out. */
MUST_USE json_t *yaml_plain_to_json(const char *text, unsigned types);
