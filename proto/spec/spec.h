/*
 * spec — job specs: from what a person wrote to the canonical form that is stored and run.
 *
 *   text ──spec_parse──► JSON ──spec_override──► ──spec_resolve_paths──► ──spec_validate──►
 * canonical
 *
 * The fields, their types, ranges and defaults are in schemas/job.schema.json and nowhere else;
 * what one field demands of another is in rules.c. A spec is a jansson object; typed views of a
 * valid one are in train_spec.h and prepare_spec.h.
 *
 * Messages begin with the path at fault ("optimizer.lr: -1 is below the minimum 0 (exclusive)"),
 * and err->field is that path.
 *
 * Threads: any; nothing is shared but the read-only schema, which is built once.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "proto/spec/schema.h"

#define SPEC_SCHEMA_VERSION 1

enum spec_format {
    SPEC_FORMAT_YAML, /* JSON is read, too: quoted is text, the rest as the schema says */
    SPEC_FORMAT_JSON,
};

/* By the name: ".json" is JSON, all else YAML. */
enum spec_format spec_format_of(const char *path);

/* *out is a new reference to an object, not yet validated. what names the source ("a.yaml").
 * YAML: quoted scalars are text; plain ones are read as the type that the schema has at their path
 * (so 1e-3 is a number where a number is due, and no is text where text is due). Anchors, aliases,
 * tags, merge keys, duplicate keys, several documents are refused with line and column. */
MUST_USE enum status spec_parse(json_t **out, const char *text, size_t size,
                                enum spec_format format, const char *what, struct error *err);

/* Applies one "key.path=value", e.g. "optimizer.lr=1e-3", "data.train[0].weight=2",
 * "optimizer.betas=[0.9, 0.95]". The value is typed as in YAML; "null" removes the field; an index
 * one past the end appends. */
MUST_USE enum status spec_override(json_t *spec, const char *assignment, struct error *err);

/* True for JOB@STEP, as model.from may have it: a checkpoint of a job, which the daemon finds. A
 * path of that look has a slash ("./run@100"). */
bool spec_is_job_step(const char *text);

/* The folder of hf:FOLDER, as model.from may name a model of Hugging Face's; else NULL. */
const char *spec_hf_folder(const char *text);

/* Makes every path of the spec absolute: a relative one is below folder, "~/" is the home folder.
 */
MUST_USE enum status spec_resolve_paths(json_t *spec, const char *folder, struct error *err);

/* Checks the whole spec and fills in defaults, in place: the spec is then canonical. Doing it again
 * changes nothing. The first problem is the error; *problems, unless NULL, gets them all. */
MUST_USE enum status spec_validate(json_t *spec, struct error *err);
MUST_USE enum status spec_validate_all(json_t *spec, struct schema_problems *problems,
                                       struct error *err);

/* All of the above on a file: read, parse, override, resolve against the file's folder, validate.
 * *out is a new reference. */
MUST_USE enum status spec_load(json_t **out, const char *path, const char *const *overrides,
                               size_t override_count, struct error *err);

/* The canonical bytes of a validated spec (json.h; the schema's version is the field "schema"), and
 * their SHA-256, the identity of a spec. */
MUST_USE enum status spec_canonical(struct bytes *out, const json_t *spec, struct error *err);
MUST_USE enum status spec_digest(struct digest *out, const json_t *spec, struct error *err);

/* Appends the spec as YAML that people like to read, fields in the schema's order, short parts on
 * one line. Reading it back gives the same spec. The spec need not be valid or complete. */
MUST_USE enum status spec_write_yaml(struct bytes *out, const json_t *spec, struct error *err);

enum spec_kind { SPEC_KIND_TRAIN, SPEC_KIND_PREPARE };

/* Of a validated spec. The name lives as long as the spec. */
enum spec_kind spec_kind(const json_t *spec);
const char *spec_name(const json_t *spec);
/* ranks × threads_per_rank; 1 for prepare. */
int64_t spec_slots(const json_t *spec);
/* retry.max_attempts; 1 for prepare. */
int64_t spec_max_attempts(const json_t *spec);

/* job.schema.json. */
MUST_USE enum status spec_schema(const struct schema **out, struct error *err);
