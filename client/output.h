/*
 * output — results on standard output as JSON: one object, or a list that is written row by row, so
 * that a long one needs no memory. Numbers are the shortest that read back to the same value.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "proto/base/error.h"

/* One value and a newline. */
MUST_USE enum status output_json(const json_t *value, struct error *err);

/* "[", a row a line, "]". A zeroed struct begins; json_list_end closes also an empty list. */
struct json_list {
    bool has_rows;
};
MUST_USE enum status json_list_row(struct json_list *list, const json_t *row, struct error *err);
void json_list_end(struct json_list *list);
