#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/fault.h"
#include "daemon/process.h"
#include "daemon/supervisor_private.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"

/* All that the pool thread may touch. Filled before it starts, read after it ends. */
struct launch_work {
    uv_work_t request; /* request.data is this struct */
    struct active *active;
    struct launch launch;
    enum status status; /* out */
    struct error err;   /* out */
};

static void launch_work_free(struct launch_work *work)
{
    launch_deinit(&work->launch);
    free(work);
}

/* On the pool. */
static void prepare(uv_work_t *request)
{
    struct launch_work *work = request->data;
    struct launch *launch = &work->launch;

    work->status = STATUS_OK;
    if (launch->ranks > 0 && launch->mpirun.major == 0) {
        work->status = mpirun_probe(&launch->mpirun, &work->err);
    }
    if (work->status == STATUS_OK) {
        work->status = launch_prepare(launch, &work->err);
    }
}

static enum status get_document(struct queue *queue, char **out, const char *digest,
                                struct error *err)
{
    struct bytes text = {0};

    enum status status = queue_get_document(queue, &text, digest, err);
    if (status) {
        bytes_deinit(&text);
        return status;
    }
    *out = text.data; /* handed on */
    return STATUS_OK;
}

static enum status fill_launch(struct launch *launch, struct active *active, struct error *err)
{
    struct supervisor *supervisor = active->supervisor;
    const struct supervisor_config *config = &supervisor->config;
    struct job job;

    launch->job = active->job;
    launch->attempt = active->number;
    launch->ranks = active->ranks;
    launch->cpus = active->cpus;
    launch->mpirun = supervisor->mpirun;
    memcpy(launch->attempt_id, active->id, sizeof launch->attempt_id);
    memcpy(launch->worker, config->worker_path, sizeof launch->worker);
    memcpy(launch->socket, config->socket_path, sizeof launch->socket);
    memcpy(launch->folder, active->folder, sizeof launch->folder);
    enum status status =
        job_folder_path(launch->job_folder, config->state_folder, active->job, err);
    if (status == STATUS_OK) {
        status = launch_shared_folder(launch->shared_folder, active->folder, active->id, err);
    }
    if (status == STATUS_OK) {
        status = queue_get_job(supervisor->queue, &job, active->job, err);
    }
    if (status == STATUS_OK) {
        status = get_document(supervisor->queue, &launch->spec, job.spec_digest, err);
    }
    if (status == STATUS_OK) {
        status = get_document(supervisor->queue, &launch->inputs, job.inputs_digest, err);
    }
    return status;
}

/* The shim has written shim.json, or has ended. */
static void on_ready(uv_poll_t *poll, int poll_status, int events)
{
    struct active *active = poll->data;
    struct error err;
    char byte = 0;

    (void)poll_status;
    (void)events;
    ssize_t count = read(active->ready_fd, &byte, 1);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    active_close_ready(active);
    if (count != 1) {
        return; /* it failed: its end is seen through the pidfd */
    }
    fault_point(FAULT_POINT_READY_SEEN);
    if (active_started(active, &err) != STATUS_OK) {
        log_error(&err);
    }
}

static void on_exit_readable(uv_poll_t *poll, int poll_status, int events)
{
    (void)poll_status;
    (void)events;
    active_exit_seen(poll->data);
}

enum status active_watch_exit(struct active *active, int pidfd, struct error *err)
{
    assert(active->pidfd < 0);
    int code = uv_poll_init(active->supervisor->loop, &active->exit_poll, pidfd);
    if (code < 0) {
        (void)close(pidfd);
        return error_from_errno(err, -code, "watch the shim");
    }
    active->pidfd = pidfd;
    active->exit_poll.data = active;
    active->has_exit_poll = true;
    active->open_handles++;
    code = uv_poll_start(&active->exit_poll, UV_READABLE, on_exit_readable);
    assert(code == 0); /* fails only for a handle that is closing */
    return STATUS_OK;
}

