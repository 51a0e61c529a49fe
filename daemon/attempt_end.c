#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/fault.h"
#include "daemon/supervisor_private.h"
#include "daemon/text.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"

/* How long one message to the pool waits for processes to go. */
#define GATHER_WAIT_MS 1000

/* All that the pool thread may touch. Filled before it starts, read after it ends. */
struct gather_work {
    uv_work_t request; /* request.data is this struct */
    struct active *active;
    char folder[PATH_BYTES_MAX];
    char attempt_id[ATTEMPT_ID_BYTES];
    int ranks;
    enum status status;     /* out */
    struct outcome outcome; /* out */
    struct error err;       /* out */
};

/* No zombie stays. Once only: the number may soon be another child's. */
static void reap(struct active *active)
{
    if (active->child > 0 && !active->is_child_reaped) {
        active->is_child_reaped = waitpid(active->child, NULL, WNOHANG) != 0;
    }
}

/* Whatever the shim does from here on, the gathering finds out. */
static void begin_to_gather(struct active *active)
{
    if (active->has_exit_poll) {
        (void)uv_poll_stop(&active->exit_poll);
    }
    active_close_ready(active);
    active->phase = ACTIVE_PHASE_GATHERING;
    active_gather(active);
}

void active_exit_seen(struct active *active)
{
    fault_point(FAULT_POINT_END_SEEN);
    reap(active);
    begin_to_gather(active);
}

void active_launch_failed(struct active *active, const struct error *why)
{
    active->launch_error = *why;
    begin_to_gather(active);
}

/* On the pool. */
static void gather(uv_work_t *request)
{
    struct gather_work *work = request->data;
    work->status = outcome_gather(&work->outcome, work->folder, work->attempt_id, work->ranks,
                                  GATHER_WAIT_MS, &work->err);
}

/* What the daemon itself knows about the end beside what the attempt left. */
static void complete_outcome(struct active *active)
{
    struct outcome *outcome = &active->outcome;

    if (active->launch_error.status) {
        outcome->exit.never_started = false; /* it counts, or it might go on so for ever */
        outcome->is_shim_lost = false;       /* we have taken it down */
        outcome->rank_error = active->launch_error;
        text_copy_printable(outcome->exit.message, sizeof outcome->exit.message,
                            active->launch_error.message);
    } else if (active->child > 0 && outcome->exit.never_started) {
        /* Not a daemon's death, but a failure of the launch. */
        outcome->exit.never_started = false;
        (void)snprintf(outcome->exit.message, sizeof outcome->exit.message,
                       "the shim ended before it had started anything");
    }
}

/* Back on the loop. When processes are left or the disk fails, the next tick tries again. */
static void gathered(uv_work_t *request, int uv_status)
{
    struct gather_work *work = request->data;
    struct active *active = work->active;

    active->gather_work = NULL;
    if (active->phase == ACTIVE_PHASE_CLOSING) { /* the daemon is shutting down */
        active_free_when_idle(active);
    } else if (uv_status || work->status) {
        log_error(&work->err);
    } else if (work->outcome.left > 0) {
        log_warn("job %lld, attempt %d: %zu processes do not end", (long long)active->job,
                 active->number, work->outcome.left);
    } else {
        reap(active); /* a shim that could not be watched */
        active->outcome = work->outcome;
        complete_outcome(active);
        active_drain(active);
    }
    free(work);
}

void active_gather(struct active *active)
{
    assert(active->phase == ACTIVE_PHASE_GATHERING);
    if (active->gather_work) {
        return;
    }
    struct gather_work *work = sys_calloc(1, sizeof *work);
    if (!work) {
        return; /* the next tick tries again */
    }
    work->active = active;
    work->request.data = work;
    work->ranks = active->ranks;
    memcpy(work->folder, active->folder, sizeof work->folder);
    memcpy(work->attempt_id, active->id, sizeof work->attempt_id);
    active->gather_work = work;
    int code = uv_queue_work(active->supervisor->loop, &work->request, gather, gathered);
    assert(code == 0); /* fails only without a work function */
}

