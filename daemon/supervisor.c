#include "daemon/supervisor.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "daemon/fault.h"
#include "daemon/supervisor_private.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"

/* ---- Attempts under way ---- */

struct active *active_find(struct supervisor *supervisor, int64_t job, int attempt)
{
    for (struct active *active = supervisor->actives; active; active = active->next) {
        if (active->job == job && active->number == attempt &&
            active->phase != ACTIVE_PHASE_CLOSING) {
            return active;
        }
    }
    return NULL;
}

enum status active_create(struct active **out, struct supervisor *supervisor, int64_t job,
                          int number, const char *id, int ranks, const struct cpu_list *cpus,
                          struct error *err)
{
    const char *state_folder = supervisor->config.state_folder;
    struct active *active = sys_calloc(1, sizeof *active);

    if (!active) {
        return error_set(err, STATUS_NO_MEMORY, "attempt: out of memory");
    }
    active->supervisor = supervisor;
    active->job = job;
    active->number = number;
    active->ranks = ranks;
    active->cpus = *cpus;
    active->pidfd = -1;
    active->ready_fd = -1;
    active->fence_fd = -1;
    (void)snprintf(active->id, sizeof active->id, "%s", id);
    enum status status = attempt_folder_path(active->folder, state_folder, job, number, err);
    if (status == STATUS_OK) {
        status = run_folder_path(active->run_folder, state_folder, job, err);
    }
    if (status) {
        free(active);
        return status;
    }
    active->next = supervisor->actives;
    supervisor->actives = active;
    *out = active;
    return STATUS_OK;
}

static void unlink_and_free(struct active *active)
{
    struct active **link = &active->supervisor->actives;

    while (*link != active) {
        link = &(*link)->next;
    }
    *link = active->next;
    free(active);
}

void active_free_when_idle(struct active *active)
{
    if (active->phase == ACTIVE_PHASE_CLOSING && active->open_handles == 0 &&
        !active->launch_work && !active->gather_work) {
        unlink_and_free(active);
    }
}

static void handle_closed(uv_handle_t *handle)
{
    struct active *active = handle->data;
    active->open_handles--;
    active_free_when_idle(active);
}

void active_close_ready(struct active *active)
{
    if (active->has_ready_poll) {
        active->has_ready_poll = false;
        uv_close((uv_handle_t *)&active->ready_poll, handle_closed);
    }
    if (active->ready_fd >= 0) {
        (void)close(active->ready_fd);
        active->ready_fd = -1;
    }
}

static void take_slots_anew(struct supervisor *supervisor)
{
    slot_set_clear(&supervisor->config.slots);
    for (struct active *active = supervisor->actives; active; active = active->next) {
        if (active->phase != ACTIVE_PHASE_CLOSING) {
            slot_set_take(&supervisor->config.slots, &active->cpus);
        }
    }
}

void active_close(struct active *active)
{
    assert(active->phase != ACTIVE_PHASE_CLOSING);
    active->phase = ACTIVE_PHASE_CLOSING;
    take_slots_anew(active->supervisor);
    active_close_ready(active);
    if (active->has_exit_poll) {
        active->has_exit_poll = false;
        uv_close((uv_handle_t *)&active->exit_poll, handle_closed);
    }
    if (active->pidfd >= 0) {
        (void)close(active->pidfd);
        active->pidfd = -1;
    }
    if (active->fence_fd >= 0) {
        (void)close(active->fence_fd);
        active->fence_fd = -1;
    }
    active_free_when_idle(active);
}

/* ---- After the transaction ---- */

/* Each is looked at once; next is read first, since closing may free. */
void supervisor_committed(struct supervisor *supervisor)
{
    struct active *next = NULL;

    for (struct active *active = supervisor->actives; active; active = next) {
        next = active->next;
        if (active->is_start_appended && !active->is_start_committed) {
            active->is_start_committed = true;
            fault_point(FAULT_POINT_STARTED_COMMITTED);
        }
        active->is_adopt_committed = active->is_adopt_appended;
        if (active->is_stop_appended && !active->is_stop_committed) {
            active_stop(active);
        }
        if (active->phase == ACTIVE_PHASE_INTENDED) {
            fault_point(FAULT_POINT_STARTING_COMMITTED);
            active_prepare(active);
        } else if (active->phase == ACTIVE_PHASE_ENDED) {
            fault_point(FAULT_POINT_ENDED_COMMITTED);
            active_close(active);
            supervisor->is_plan_needed = true;
        }
    }
    supervisor_update_timers(supervisor);
}

void supervisor_rolled_back(struct supervisor *supervisor)
{
    struct active *next = NULL;

    for (struct active *active = supervisor->actives; active; active = next) {
        next = active->next;
        active->is_start_appended = active->is_start_committed;
        active->is_adopt_appended = active->is_adopt_committed;
        active->is_stop_appended = active->is_stop_committed;
        if (active->phase == ACTIVE_PHASE_INTENDED) {
            active_close(active);
        } else if (active->phase == ACTIVE_PHASE_ENDED) {
            active->phase = ACTIVE_PHASE_DRAINING;
        }
    }
    supervisor->is_plan_needed = true;
    supervisor_update_timers(supervisor);
}

