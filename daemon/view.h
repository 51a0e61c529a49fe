/*
 * view — rows as the protocol has them (schemas/openrpc.json). Each gives a new reference, NULL
 * when memory is out.
 *
 * Threads: plain data.
 */
#pragma once

#include "daemon/job.h"
#include "proto/base/json.h"

/* steps 0: not known yet; step and steps are null then. slots_total tells jobs that can never run
 * here. */
json_t *view_job(const struct job *job, int64_t step, int64_t steps, int slots_total);
json_t *view_attempt(const struct attempt *attempt);