static enum status watch_ready(struct active *active, int ready_fd, struct error *err)
{
    active->ready_fd = ready_fd;
    int code = uv_poll_init(active->supervisor->loop, &active->ready_poll, ready_fd);
    if (code < 0) {
        return error_from_errno(err, -code, "watch the shim");
    }
    active->ready_poll.data = active;
    active->has_ready_poll = true;
    active->open_handles++;
    code = uv_poll_start(&active->ready_poll, UV_READABLE | UV_DISCONNECT, on_ready);
    assert(code == 0); /* fails only for a handle that is closing */
    return STATUS_OK;
}

static enum status spawn_shim(struct active *active, const struct launch *launch, struct error *err)
{
    int pidfd = -1;
    int ready_fd = -1;

    fault_point(FAULT_POINT_PREPARED);
    enum status status = launch_spawn(launch, active->supervisor->config.program_path,
                                      &active->child, &pidfd, &ready_fd, err);
    if (status) {
        return status;
    }
    fault_point(FAULT_POINT_SPAWNED);
    memcpy(active->token, launch->token, sizeof active->token);
    active->phase = ACTIVE_PHASE_WAITING;
    status = watch_ready(active, ready_fd, err);
    enum status exit_status = active_watch_exit(active, pidfd, status ? NULL : err);
    return status ? status : exit_status;
}

/* Back on the loop. */
static void prepared(uv_work_t *request, int uv_status)
{
    struct launch_work *work = request->data;
    struct active *active = work->active;
    struct error err = work->err;

    active->launch_work = NULL;
    if (active->phase == ACTIVE_PHASE_CLOSING) { /* the daemon is shutting down */
        active_free_when_idle(active);
        launch_work_free(work);
        return;
    }
    enum status status =
        uv_status ? error_set(&err, STATUS_CANCELLED, "launch: cancelled") : work->status;
    if (work->launch.mpirun.major > 0) {
        active->supervisor->mpirun = work->launch.mpirun;
    }
    if (status == STATUS_OK && active->is_stop_appended) {
        active->phase = ACTIVE_PHASE_GATHERING; /* nothing runs, but files are to be removed */
        active_gather(active);
    } else {
        if (status == STATUS_OK) {
            status = spawn_shim(active, &work->launch, &err);
        }
        if (status) {
            active_launch_failed(active, &err);
        }
    }
    launch_work_free(work);
}

void active_prepare(struct active *active)
{
    struct error err;
    struct launch_work *work = sys_calloc(1, sizeof *work);

    assert(active->phase == ACTIVE_PHASE_INTENDED);
    active->phase = ACTIVE_PHASE_PREPARING;
    enum status status = work ? fill_launch(&work->launch, active, &err)
                              : error_set(&err, STATUS_NO_MEMORY, "launch: out of memory");
    if (status == STATUS_OK) {
        work->active = active;
        work->request.data = work;
        active->launch_work = work;
        int code = uv_queue_work(active->supervisor->loop, &work->request, prepare, prepared);
        assert(code == 0); /* fails only without a work function */
        return;
    }
    if (work) {
        launch_work_free(work);
    }
    active_launch_failed(active, &err);
}

enum status active_started(struct active *active, struct error *err)
{
    struct process_identity shim;

    if (active->is_start_appended) {
        return STATUS_OK;
    }
    enum status status = shim_record_read(active->folder, &shim, err);
    if (status) {
        return status;
    }
    if (active->phase == ACTIVE_PHASE_WAITING) {
        active->phase = ACTIVE_PHASE_RUNNING;
    }
    status =
        queue_append(active->supervisor->queue, EVENT_ATTEMPT_STARTED, active->job, active->number,
                     json_pack("{s:s, s:I, s:I}", "boot_id", shim.boot_id, "pid",
                               (json_int_t)shim.pid, "process_start", (json_int_t)shim.start_ticks),
                     err);
    active->is_start_appended = status == STATUS_OK;
    return status;
}
