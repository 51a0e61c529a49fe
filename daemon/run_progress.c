#include <string.h>

#include "daemon/supervisor_private.h"
#include "proto/base/log.h"

/* ---- Records that are events as well ---- */

/* Copies the members of record that names, ending with NULL, lists. */
static json_t *pick_members(const json_t *record, const char *const *names)
{
    json_t *data = json_object();
    for (size_t i = 0; names[i]; i++) {
        json_t *value = json_object_get(record, names[i]);
        if (value) {
            (void)json_object_set(data, names[i], value);
        }
    }
    return data;
}

/* Whether a record that would be that event has not been one yet. */
static bool is_news(const struct attempt *attempt, enum event_type event, int64_t step)
{
    switch ((int)event) {
    case EVENT_RUN_STARTED:
        return !attempt->is_run_started;
    case EVENT_CHECKPOINT_COMMITTED:
        return step > attempt->checkpoint_step;
    case EVENT_EVALUATED:
        return step > attempt->evaluation_step;
    case EVENT_STEP_SKIPPED:
    case EVENT_LOSS_SPIKE: /* no step is both */
        return step > attempt->guard_step;
    default:
        return false;
    }
}

/*
 * A record is read at least once; an event is appended exactly once: the attempt's row remembers
 * how far its events have come, in the same transaction, and its steps only grow.
 */
static enum status append_event(struct supervisor *supervisor, int64_t job, const json_t *record)
{
    static const struct {
        const char *record;
        enum event_type event;
        const char *members[6];
    } kinds[] = {
        {"start", EVENT_RUN_STARTED, {"resumed_from", "steps", "world"}},
        {"checkpoint", EVENT_CHECKPOINT_COMMITTED, {"step", "path", "bytes", "stored_bytes"}},
        {"evaluation", EVENT_EVALUATED, {"step", "loss", "perplexity"}},
        {"step_skipped", EVENT_STEP_SKIPPED, {"step", "cause", "skipped", "skipped_in_row"}},
        {"loss_spike", EVENT_LOSS_SPIKE, {"step", "loss", "mean", "deviation", "z"}},
    };
    const size_t count = sizeof kinds / sizeof kinds[0];
    const char *type = json_get_text(record, "type", "");
    struct attempt attempt;
    size_t i = 0;

    while (i < count && strcmp(type, kinds[i].record) != 0) {
        i++;
    }
    if (i == count ||
        queue_get_attempt(supervisor->queue, &attempt, job, (int)json_get_int(record, "attempt", 0),
                          NULL) != STATUS_OK) {
        return STATUS_OK; /* no event, or of a run that was begun without us */
    }
    if (!is_news(&attempt, kinds[i].event, json_get_int(record, "step", 0))) {
        return STATUS_OK;
    }
    return queue_append(supervisor->queue, kinds[i].event, job, attempt.number,
                        pick_members(record, kinds[i].members), NULL);
}

static void on_record(void *context, int64_t job, const json_t *record)
{
    struct supervisor *supervisor = context;

    if (append_event(supervisor, job, record) != STATUS_OK) {
        return; /* the queue remembers, and the whole iteration is undone */
    }
    if (active_find(supervisor, job, (int)json_get_int(record, "attempt", 0))) {
        supervisor->callbacks.on_record(supervisor->callbacks.context, job, record);
    }
}

/* ---- Reading ---- */

static struct ingest ingest_of(struct supervisor *supervisor)
{
    return (struct ingest){
        .metrics = supervisor->metrics, .on_record = on_record, .context = supervisor};
}

bool active_read_records(struct active *active)
{
    struct ingest ingest = ingest_of(active->supervisor);
    bool is_at_end = true;
    struct error err;

    if (active->outcome.is_other_boot && !active->is_run_forgotten) {
        /* What we had read may not have reached the disk before the machine went down. */
        active->is_run_forgotten = true;
        if (metrics_forget(active->supervisor->metrics, active->job, &err) != STATUS_OK) {
            log_error(&err);
        }
    }
    if (ingest_file(&ingest, active->job, active->run_folder, &is_at_end, &err) != STATUS_OK) {
        log_error(&err);
        return true;
    }
    return is_at_end;
}

