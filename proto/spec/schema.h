/*
 * schema — JSON Schema (draft 2020-12), as far as remora's own schemas use it.
 *
 * A document is parsed once; any of its nodes can then check an instance and fill in defaults. One
 * table lists the keywords; schema_check refuses a node that uses another, and the build runs it,
 * so a schema never says what the validator does not do. Our annotations:
 *
 *   x-discriminator  property whose const picks the alternative of oneOf before anything is
 * checked, so that errors name a field, not "no alternative matched" x-path           "file",
 * "folder" or "glob": the text is a path (a relative one is resolved against the spec's folder),
 * "checkpoint" for one that may also be JOB@STEP, or "output" for one that is yet to be written
 * x-refused        {value: hint}: values that are known
 * but not available, with what to do x-aliases        what else people call the field: feeds "did
 * you mean" x-hint           what to say beside an error at this field x-version        version of
 * the document
 *
 * oneOf has four readings, the first that fits: picked by x-discriminator; every alternative only
 * `required: [field]` (exactly one of these fields); objects picked by which has its first required
 * field; picked by the type of the instance.
 *
 * Threads: a schema is read-only after schema_create. Nodes live as long as their schema.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

struct schema;

/* Parses a document. what names it in messages and is copied. */
MUST_USE enum status schema_create(struct schema **out, const char *text, size_t size,
                                   const char *what, struct error *err);
void schema_destroy(struct schema *schema); /* NULL is fine */

const json_t *schema_document(const struct schema *schema);

/* Whether the validator knows every keyword of node, in every subschema, with the value it expects
 * there; every $ref leads somewhere, every pattern compiles, every default is valid. */
MUST_USE enum status schema_check(const struct schema *schema, const json_t *node,
                                  struct error *err);

#define SCHEMA_PROBLEMS_MAX 16

/* What is wrong with an instance; more are counted than kept. A zeroed struct is empty. */
struct schema_problems {
    struct error items[SCHEMA_PROBLEMS_MAX];
    size_t count; /* of items */
    size_t total;
};

/* Checks instance against node, fills in defaults and brings numbers to their canonical type (a
 * number-typed 1 becomes 1.0, an integer-typed 1e3 becomes 1000), in place. Appends to problems;
 * the first comes back as the error. path is the instance's own path, "" for a whole document. */
MUST_USE enum status schema_apply(const struct schema *schema, const json_t *node, json_t *instance,
                                  const char *path, struct schema_problems *problems,
                                  struct error *err);

/* ---- Walking: which node is about which part of an instance ---- */

/* Types of JSON as bits; a plain YAML scalar may still be any of SCHEMA_TYPES_SCALAR. */
enum schema_type {
    SCHEMA_TYPE_NULL = 1,
    SCHEMA_TYPE_BOOLEAN = 2,
    SCHEMA_TYPE_INTEGER = 4,
    SCHEMA_TYPE_NUMBER = 8,
    SCHEMA_TYPE_STRING = 16,
    SCHEMA_TYPE_ARRAY = 32,
    SCHEMA_TYPE_OBJECT = 64,
};
#define SCHEMA_TYPES_SCALAR                                                           \
 (SCHEMA_TYPE_NULL | SCHEMA_TYPE_BOOLEAN | SCHEMA_TYPE_INTEGER | SCHEMA_TYPE_NUMBER | \
  SCHEMA_TYPE_STRING)

/* How an instance looks from outside, whatever it is made of. */
struct schema_view {
    unsigned types; /* what it can be, bits of schema_type */
    /* The text of a member, "" when it is no text, NULL when there is none; only asked when types
     * is SCHEMA_TYPE_OBJECT. */
    const char *(*member_text)(const void *instance, const char *key);
    const void *instance;
};
struct schema_view schema_view_of(const json_t *instance);

/* The node that applies to an instance: $ref followed, the alternative picked. NULL when node is
 * NULL or no alternative fits. */
const json_t *schema_select(const struct schema *schema, const json_t *node,
                            const struct schema_view *view);

/* Subschema of a property or of an array's items in a selected node; NULL when there is none. */
const json_t *schema_property(const struct schema *schema, const json_t *node, const char *key);
const json_t *schema_items(const struct schema *schema, const json_t *node);

/* Bits of schema_type that a selected node admits; 0 when node is NULL or says nothing. */
unsigned schema_types(const json_t *node);
