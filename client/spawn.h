/*
 * spawn — running the other programs of remora, which lie beside our own executable.
 */
#pragma once

#include "proto/base/error.h"

/* out[PATH_BYTES_MAX] <- the path of "remorad" or "remora-worker". */
MUST_USE enum status spawn_program_path(char *out, const char *program, struct error *err);

/*
 * Runs program to its end, with its standard output on our standard error: ours is for results.
 * arguments[0] is the program's name; a NULL ends them. *exit_code is 128 + signal for a program
 * that a signal ended.
 */
MUST_USE enum status spawn_and_wait(const char *const *arguments, int *exit_code,
                                    struct error *err);

/* Becomes program; returns only on failure. */
MUST_USE enum status spawn_become(const char *const *arguments, struct error *err);
