#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/process.h"
#include "daemon/supervisor_private.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"

enum status active_note_adopted(struct active *active, struct error *err)
{
    if (active->adopted_pid == 0 || active->is_adopt_appended) {
        return STATUS_OK;
    }
    enum status status =
        queue_append(active->supervisor->queue, EVENT_ATTEMPT_ADOPTED, active->job, active->number,
                     json_pack("{s:I}", "pid", (json_int_t)active->adopted_pid), err);
    active->is_adopt_appended = status == STATUS_OK;
    return status;
}

/* The shim holds the lock: it lives, or has only just ended. */
static void adopt_living(struct active *active)
{
    struct process_identity shim;
    struct error err;
    int pidfd = -1;

    enum status status = shim_record_read(active->folder, &shim, &err);
    if (status == STATUS_OK) {
        status = process_open(&pidfd, &shim, &err);
    }
    if (status == STATUS_OK) {
        status = active_watch_exit(active, pidfd, &err);
    }
    if (status == STATUS_NOT_FOUND) {
        return; /* not yet, or just gone: the next tick sees which */
    }
    if (status) {
        log_error(&err);
        return;
    }
    active->phase = ACTIVE_PHASE_RUNNING;
    active->adopted_pid = shim.pid;
    log_info("job %lld, attempt %d: adopted (process %lld)", (long long)active->job, active->number,
             (long long)shim.pid);
    status = active_started(active, &err);
    if (status == STATUS_OK) {
        status = active_note_adopted(active, &err);
    }
    if (status) {
        log_error(&err); /* the next tick appends it */
    }
    active_signal_when_due(active);
}

void active_adopt(struct active *active)
{
    struct error err;

    assert(active->phase == ACTIVE_PHASE_WAITING);
    if (active->token[0] == '\0' && token_read(active->folder, active->token, NULL) != STATUS_OK) {
        active->token[0] = '\0';
    }
    enum status status =
        file_exists(active->folder)
            ? attempt_lock_take(&active->fence_fd, active->folder, &err)
            : STATUS_OK; /* the last daemon did not come as far as making the folder */
    if (status == STATUS_BUSY) {
        adopt_living(active);
    } else if (status) {
        log_error(&err);
    } else {
        /* No shim lives, and while we hold the lock none that was spawned late can start. */
        active->phase = ACTIVE_PHASE_GATHERING;
        active_gather(active);
    }
}

static enum status take_up(void *context, const struct attempt *attempt, struct error *err)
{
    struct supervisor *supervisor = context;
    struct active *active = NULL;
    struct job job;
    int ranks = 0;

    enum status status = queue_get_job(supervisor->queue, &job, attempt->job, err);
    if (status == STATUS_OK) {
        status = job_ranks(supervisor, &job, &ranks, err);
    }
    if (status == STATUS_OK) {
        status = active_create(&active, supervisor, attempt->job, attempt->number, attempt->id,
                               ranks, &attempt->cpus, err);
    }
    if (status) {
        return status;
    }
    slot_set_take(&supervisor->config.slots, &active->cpus);
    active->phase = ACTIVE_PHASE_WAITING;
    active->is_start_appended = attempt->state == ATTEMPT_STATE_RUNNING;
    active->is_start_committed = active->is_start_appended;
    active->is_stop_appended = job.state == JOB_STATE_STOPPING;
    active->is_stop_committed = active->is_stop_appended;
    return STATUS_OK;
}

/* Remembers a job with a run folder, whose records may go on behind what we have. */
static enum status note_stale(void *context, const struct job *job, struct error *err)
{
    struct supervisor *supervisor = context;

    if (job->attempt == 0) {
        return STATUS_OK;
    }
    if ((supervisor->stale_count & (supervisor->stale_count + 1)) == 0) { /* full: 0, 1, 3, 7 … */
        size_t capacity = 2 * supervisor->stale_count + 1;
        int64_t *grown =
            sys_realloc(supervisor->stale_runs, capacity * sizeof *supervisor->stale_runs);
        if (!grown) {
            return error_set(err, STATUS_NO_MEMORY, "list of runs: out of memory");
        }
        supervisor->stale_runs = grown;
    }
    supervisor->stale_runs[supervisor->stale_count] = job->id;
    supervisor->stale_count++;
    return STATUS_OK;
}

enum status supervisor_adopt_all(struct supervisor *supervisor, struct error *err)
{
    struct active *next = NULL;

    enum status status =
        queue_each_job(supervisor->queue, 0, 0, INT64_MAX, note_stale, supervisor, err);
    if (status == STATUS_OK) {
        status = queue_each_attempt(supervisor->queue, 0, take_up, supervisor, err);
    }
    if (status) {
        return status;
    }
    for (struct active *active = supervisor->actives; active; active = next) {
        next = active->next;
        active_adopt(active);
    }
    return STATUS_OK;
}
