/*
 * job — what the client knows of a job: how it is named on the command line, and the daemon's JSON
 * object of it (schemas/openrpc.json, "Job") as a struct.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/terminal.h"
#include "proto/base/error.h"

/* X(constant, name, is final, exit code of `wait`, style) */
#define JOB_STATE_LIST(X)                          \
 X(QUEUED, "queued", false, 0, STYLE_PLAIN)        \
 X(STARTING, "starting", false, 0, STYLE_CYAN)     \
 X(RUNNING, "running", false, 0, STYLE_CYAN)       \
 X(STOPPING, "stopping", false, 0, STYLE_YELLOW)   \
 X(PAUSED, "paused", false, 0, STYLE_YELLOW)       \
 X(SUCCEEDED, "succeeded", true, 0, STYLE_GREEN)   \
 X(FAILED, "failed", true, 1, STYLE_RED)           \
 X(CANCELLED, "cancelled", true, 11, STYLE_YELLOW) \
 X(UNKNOWN, "unknown", false, 1, STYLE_PLAIN) /* of a newer daemon */

enum job_state {
#define X(constant, name, is_final, exit_code, style) JOB_STATE_##constant,
    JOB_STATE_LIST(X)
#undef X
};

enum job_state job_state_from_name(const char *name);
const char *job_state_name(enum job_state state);
bool job_state_is_final(enum job_state state);
/* 0 succeeded, 1 failed, 11 cancelled. */
int job_state_exit_code(enum job_state state);
enum style job_state_style(enum job_state state);

/* Texts are borrowed from the JSON object and live as long as it; never NULL. */
struct job {
    int64_t id;
    const char *name;
    const char *kind;
    enum job_state state;
    const char *reason;                         /* type of the reason, or "" */
    const char *evidence;                       /* what shows it, or "" */
    const char *hint;                           /* what to do, or "" */
    int64_t submitted_ms, started_ms, ended_ms; /* 0: not yet */
    int64_t attempt;
    int64_t step, steps;
};

void job_from_json(struct job *out, const json_t *object);

/* JOB or JOB@STEP as typed: an id or a name, and a step or -1. */
struct job_reference {
    char name[128];
    int64_t step;
};

/* STATUS_INVALID where the text can be neither an id nor a name, or the step is no number. */
MUST_USE enum status job_reference_parse(struct job_reference *out, const char *text,
                                         bool may_have_step, struct error *err);

struct job_reference job_reference_of_id(int64_t id);

/* {"job": 12} or {"job": "name"}, a new reference; NULL when memory is out. */
json_t *job_reference_params(const struct job_reference *reference);
