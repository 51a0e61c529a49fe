/*
 * json — how remora reads and writes JSON (jansson underneath).
 *
 * Strict: duplicate keys, trailing bytes, invalid UTF-8, depth over JSON_DEPTH_MAX are refused.
 * Non-finite numbers are written as null beside a sibling "<key>_non_finite": "nan"|"inf"|"-inf".
 * Canonical form: keys sorted, no spaces, reals as the shortest digits that read back to the same
 * double (always with '.', 'e' or both), integers as integers.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"

/* *out is a new reference. what names the source in messages ("spec 'a.json'"). */
MUST_USE enum status json_parse(json_t **out, const char *text, size_t size, const char *what,
                                struct error *err);

/* Appends the canonical form. */
void json_canonical(struct bytes *out, const json_t *value);

/* The shortest decimal text that strtod reads back as value; finite values only. out[32]. */
void json_real_text(char out[32], double value);

/* Sets object[key] to a real, or to null with its _non_finite sibling. */
void json_set_real(json_t *object, const char *key, double value);

/* Lookups with a default; a wrong type gives the default. The text lives as long as object. */
const char *json_get_text(const json_t *object, const char *key, const char *fallback);
int64_t json_get_int(const json_t *object, const char *key, int64_t fallback);
double json_get_real(const json_t *object, const char *key,
                     double fallback); /* also reads null+non_finite */
bool json_get_bool(const json_t *object, const char *key, bool fallback);