void active_drain(struct active *active)
{
    struct error err;

    active->phase = ACTIVE_PHASE_DRAINING;
    if (queue_has_failed(active->supervisor->queue, NULL)) {
        return;
    }
    if (active->outcome.has_shim && active_started(active, &err) != STATUS_OK) {
        log_error(&err);
        return;
    }
    if (active_read_records(active)) {
        active_finish(active);
    }
    supervisor_update_timers(active->supervisor);
}

static json_t *attempt_ended_data(const struct outcome *outcome, const struct verdict *verdict)
{
    return json_pack("{s:s, s:o, s:i, s:i, s:b}", "state",
                     attempt_state_name(verdict->attempt_state), "reason",
                     reason_to_json(&verdict->reason), "exit_code", outcome->exit.exit_code,
                     "signal", outcome->exit.signal, "counts", verdict->counts);
}

/* What the job's new state says about the attempt that led to it. */
static void job_reason(struct reason *out, const struct active *active, const struct job *job,
                       const struct verdict *verdict)
{
    int used = job->attempts_used + (verdict->counts ? 1 : 0);

    *out = verdict->reason;
    if (verdict->job_state == JOB_STATE_QUEUED) {
        reason_set(out, REASON_RETRY, "after %.1f s; attempt %d (%s): %s",
                   (double)retry_delay_ms(used) / 1000.0, active->number,
                   reason_name(verdict->reason.type), verdict->reason.evidence);
        reason_set_hint(out, "remora logs %lld", (long long)job->id);
    } else if (verdict->job_state == JOB_STATE_FAILED) {
        reason_set(out, verdict->reason.type, "attempt %d of %d: %s", used, job->attempts_max,
                   verdict->reason.evidence);
        reason_set_hint(out, "%s", verdict->reason.hint);
    } else if (verdict->job_state == JOB_STATE_SUCCEEDED && active->ranks > 0) {
        reason_set_hint(out, "remora export %lld --to DIR", (long long)job->id);
    }
}

static enum event_type event_of(enum job_state state)
{
    switch (state) {
    case JOB_STATE_QUEUED:
        return EVENT_JOB_REQUEUED;
    case JOB_STATE_SUCCEEDED:
        return EVENT_JOB_SUCCEEDED;
    case JOB_STATE_CANCELLED:
        return EVENT_JOB_CANCELLED;
    case JOB_STATE_FAILED:
        return EVENT_JOB_FAILED;
    case JOB_STATE_STARTING:
    case JOB_STATE_RUNNING:
    case JOB_STATE_STOPPING:
    case JOB_STATE_PAUSED:
    case JOB_STATE_COUNT:
        break;
    }
    assert(false);
    return EVENT_COUNT;
}

void active_finish(struct active *active)
{
    struct supervisor *supervisor = active->supervisor;
    struct job job;
    struct verdict verdict;
    struct reason reason;
    struct error err;

    enum status status = queue_get_job(supervisor->queue, &job, active->job, &err);
    if (status == STATUS_OK) {
        outcome_judge(&verdict, &active->outcome, &job);
        status = queue_append(supervisor->queue, EVENT_ATTEMPT_ENDED, active->job, active->number,
                              attempt_ended_data(&active->outcome, &verdict), &err);
    }
    if (status == STATUS_OK) {
        job_reason(&reason, active, &job, &verdict);
        status = queue_append(supervisor->queue, event_of(verdict.job_state), active->job,
                              active->number, json_pack("{s:o}", "reason", reason_to_json(&reason)),
                              &err);
    }
    if (status) {
        log_error(&err);
        return;
    }
    fault_point(FAULT_POINT_ENDED_APPENDED);
    active->phase = ACTIVE_PHASE_ENDED;
    log_info("job %lld, attempt %d: %s (%s: %s)", (long long)active->job, active->number,
             attempt_state_name(verdict.attempt_state), reason_name(verdict.reason.type),
             verdict.reason.evidence);
}