static void tick_active(struct active *active)
{
    struct error err;
    int64_t silent_ms = (int64_t)uv_now(active->supervisor->loop) - active->reported_ms;

    switch (active->phase) {
    case ACTIVE_PHASE_WAITING:
        active_signal_when_due(active);
        if (active->child == 0) {
            active_adopt(active);
        } else if (active->ready_fd < 0 && active_started(active, &err) != STATUS_OK) {
            log_error(&err);
        }
        return;
    case ACTIVE_PHASE_RUNNING:
        active_signal_when_due(active);
        if (active_started(active, &err) != STATUS_OK ||
            active_note_adopted(active, &err) != STATUS_OK) {
            log_error(&err);
        }
        if (!active->is_attached || silent_ms > 10L * SUPERVISOR_TICK_MS) {
            (void)active_read_records(active);
        }
        return;
    case ACTIVE_PHASE_GATHERING:
        active_gather(active);
        return;
    case ACTIVE_PHASE_DRAINING:
        active_drain(active);
        return;
    case ACTIVE_PHASE_INTENDED:
    case ACTIVE_PHASE_PREPARING:
    case ACTIVE_PHASE_ENDED:
    case ACTIVE_PHASE_CLOSING:
        return;
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct supervisor *supervisor = timer->data;
    struct active *next = NULL;

    for (struct active *active = supervisor->actives; active; active = next) {
        next = active->next;
        tick_active(active);
    }
    if (supervisor->retry_ms > 0 && (int64_t)uv_now(supervisor->loop) >= supervisor->retry_ms) {
        supervisor->is_plan_needed = true;
    }
}

/* ---- Reading records between other work ---- */

static void on_busy(uv_idle_t *idle)
{
    struct supervisor *supervisor = idle->data;

    for (struct active *active = supervisor->actives; active; active = active->next) {
        if (active->phase == ACTIVE_PHASE_DRAINING) {
            active_drain(active);
        }
    }
    supervisor_read_stale(supervisor);
    supervisor_update_timers(supervisor);
}

void supervisor_update_timers(struct supervisor *supervisor)
{
    bool is_busy = supervisor->stale_count > 0;

    if (supervisor->is_stopped) {
        return;
    }
    for (struct active *active = supervisor->actives; active; active = active->next) {
        is_busy = is_busy || (active->phase == ACTIVE_PHASE_DRAINING &&
                              !queue_has_failed(supervisor->queue, NULL));
    }
    if (is_busy) {
        (void)uv_idle_start(&supervisor->busy, on_busy);
    } else {
        (void)uv_idle_stop(&supervisor->busy);
    }
    if (!supervisor->actives && !supervisor->is_plan_needed && supervisor->retry_ms == 0) {
        (void)uv_timer_stop(&supervisor->tick);
    } else if (!uv_is_active((uv_handle_t *)&supervisor->tick)) {
        (void)uv_timer_start(&supervisor->tick, on_tick, SUPERVISOR_TICK_MS, SUPERVISOR_TICK_MS);
    }
}

/* ---- Requests ---- */

void supervisor_wake(struct supervisor *supervisor)
{
    supervisor->is_plan_needed = true;
}

enum status supervisor_resume(struct supervisor *supervisor, const struct job *job, int64_t uid,
                              struct error *err)
{
    if (!job_state_allows(job->state, JOB_STATE_QUEUED) || !job_state_is_final(job->state)) {
        (void)error_set(err, STATUS_CONFLICT,
                        "job %lld is %s; only a failed or cancelled job can be resumed",
                        (long long)job->id, job_state_name(job->state));
        error_set_field(err, "job");
        error_set_hint(err, "remora show %lld", (long long)job->id);
        return STATUS_CONFLICT;
    }
    supervisor->is_plan_needed = true;
    return queue_append(supervisor->queue, EVENT_JOB_RESUMED, job->id, 0,
                        json_pack("{s:I}", "uid", (json_int_t)uid), err);
}

int supervisor_slots_total(const struct supervisor *supervisor)
{
    return supervisor->config.slots.count;
}

int supervisor_slots_free(const struct supervisor *supervisor)
{
    return slot_set_free_count(&supervisor->config.slots);
}

const char *supervisor_state_folder(const struct supervisor *supervisor)
{
    return supervisor->config.state_folder;
}

/* ---- Start and stop ---- */

enum status supervisor_create(struct supervisor **out, uv_loop_t *loop, struct queue *queue,
                              struct metrics *metrics, const struct supervisor_config *config,
                              const struct supervisor_callbacks *callbacks, struct error *err)
{
    struct supervisor *supervisor = sys_calloc(1, sizeof *supervisor);

    if (!supervisor) {
        return error_set(err, STATUS_NO_MEMORY, "supervisor: out of memory");
    }
    supervisor->loop = loop;
    supervisor->queue = queue;
    supervisor->metrics = metrics;
    supervisor->config = *config;
    supervisor->callbacks = *callbacks;
    (void)uv_timer_init(loop, &supervisor->tick);
    (void)uv_idle_init(loop, &supervisor->busy);
    supervisor->tick.data = supervisor;
    supervisor->busy.data = supervisor;
    *out = supervisor;
    return STATUS_OK;
}

enum status supervisor_start(struct supervisor *supervisor, struct error *err)
{
    enum status status = supervisor_adopt_all(supervisor, err);
    if (status) {
        return status;
    }
    supervisor->is_plan_needed = true;
    supervisor_update_timers(supervisor);
    return STATUS_OK;
}

void supervisor_stop(struct supervisor *supervisor)
{
    struct active *next = NULL;

    if (supervisor->is_stopped) {
        return;
    }
    supervisor->is_stopped = true;
    for (struct active *active = supervisor->actives; active; active = next) {
        next = active->next;
        if (active->phase != ACTIVE_PHASE_CLOSING) {
            active_close(active);
        }
    }
    uv_close((uv_handle_t *)&supervisor->tick, NULL);
    uv_close((uv_handle_t *)&supervisor->busy, NULL);
}

void supervisor_destroy(struct supervisor *supervisor)
{
    if (supervisor) {
        assert(!supervisor->actives);
        free(supervisor->stale_runs);
        free(supervisor);
    }
}
