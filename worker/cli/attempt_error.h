/*
 * attempt_error — how a process of an attempt tells the daemon why it failed: the file
 * "rank-<r>.error.json" {status, message, field, hint, rank} in the attempt's folder.
 */
#pragma once

#include "proto/base/error.h"

/* Best effort, since we are failing already. Nothing happens when folder is NULL. */
void attempt_error_write(const char *folder, int rank, const struct error *what);
