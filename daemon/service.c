#include "daemon/service.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "daemon/service_private.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "proto/spec/spec.h"

/* Plan and commit may follow from one another (an end frees slots), but not without end. */
#define COMMITS_PER_ITERATION_MAX 8

/* ---- The transaction ---- */

/* Nothing of this iteration has happened. */
static void roll_back(struct service *service, const struct error *why)
{
    if (!service->has_complained) {
        log_error(why);
        service->has_complained = true;
    }
    queue_rollback(service->queue);
    metrics_rollback(service->metrics);
    supervisor_rolled_back(service->supervisor);
    server_refuse(service->server, why);
}

/* metrics.db is a cache: what does not get into it is read again from the run folders. */
static void commit_metrics(struct service *service)
{
    struct error err;

    if (metrics_commit(service->metrics, &err) != STATUS_OK) {
        log_error(&err);
        metrics_rollback(service->metrics);
    }
}

static void close_all(struct service *service)
{
    if (service->is_closed) {
        return;
    }
    service->is_closed = true;
    supervisor_stop(service->supervisor);
    server_stop(service->server);
    uv_close((uv_handle_t *)&service->before_poll, NULL);
    uv_close((uv_handle_t *)&service->after_poll, NULL);
    for (size_t i = 0; i < SERVICE_SIGNALS; i++) {
        uv_close((uv_handle_t *)&service->signals[i], NULL);
    }
}

/*
 * Makes durable what has gathered, then does what was waiting for that. What was said is let go
 * after the commit that it belongs to: should a later one of the same iteration fail, it takes back
 * only what is not true.
 */
static void commit(struct service *service)
{
    struct error err;
    bool is_changed = true;

    for (int i = 0; i < COMMITS_PER_ITERATION_MAX && is_changed; i++) {
        supervisor_plan(service->supervisor);
        if (queue_commit(service->queue, &err) != STATUS_OK) {
            roll_back(service, &err);
            return;
        }
        service->has_complained = false;
        commit_metrics(service);
        server_release(service->server);
        supervisor_committed(service->supervisor);
        is_changed = !queue_is_committed(service->queue);
    }
    if (!is_changed) {
        server_release(
            service->server); /* what the supervisor has said: it follows from nothing new */
    }
    if (service->is_stopping) {
        close_all(service);
    }
}

static void on_before_poll(uv_prepare_t *handle)
{
    commit(handle->data);
}

static void on_after_poll(uv_check_t *handle)
{
    commit(handle->data);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct service *service = handle->data;

    log_info("signal %d: ending; running attempts go on", number);
    service->is_stopping = true;
}

/* ---- Callbacks of the parts ---- */

static void on_record(void *context, int64_t job, const json_t *record)
{
    struct service *service = context;
    if (service->server) {
        server_broadcast_progress(service->server, job, record);
    }
}

static bool on_control(void *context, int64_t job, int attempt, const char *action)
{
    struct service *service = context;
    return server_control_worker(service->server, job, attempt, action);
}

static void on_connection_closed(void *context, struct connection *connection)
{
    struct service *service = context;
    int64_t job = 0;
    int attempt = 0;

    if (connection_get_worker(connection, &job, &attempt)) {
        supervisor_detach(service->supervisor, job, attempt);
    }
}

/* ---- Start ---- */

