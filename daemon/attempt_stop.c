#include <signal.h>
#include <stdio.h>

#include "daemon/process.h"
#include "daemon/supervisor_private.h"

/*
 * What a worker that was told has for ending its step and writing a checkpoint. Longer than both
 * take with models that a machine of a few cores trains; who waits for a cancel that the worker
 * does not hear of waits as long.
 */
#define STOP_GRACE_MS 10000

void active_stop(struct active *active)
{
    const struct supervisor *supervisor = active->supervisor;
    const struct supervisor_callbacks *callbacks = &supervisor->callbacks;

    bool is_told = callbacks->on_control(callbacks->context, active->job, active->number, "stop");
    active->is_stop_committed = true;
    active->signal_at_ms = (int64_t)uv_now(supervisor->loop) + (is_told ? STOP_GRACE_MS : 0);
    active_signal_when_due(active);
}

void active_signal_when_due(struct active *active)
{
    if (active->is_stop_committed && !active->is_signalled && active->pidfd >= 0 &&
        (int64_t)uv_now(active->supervisor->loop) >= active->signal_at_ms) {
        process_signal(active->pidfd, SIGTERM);
        active->is_signalled = true;
    }
}

static json_t *reason_data(enum reason_type type, const char *evidence, const char *hint)
{
    return json_pack("{s:{s:s, s:s, s:s}}", "reason", "type", reason_name(type), "evidence",
                     evidence, "hint", hint);
}

enum status supervisor_cancel(struct supervisor *supervisor, const struct job *job, int64_t uid,
                              enum job_state *state, struct error *err)
{
    char by[64];
    char hint[64];

    (void)snprintf(by, sizeof by, "by uid %lld", (long long)uid);
    (void)snprintf(hint, sizeof hint, "remora resume %lld", (long long)job->id);
    *state = job->state;
    if (job->state == JOB_STATE_CANCELLED || job->state == JOB_STATE_STOPPING) {
        return STATUS_OK;
    }
    if (job_state_is_final(job->state)) {
        (void)error_set(err, STATUS_CONFLICT, "job %lld has already %s", (long long)job->id,
                        job_state_name(job->state));
        error_set_field(err, "job");
        return STATUS_CONFLICT;
    }
    if (job->state == JOB_STATE_QUEUED) {
        *state = JOB_STATE_CANCELLED;
        supervisor->is_plan_needed = true; /* it may have stood in another's way */
        return queue_append(supervisor->queue, EVENT_JOB_CANCELLED, job->id, 0,
                            reason_data(REASON_CANCELLED, by, hint), err);
    }
    *state = JOB_STATE_STOPPING;
    enum status status = queue_append(supervisor->queue, EVENT_JOB_STOPPING, job->id, job->attempt,
                                      reason_data(REASON_CANCEL_REQUESTED, by, ""), err);
    struct active *active = active_find(supervisor, job->id, job->attempt);
    if (status == STATUS_OK && active) {
        active->is_stop_appended = true;
    }
    return status;
}
