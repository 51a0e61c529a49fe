/*
 * What schema.c (documents), schema_check.c (their keywords) and schema_apply.c (instances) share.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/spec/schema.h"

/* A chain of $ref and oneOf longer than this is a loop. */
#define SCHEMA_REF_MAX 16

struct schema {
    json_t *document;
    char *what; /* names it in messages */
};

/* How the oneOf of a node is read. */
enum schema_union {
    SCHEMA_UNION_NONE,
    SCHEMA_UNION_DISCRIMINATED, /* x-discriminator */
    SCHEMA_UNION_REQUIRED,      /* exactly one of some fields */
    SCHEMA_UNION_PRESENT,       /* by the first field that an alternative requires */
    SCHEMA_UNION_TYPED,         /* by the type of the instance */
};
enum schema_union schema_union_of(const struct schema *schema, const json_t *node);

/* Follows $ref; NULL when it leads nowhere. */
const json_t *schema_deref(const struct schema *schema, const json_t *node);

/* The const of the discriminator in an alternative, as text. */
const char *schema_alternative_name(const struct schema *schema, const json_t *alternative,
                                    const char *discriminator);

/* The one field that an alternative of SCHEMA_UNION_REQUIRED asks for; NULL when it is no such. */
const char *schema_required_field(const json_t *alternative);

/* The field by which an alternative of SCHEMA_UNION_PRESENT is picked; NULL when it is no such. */
const char *schema_present_field(const struct schema *schema, const json_t *alternative);

/* Bits of schema_type that a value is: an integer is a number, too. */
unsigned schema_type_of(const json_t *value);

/* jansson iterates over objects that are not const only, though it does not change them. */
static inline json_t *schema_iterable(const json_t *object)
{
    return (json_t *)(uintptr_t)object;
}

/* ---- schema_text.c: how parts of an instance are named to people ---- */

/* Where in an instance: "data.train[0].shards". What does not fit is left off. */
struct schema_path {
    char text[ERROR_FIELD_BYTES];
    size_t size;
};
/* Each gives the size to come back to with schema_path_pop. */
size_t schema_path_push_key(struct schema_path *path, const char *key);
size_t schema_path_push_index(struct schema_path *path, size_t index);
void schema_path_pop(struct schema_path *path, size_t size);

#define SCHEMA_TEXT_BYTES 256
/* A value as people would write it, shortened: `"fast"`, `-1`, `a list of 3`. */
void schema_value_text(char out[SCHEMA_TEXT_BYTES], const json_t *value);
/* What a node's instances are: "a number", "text or an object". */
void schema_types_text(char out[SCHEMA_TEXT_BYTES], unsigned types);
/* "full, mora, remora": the values of an enum, or the names of discriminated alternatives. */
void schema_choices_text(char out[SCHEMA_TEXT_BYTES], const struct schema *schema,
                         const json_t *node);
/* "a, b, c": the keys of an object. */
void schema_keys_text(char out[SCHEMA_TEXT_BYTES], const json_t *object);

/* Fills hint with what could have been meant by a field that node does not have: an alias, a field
 * of a sibling alternative (of the union node was picked from, or NULL), the same name elsewhere
 * below root, the nearest name, else the list of names. */
void schema_suggest_field(struct error *err, const struct schema *schema, const json_t *root,
                          const json_t *picked_from, const json_t *node, const char *key);
/* As above for a value that an enum or a discriminated union does not list. */
void schema_suggest_value(struct error *err, const struct schema *schema, const json_t *node,
                          const char *text);