/* One daemon per state folder: the lock goes with the process, however it ends. */
static enum status lock_state(struct service *service, const char *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];
    char text[32];

    enum status status = folder_create(folder, 0700, err);
    if (status == STATUS_OK) {
        status = path_printf(path, err, "%s/remorad.lock", folder);
    }
    if (status) {
        return status;
    }
    service->lock_fd = sys_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (service->lock_fd < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    if (sys_flock(service->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t size = pread(service->lock_fd, text, sizeof text - 1, 0);
        text[size > 0 ? size : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        (void)error_set(err, STATUS_BUSY, "another remorad (process %s) has the state folder '%s'",
                        text, folder);
        error_set_hint(err, "use that one, end it with 'remora down', or choose --state-dir");
        return STATUS_BUSY;
    }
    int size = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (sys_ftruncate(service->lock_fd, 0) < 0 ||
        pwrite(service->lock_fd, text, (size_t)size, 0) != size) {
        return error_from_errno(err, errno, "write '%s'", path);
    }
    return STATUS_OK;
}

static enum status open_stores(struct service *service, const char *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];
    bool was_replaced = false;

    enum status status = path_printf(path, err, "%s/queue.db", folder);
    if (status == STATUS_OK) {
        status = queue_open(&service->queue, path, err);
    }
    if (status == STATUS_CORRUPT) {
        error_set_hint(err,
                       "keep '%s' aside (the run folders under '%s/jobs' are untouched) and "
                       "start again with a backup, or without it",
                       path, folder);
    }
    if (status == STATUS_OK) {
        status = path_printf(path, err, "%s/metrics.db", folder);
    }
    if (status == STATUS_OK) {
        status = metrics_open(&service->metrics, path, &was_replaced, err);
    }
    if (status == STATUS_OK && was_replaced) {
        log_debug("metrics.db is new: reading the run folders");
    }
    return status;
}

static enum status init_loop(struct service *service, struct error *err)
{
    static const int numbers[SERVICE_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

    int code = uv_loop_init(&service->loop);
    if (code < 0) {
        return error_from_errno(err, -code, "event loop");
    }
    service->has_loop = true;
    (void)uv_prepare_init(&service->loop, &service->before_poll);
    (void)uv_check_init(&service->loop, &service->after_poll);
    service->before_poll.data = service;
    service->after_poll.data = service;
    for (size_t i = 0; i < SERVICE_SIGNALS; i++) {
        (void)uv_signal_init(&service->loop, &service->signals[i]);
        service->signals[i].data = service;
        (void)uv_signal_start(&service->signals[i], on_signal, numbers[i]);
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return STATUS_OK;
}

static enum status open_parts(struct service *service, struct error *err)
{
    const struct supervisor_config *config = &service->config.supervisor;
    const struct server_config server_config = {
        .handlers = service_handlers, .on_closed = on_connection_closed, .context = service};
    const struct supervisor_callbacks callbacks = {
        .on_record = on_record, .on_control = on_control, .context = service};
    const struct schema *schema = NULL;

    enum status status = lock_state(service, config->state_folder, err);
    if (status == STATUS_OK) {
        status = open_stores(service, config->state_folder, err);
    }
    if (status == STATUS_OK) {
        status = spec_schema(&schema, err); /* built once, before the pool may want it */
    }
    if (status == STATUS_OK) {
        status = rpc_catalog_create(&service->catalog, err);
    }
    if (status == STATUS_OK) {
        status = init_loop(service, err);
    }
    if (status == STATUS_OK) {
        status = supervisor_create(&service->supervisor, &service->loop, service->queue,
                                   service->metrics, config, &callbacks, err);
    }
    if (status == STATUS_OK) {
        status = server_create(&service->server, &service->loop, config->socket_path,
                               service->queue, service->catalog, &server_config, err);
    }
    return status ? status : supervisor_start(service->supervisor, err);
}

enum status service_create(struct service **out, const struct service_config *config,
                           struct error *err)
{
    struct service *service = sys_calloc(1, sizeof *service);

    if (!service) {
        return error_set(err, STATUS_NO_MEMORY, "daemon: out of memory");
    }
    service->config = *config;
    service->lock_fd = -1;
    service->started_ns = sys_monotonic_ns();
    enum status status = open_parts(service, err);
    if (status) {
        if (status == STATUS_NO_SPACE) {
            error_set_hint(err, "make room on the disk of '%s'", config->supervisor.state_folder);
        }
        service_destroy(service);
        return status;
    }
    (void)uv_prepare_start(&service->before_poll, on_before_poll);
    (void)uv_check_start(&service->after_poll, on_after_poll);
    *out = service;
    return STATUS_OK;
}

enum status service_run(struct service *service, struct error *err)
{
    int code = uv_run(&service->loop, UV_RUN_DEFAULT);
    return code < 0 ? error_from_errno(err, -code, "event loop") : STATUS_OK;
}

/* Runs the close callbacks of everything that was opened, however far that was. */
static void close_loop(struct service *service)
{
    if (service->supervisor) {
        supervisor_stop(service->supervisor);
    }
    if (service->server) {
        server_stop(service->server);
    }
    if (!service->is_closed) {
        uv_close((uv_handle_t *)&service->before_poll, NULL);
        uv_close((uv_handle_t *)&service->after_poll, NULL);
        for (size_t i = 0; i < SERVICE_SIGNALS; i++) {
            uv_close((uv_handle_t *)&service->signals[i], NULL);
        }
        service->is_closed = true;
    }
    (void)uv_run(&service->loop, UV_RUN_DEFAULT);
    int code = uv_loop_close(&service->loop);
    assert(code == 0); /* every handle was closed */
}

void service_destroy(struct service *service)
{
    if (!service) {
        return;
    }
    if (service->has_loop) {
        close_loop(service);
    }
    server_destroy(service->server);
    supervisor_destroy(service->supervisor);
    rpc_catalog_destroy(service->catalog);
    metrics_close(service->metrics);
    queue_close(service->queue);
    if (service->lock_fd >= 0) {
        (void)close(service->lock_fd);
    }
    free(service);
}

enum status service_check(const char *state_folder, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct queue *queue = NULL;

    enum status status = path_printf(path, err, "%s/queue.db", state_folder);
    if (status == STATUS_OK && !file_exists(path)) {
        return error_set(err, STATUS_NOT_FOUND, "there is no '%s'", path);
    }
    if (status == STATUS_OK) {
        status = queue_open(&queue, path, err);
    }
    if (status == STATUS_OK) {
        status = queue_verify(queue, err);
    }
    queue_close(queue);
    return status;
}
