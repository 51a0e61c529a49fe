/*
 * hf_json — the small files of a folder of Hugging Face's, indented: people read them.
 */
#pragma once

#include <jansson.h>

#include "proto/base/error.h"

/* Writes folder/name. Takes value over; NULL is STATUS_NO_MEMORY. */
MUST_USE enum status hf_json_write(const char *folder, const char *name, json_t *value,
                                   struct error *err);
