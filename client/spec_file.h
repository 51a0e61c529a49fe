/*
 * spec_file — the spec that a command line names: argument 0 with every -s applied, validated.
 */
#pragma once

#include <jansson.h>

#include "proto/base/command.h"
#include "proto/base/error.h"

/* How often one command may say -s; more is a mistake of a script. */
#define SPEC_OVERRIDES_MAX 256

/* out[SPEC_OVERRIDES_MAX] <- the texts behind -s; *count of them. */
MUST_USE enum status spec_overrides(const char **out, size_t *count,
                                    const struct command_line *line, struct error *err);

/* *out is a new reference to the canonical spec. */
MUST_USE enum status spec_from_command_line(json_t **out, const struct command_line *line,
                                            struct error *err);