void supervisor_read_stale(struct supervisor *supervisor)
{
    struct ingest ingest = ingest_of(supervisor);
    char run_folder[PATH_BYTES_MAX];
    bool is_at_end = true;
    struct error err;

    if (supervisor->stale_count == 0) {
        return;
    }
    int64_t job = supervisor->stale_runs[supervisor->stale_count - 1];
    enum status status = run_folder_path(run_folder, supervisor->config.state_folder, job, &err);
    if (status == STATUS_OK) {
        status = ingest_file(&ingest, job, run_folder, &is_at_end, &err);
    }
    if (status) {
        log_error(&err);
    }
    if (status || is_at_end) {
        supervisor->stale_count--;
    }
}

/* ---- Rank 0's connection ---- */

/* Takes the same time wherever the first difference is. */
static bool tokens_equal(const char *a, const char *b)
{
    unsigned difference = strlen(a) == strlen(b) ? 0 : 1;

    for (size_t i = 0; a[i] != '\0' && b[i] != '\0'; i++) {
        difference |= (unsigned char)(a[i] ^ b[i]);
    }
    return difference == 0 && a[0] != '\0';
}

/* The attempt, when it is alive as far as we know; else NULL. */
static struct active *find_alive(struct supervisor *supervisor, int64_t job, int attempt,
                                 struct error *err)
{
    struct active *active = active_find(supervisor, job, attempt);

    if (!active ||
        (active->phase != ACTIVE_PHASE_WAITING && active->phase != ACTIVE_PHASE_RUNNING)) {
        (void)error_set(err, STATUS_NOT_FOUND, "attempt %d of job %lld is not running", attempt,
                        (long long)job);
        return NULL;
    }
    return active;
}

enum status supervisor_attach(struct supervisor *supervisor, int64_t job, int attempt,
                              const char *token, int64_t *offset, struct error *err)
{
    struct active *active = find_alive(supervisor, job, attempt, err);
    enum status status = STATUS_OK;

    if (!active) {
        return STATUS_NOT_FOUND;
    }
    if (!tokens_equal(token, active->token)) {
        return error_set(err, STATUS_PERMISSION, "this is not the token of attempt %d of job %lld",
                         attempt, (long long)job);
    }
    if (active->phase == ACTIVE_PHASE_WAITING && active->child > 0) {
        status = active_started(active, err); /* the worker was faster than the shim's word */
    }
    if (status == STATUS_OK) {
        status = metrics_offset(supervisor->metrics, job, offset, err);
    }
    active->is_attached = status == STATUS_OK;
    active->reported_ms = (int64_t)uv_now(supervisor->loop);
    return status;
}

void supervisor_detach(struct supervisor *supervisor, int64_t job, int attempt)
{
    struct active *active = active_find(supervisor, job, attempt);
    if (active) {
        active->is_attached = false;
    }
}

enum status supervisor_report(struct supervisor *supervisor, int64_t job, int attempt,
                              int64_t offset, const json_t *lines, int64_t *known,
                              struct error *err)
{
    struct ingest ingest = ingest_of(supervisor);
    struct active *active = find_alive(supervisor, job, attempt, err);
    bool has_gap = false;

    if (!active) {
        return STATUS_NOT_FOUND;
    }
    active->reported_ms = (int64_t)uv_now(supervisor->loop);
    enum status status = ingest_lines(&ingest, job, offset, lines, &has_gap, err);
    if (status == STATUS_OK && has_gap) {
        (void)active_read_records(active);
    }
    return status ? status : metrics_offset(supervisor->metrics, job, known, err);
}
