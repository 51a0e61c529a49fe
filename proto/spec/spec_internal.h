/*
 * What the files behind spec.h share.
 */
#pragma once

#include <jansson.h>

#include "proto/base/error.h"
#include "proto/spec/schema.h"
#include "proto/spec/train_spec.h"

/* Called for each text that the schema marks as a path. kind is the value of x-path. A replacement
 * is a new reference. Any status but STATUS_OK ends the walk. */
typedef enum status spec_path_fn(void *context, const char *field, const char *kind,
                                 const char *text, json_t **replacement, struct error *err);

/* Visits the paths in a spec, valid or not, in the schema's order. */
MUST_USE enum status spec_each_path(json_t *spec, spec_path_fn *visit, void *context,
                                    struct error *err);

/* Problems that a schema cannot see, appended as schema_apply does. spec has passed the schema. */
MUST_USE enum status spec_check_rules(const json_t *spec, struct schema_problems *problems,
                                      struct error *err);

/* Parts that both kinds have. */
void spec_files_read(struct spec_files *out, const json_t *object, const char *key);
void spec_tokenizer_read(const char **path, int64_t *vocab_size, const json_t *object);

/* The index of object[key] in words; the schema admits no other word, which a test makes sure of.
 */
unsigned spec_word_index(const json_t *object, const char *key, const char *const *words,
                         size_t count);

/* The rules that a number of steps must keep, once it is known. */
MUST_USE enum status train_spec_check_steps(const struct train_spec *spec, int64_t steps,
                                            struct error *err);
