#include "daemon/event.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const char *const event_type_names[EVENT_COUNT] = {
#define X(constant, name) [EVENT_##constant] = name,
    EVENT_LIST(X)
#undef X
};

const char *event_type_name(enum event_type type)
{
    assert(type < EVENT_COUNT);
    return event_type_names[type];
}

bool event_type_from_name(enum event_type *out, const char *name)
{
    for (int i = 0; i < EVENT_COUNT; i++) {
        if (strcmp(event_type_names[i], name) == 0) {
            *out = (enum event_type)i;
            return true;
        }
    }
    return false;
}

json_t *event_to_json(const struct event *event)
{
    return json_pack("{s:I, s:I, s:I, s:o, s:s, s:O}", "seq", (json_int_t)event->seq, "time_ms",
                     (json_int_t)event->time_ms, "job", (json_int_t)event->job, "attempt",
                     event->attempt > 0 ? json_integer(event->attempt) : json_null(), "type",
                     event_type_name(event->type), "data", event->data);
}

json_t *reason_to_json(const struct reason *reason)
{
    return json_pack("{s:s, s:s, s:s}", "type", reason_name(reason->type), "evidence",
                     reason->evidence, "hint", reason->hint);
}

bool reason_from_json(struct reason *out, const json_t *json)
{
    const char *type = json_get_text(json, "type", "");
    if (!reason_from_name(&out->type, type)) {
        return false;
    }
    (void)snprintf(out->evidence, sizeof out->evidence, "%s", json_get_text(json, "evidence", ""));
    (void)snprintf(out->hint, sizeof out->hint, "%s", json_get_text(json, "hint", ""));
    return true;
}

void event_deinit(struct event *event)
{
    json_decref(event->data);
    event->data = NULL;
}
