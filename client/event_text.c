#include "client/event_text.h"

#include <math.h>
#include <string.h>

#include "client/format.h"
#include "client/terminal.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"

#define WORDS_COLUMNS_MAX 2000 /* more than evidence and hint can have */

static void append_clean(struct bytes *out, const char *text)
{
    text_append_cut(out, text, WORDS_COLUMNS_MAX, true);
}

/* "[0, 1]" as "0, 1". */
static void append_cpus(struct bytes *out, const json_t *data)
{
    const json_t *cpus = json_object_get(data, "cpus");
    size_t count = json_array_size(cpus);

    if (count > 0) {
        bytes_printf(out, " on core%s", count > 1 ? "s" : "");
    }
    for (size_t i = 0; i < count; i++) {
        bytes_printf(out, "%s%lld", i > 0 ? ", " : " ",
                     (long long)json_integer_value(json_array_get(cpus, i)));
    }
}

static void append_reason(struct bytes *out, const json_t *data)
{
    const json_t *reason = json_object_get(data, "reason");
    const char *evidence = json_get_text(reason, "evidence", "");
    const char *hint = json_get_text(reason, "hint", "");

    if (evidence[0] != '\0') {
        bytes_append_text(out, ": ");
        append_clean(out, evidence);
    }
    if (hint[0] != '\0') {
        bytes_append_text(out, " (");
        append_clean(out, hint);
        bytes_append_char(out, ')');
    }
}

static void append_run_started(struct bytes *out, const json_t *data)
{
    int64_t resumed_from = json_get_int(data, "resumed_from", -1);

    bytes_printf(out, "training on %lld rank(s)", (long long)json_get_int(data, "world", 1));
    if (resumed_from >= 0) {
        bytes_printf(out, ", resumed from step %lld", (long long)resumed_from);
    }
}

static void append_attempt_ended(struct bytes *out, const json_t *data)
{
    int64_t signal_number = json_get_int(data, "signal", 0);
    int64_t exit_code = json_get_int(data, "exit_code", -1);

    const char *state = json_get_text(data, "state", "ended");

    bytes_append_text(out, state);
    if (strcmp(state, "succeeded") == 0) {
        return;
    }
    if (signal_number > 0) {
        bytes_printf(out, " by signal %lld", (long long)signal_number);
    } else if (exit_code > 0) {
        bytes_printf(out, " with exit code %lld", (long long)exit_code);
    }
    append_reason(out, data);
}

static void append_evaluated(struct bytes *out, const json_t *data)
{
    char loss[FORMAT_BYTES];
    char perplexity[FORMAT_BYTES];

    bytes_printf(out, "step %lld: validation loss %s, perplexity %s",
                 (long long)json_get_int(data, "step", 0),
                 format_loss(loss, json_get_real(data, "loss", (double)NAN)),
                 format_loss(perplexity, json_get_real(data, "perplexity", (double)NAN)));
}

static void append_checkpoint(struct bytes *out, const json_t *data)
{
    char size[FORMAT_BYTES];
    int64_t stored = json_get_int(data, "stored_bytes", -1);

    bytes_printf(out, "step %lld: checkpoint", (long long)json_get_int(data, "step", 0));
    if (stored >= 0) {
        bytes_printf(out, " of %s", format_size(size, (uint64_t)stored));
    }
}

static void append_skipped(struct bytes *out, const json_t *data)
{
    bytes_printf(out, "step %lld: skipped, the %s is not finite (%lld in a row)",
                 (long long)json_get_int(data, "step", 0),
                 strcmp(json_get_text(data, "cause", ""), "grad_norm") == 0 ? "gradient" : "loss",
                 (long long)json_get_int(data, "skipped_in_row", 0));
}

static void append_spike(struct bytes *out, const json_t *data)
{
    char loss[FORMAT_BYTES];
    char mean[FORMAT_BYTES];

    bytes_printf(out, "step %lld: loss spike, %s after a mean of %s",
                 (long long)json_get_int(data, "step", 0),
                 format_loss(loss, json_get_real(data, "loss", (double)NAN)),
                 format_loss(mean, json_get_real(data, "mean", (double)NAN)));
}

typedef void words_fn(struct bytes *out, const json_t *data);

/* How each type begins and what completes it. */
static const struct {
    const char *type;
    const char *words;
    words_fn *complete;
    bool is_routine;
} types[] = {
    {"job_submitted", "job submitted", NULL, false},
    {"attempt_starting", "starting", append_cpus, false},
    {"attempt_started", "started", NULL, false},
    {"attempt_adopted", "found alive by a restarted daemon", NULL, false},
    {"run_started", "", append_run_started, false},
    {"checkpoint_committed", "", append_checkpoint, true},
    {"evaluated", "", append_evaluated, true},
    {"step_skipped", "", append_skipped, false},
    {"loss_spike", "", append_spike, false},
    {"attempt_ended", "", append_attempt_ended, false},
    {"job_requeued", "job queued again", append_reason, false},
    {"job_stopping", "job stopping", append_reason, false},
    {"job_succeeded", "job succeeded", NULL, false},
    {"job_failed", "job failed", append_reason, false},
    {"job_cancelled", "job cancelled", append_reason, false},
    {"job_resumed", "job resumed", append_reason, false},
};

void event_text_append(struct bytes *out, const json_t *event)
{
    const char *type = json_get_text(event, "type", "");
    const json_t *data = json_object_get(event, "data");
    bool is_of_job = strncmp(type, "job_", strlen("job_")) == 0;

    if (!is_of_job) {
        bytes_printf(out, "attempt %lld ", (long long)json_get_int(event, "attempt", 0));
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].type, type) == 0) {
            bytes_append_text(out, types[i].words);
            if (types[i].complete != NULL) {
                types[i].complete(out, data);
            }
            return;
        }
    }
    struct bytes text = {.size_max = RECORD_BYTES_MAX};
    bytes_append_text(&text, type);
    bytes_append_char(&text, ' ');
    if (data != NULL) {
        json_canonical(&text, data);
    }
    append_clean(out, bytes_failed(&text) ? type : text.data);
    bytes_deinit(&text);
}

bool event_text_is_routine(const json_t *event)
{
    const char *type = json_get_text(event, "type", "");

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].type, type) == 0) {
            return types[i].is_routine;
        }
    }
    return false;
}
