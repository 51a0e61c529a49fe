#include "client/job.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"

static const struct {
    const char *name;
    bool is_final;
    int exit_code;
    enum style style;
} states[] = {
#define X(constant, name, is_final, exit_code, style) \
 [JOB_STATE_##constant] = {name, is_final, exit_code, style},
    JOB_STATE_LIST(X)
#undef X
};

enum job_state job_state_from_name(const char *name)
{
    for (size_t i = 0; i < JOB_STATE_UNKNOWN; i++) {
        if (strcmp(states[i].name, name) == 0) {
            return (enum job_state)i;
        }
    }
    return JOB_STATE_UNKNOWN;
}

const char *job_state_name(enum job_state state)
{
    return states[state].name;
}

bool job_state_is_final(enum job_state state)
{
    return states[state].is_final;
}

int job_state_exit_code(enum job_state state)
{
    assert(states[state].is_final);
    return states[state].exit_code;
}

enum style job_state_style(enum job_state state)
{
    return states[state].style;
}

void job_from_json(struct job *out, const json_t *object)
{
    const json_t *reason = json_object_get(object, "reason");

    *out = (struct job){
        .id = json_get_int(object, "id", 0),
        .name = json_get_text(object, "name", ""),
        .kind = json_get_text(object, "kind", ""),
        .state = job_state_from_name(json_get_text(object, "state", "")),
        .reason = json_get_text(reason, "type", ""),
        .evidence = json_get_text(reason, "evidence", ""),
        .hint = json_get_text(reason, "hint", ""),
        .submitted_ms = json_get_int(object, "submitted_ms", 0),
        .started_ms = json_get_int(object, "started_ms", 0),
        .ended_ms = json_get_int(object, "ended_ms", 0),
        .attempt = json_get_int(object, "attempt", 0),
        .step = json_get_int(object, "step", 0),
        .steps = json_get_int(object, "steps", 0),
    };
}

/* ------------------------------------------------------------------------------- references --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Digits alone, in the range that JSON keeps exact; -1 otherwise. */
static int64_t whole_number(const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (!is_digit(text[i])) {
            return -1;
        }
    }
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    return text[0] == '\0' || errno != 0 || value > JSON_INTEGER_MAX ? -1 : value;
}

static bool is_name(const char *text)
{
    size_t size = strlen(text);

    if (size > JOB_NAME_BYTES_MAX || !is_letter(text[0])) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!is_letter(text[i]) && !is_digit(text[i]) && strchr("._-", text[i]) == NULL) {
            return false;
        }
    }
    return true;
}

enum status job_reference_parse(struct job_reference *out, const char *text, bool may_have_step,
                                struct error *err)
{
    const char *at = strchr(text, '@');
    size_t size = at != NULL ? (size_t)(at - text) : strlen(text);

    *out = (struct job_reference){.step = -1};
    if (at != NULL && !may_have_step) {
        return error_set(err, STATUS_INVALID, "'%s': this command takes a job without @STEP", text);
    }
    if (size < sizeof out->name) {
        memcpy(out->name, text, size);
    }
    if (whole_number(out->name) <= 0 && !is_name(out->name)) {
        (void)error_set(err, STATUS_INVALID, "'%.*s' is neither the id nor the name of a job",
                        (int)size, text);
        error_set_hint(err, "remora ls --all lists the jobs");
        return STATUS_INVALID;
    }
    if (at != NULL) {
        out->step = whole_number(at + 1);
        if (out->step < 0) {
            return error_set(err, STATUS_INVALID, "'%s': '%s' is no step", text, at + 1);
        }
    }
    return STATUS_OK;
}

struct job_reference job_reference_of_id(int64_t id)
{
    struct job_reference reference = {.step = -1};

    (void)snprintf(reference.name, sizeof reference.name, "%lld", (long long)id);
    return reference;
}

json_t *job_reference_params(const struct job_reference *reference)
{
    int64_t id = whole_number(reference->name);

    return id > 0 ? json_pack("{s:I}", "job", (json_int_t)id)
                  : json_pack("{s:s}", "job", reference->name);
}
