#include "daemon/job.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/text.h"
#include "proto/base/error.h"

#define BIT(state) (1u << (state))

/*
 *              ┌────────────retry───────────────┐
 *              ▼                                │
 *   ──────► QUEUED ──launch──► STARTING ──shim──► RUNNING ──exit 0──► SUCCEEDED
 *            │  ▲                │ │ │           │ │ │                    ▲
 *            │  │◄────retry──────┘ │ └──────┐    │ │ └──no more tries─► FAILED
 *            │  │                  │      failed │ │                    │
 *            │  │                cancel     └────┼─┼──────────────────► │
 *            │  │                  ▼             │ │                    │
 *            │  │               STOPPING ◄cancel─┘ │                    │
 *            │  │                  │ └──exit 0 before it was told──► SUCCEEDED
 *         cancel│                gone                                   │
 *            │  │                  ▼                                    │
 *            └──┼─────────────► CANCELLED                               │
 *               └───────resume─────┴────────────────────────────────────┘
 */
static const unsigned allowed_next[JOB_STATE_COUNT] = {
    [JOB_STATE_QUEUED] = BIT(JOB_STATE_STARTING) | BIT(JOB_STATE_CANCELLED),
    [JOB_STATE_STARTING] = BIT(JOB_STATE_RUNNING) | BIT(JOB_STATE_QUEUED) |
                           BIT(JOB_STATE_STOPPING) | BIT(JOB_STATE_FAILED),
    [JOB_STATE_RUNNING] = BIT(JOB_STATE_QUEUED) | BIT(JOB_STATE_STOPPING) |
                          BIT(JOB_STATE_SUCCEEDED) | BIT(JOB_STATE_FAILED),
    [JOB_STATE_STOPPING] = BIT(JOB_STATE_CANCELLED) | BIT(JOB_STATE_SUCCEEDED),
    [JOB_STATE_PAUSED] = 0,
    [JOB_STATE_SUCCEEDED] = 0,
    [JOB_STATE_FAILED] = BIT(JOB_STATE_QUEUED),
    [JOB_STATE_CANCELLED] = BIT(JOB_STATE_QUEUED),
};

static const char *const job_state_names[JOB_STATE_COUNT] = {
#define X(constant, name, is_final) [JOB_STATE_##constant] = name,
    JOB_STATE_LIST(X)
#undef X
};

static const bool job_state_finals[JOB_STATE_COUNT] = {
#define X(constant, name, is_final) [JOB_STATE_##constant] = is_final,
    JOB_STATE_LIST(X)
#undef X
};

static const char *const attempt_state_names[ATTEMPT_STATE_COUNT] = {
#define X(constant, name) [ATTEMPT_STATE_##constant] = name,
    ATTEMPT_STATE_LIST(X)
#undef X
};

static const char *const reason_names[REASON_COUNT] = {
#define X(constant, name) [REASON_##constant] = name,
    REASON_LIST(X)
#undef X
};

/* Index of name in names, or -1. */
static int find_name(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

const char *job_state_name(enum job_state state)
{
    assert(state < JOB_STATE_COUNT);
    return job_state_names[state];
}

bool job_state_from_name(enum job_state *out, const char *name)
{
    int index = find_name(job_state_names, JOB_STATE_COUNT, name);
    if (index >= 0) {
        *out = (enum job_state)index;
    }
    return index >= 0;
}

bool job_state_is_final(enum job_state state)
{
    assert(state < JOB_STATE_COUNT);
    return job_state_finals[state];
}

bool job_state_allows(enum job_state from, enum job_state to)
{
    assert(from < JOB_STATE_COUNT);
    assert(to < JOB_STATE_COUNT);
    return (allowed_next[from] & BIT(to)) != 0;
}

const char *attempt_state_name(enum attempt_state state)
{
    assert(state < ATTEMPT_STATE_COUNT);
    return attempt_state_names[state];
}

bool attempt_state_from_name(enum attempt_state *out, const char *name)
{
    int index = find_name(attempt_state_names, ATTEMPT_STATE_COUNT, name);
    if (index >= 0) {
        *out = (enum attempt_state)index;
    }
    return index >= 0;
}

bool attempt_state_is_final(enum attempt_state state)
{
    assert(state < ATTEMPT_STATE_COUNT);
    return state != ATTEMPT_STATE_STARTING && state != ATTEMPT_STATE_RUNNING;
}

const char *reason_name(enum reason_type type)
{
    assert(type < REASON_COUNT);
    return reason_names[type];
}

bool reason_from_name(enum reason_type *out, const char *name)
{
    int index = find_name(reason_names, REASON_COUNT, name);
    if (index >= 0) {
        *out = (enum reason_type)index;
    }
    return index >= 0;
}

void reason_set(struct reason *out, enum reason_type type, const char *format, ...)
{
    va_list arguments;

    out->type = type;
    out->hint[0] = '\0';
    va_start(arguments, format);
    (void)vsnprintf(out->evidence, sizeof out->evidence, format, arguments);
    va_end(arguments);
    text_trim(out->evidence);
}

void reason_set_hint(struct reason *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(out->hint, sizeof out->hint, format, arguments);
    va_end(arguments);
    text_trim(out->hint);
}

bool exit_code_is_hopeless(int exit_code)
{
    static const enum status hopeless[] = {
        STATUS_INVALID, STATUS_NOT_FOUND,  STATUS_CONFLICT,    STATUS_LIMIT,
        STATUS_CORRUPT, STATUS_PERMISSION, STATUS_UNSUPPORTED,
    };
    for (size_t i = 0; i < sizeof hopeless / sizeof hopeless[0]; i++) {
        if (exit_code == status_exit_code(hopeless[i])) {
            return true;
        }
    }
    return false;
}
