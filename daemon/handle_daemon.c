#include <unistd.h>

#include "daemon/service_private.h"
#include "proto/base/sys.h"
#include "proto/rpc/message.h"

enum status handle_hello(void *context, const struct request *request, json_t **result,
                         bool *is_deferred, struct error *err)
{
    struct service *service = context;
    int64_t protocol = json_get_int(request->params, "protocol", 0);

    (void)is_deferred;
    if (protocol != RPC_PROTOCOL_VERSION) {
        (void)error_set(err, STATUS_UNSUPPORTED,
                        "protocol %lld is not spoken here; this is remorad " REMORA_VERSION
                        ", protocol %d",
                        (long long)protocol, RPC_PROTOCOL_VERSION);
        error_set_field(err, "protocol");
        error_set_hint(err, "use the remora of the same version, or restart the daemon: "
                            "remora down && remora up");
        return STATUS_UNSUPPORTED;
    }
    connection_greet(request->connection);
    *result = json_pack("{s:i, s:s, s:s, s:i}", "protocol", RPC_PROTOCOL_VERSION, "daemon",
                        REMORA_VERSION, "state_dir", service->config.supervisor.state_folder, "pid",
                        (int)getpid());
    return STATUS_OK;
}

/* ---- Rank 0 ---- */

enum status handle_worker_attach(void *context, const struct request *request, json_t **result,
                                 bool *is_deferred, struct error *err)
{
    struct service *service = context;
    int64_t job = json_get_int(request->params, "job", 0);
    int attempt = (int)json_get_int(request->params, "attempt", 0);
    int64_t offset = 0;

    (void)is_deferred;
    enum status status =
        supervisor_attach(service->supervisor, job, attempt,
                          json_get_text(request->params, "token", ""), &offset, err);
    if (status == STATUS_OK && offset > json_get_int(request->params, "records_bytes", 0)) {
        /* The file is younger than what we have of it: power was lost in between. */
        status = metrics_forget(service->metrics, job, err);
        offset = 0;
    }
    if (status == STATUS_OK) {
        connection_set_worker(request->connection, job, attempt);
        *result = json_pack("{s:I}", "offset", (json_int_t)offset);
    }
    return status;
}

enum status handle_worker_report(void *context, const struct request *request, json_t **result,
                                 bool *is_deferred, struct error *err)
{
    struct service *service = context;
    int64_t job = 0;
    int attempt = 0;
    int64_t known = 0;

    (void)result;
    (void)is_deferred;
    if (!connection_get_worker(request->connection, &job, &attempt)) {
        (void)error_set(err, STATUS_PERMISSION, "worker.report: attach first");
        return STATUS_PERMISSION;
    }
    enum status status = supervisor_report(service->supervisor, job, attempt,
                                           json_get_int(request->params, "offset", 0),
                                           json_object_get(request->params, "lines"), &known, err);
    if (status == STATUS_OK) {
        json_t *params = json_pack("{s:I}", "offset", (json_int_t)known);
        connection_notify(request->connection, RPC_NOTIFICATION_WORKER_ACK, params);
        json_decref(params);
    }
    return status;
}

/* ---- The daemon itself ---- */

enum status handle_daemon_status(void *context, const struct request *request, json_t **result,
                                 bool *is_deferred, struct error *err)
{
    struct service *service = context;
    const struct supervisor_config *config = &service->config.supervisor;
    int64_t counts[JOB_STATE_COUNT];

    (void)request;
    (void)is_deferred;
    enum status status = queue_count_states(service->queue, counts, err);
    if (status) {
        return status;
    }
    json_t *jobs = json_object();
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        (void)json_object_set_new(jobs, job_state_name((enum job_state)state),
                                  json_integer(counts[state]));
    }
    double uptime_s = (double)(sys_monotonic_ns() - service->started_ns) / 1e9;
    *result = json_pack("{s:s, s:i, s:f, s:s, s:s, s:{s:i, s:i}, s:o}", "version", REMORA_VERSION,
                        "pid", (int)getpid(), "uptime_s", uptime_s, "state_dir",
                        config->state_folder, "socket", config->socket_path, "slots", "total",
                        supervisor_slots_total(service->supervisor), "free",
                        supervisor_slots_free(service->supervisor), "jobs", jobs);
    return STATUS_OK;
}

enum status handle_daemon_shutdown(void *context, const struct request *request, json_t **result,
                                   bool *is_deferred, struct error *err)
{
    struct service *service = context;

    (void)request;
    (void)result;
    (void)is_deferred;
    (void)err;
    service->is_stopping = true;
    return STATUS_OK;
}

server_handler_fn *const service_handlers[RPC_METHOD_COUNT] = {
    [RPC_METHOD_HELLO] = handle_hello,
    [RPC_METHOD_JOB_SUBMIT] = handle_job_submit,
    [RPC_METHOD_JOB_LIST] = handle_job_list,
    [RPC_METHOD_JOB_GET] = handle_job_get,
    [RPC_METHOD_JOB_CANCEL] = handle_job_cancel,
    [RPC_METHOD_JOB_RESUME] = handle_job_resume,
    [RPC_METHOD_JOB_EVENTS] = handle_job_events,
    [RPC_METHOD_JOB_METRICS] = handle_job_metrics,
    [RPC_METHOD_JOB_LOGS] = handle_job_logs,
    [RPC_METHOD_JOB_WATCH] = handle_job_watch,
    [RPC_METHOD_JOB_UNWATCH] = handle_job_unwatch,
    [RPC_METHOD_WORKER_ATTACH] = handle_worker_attach,
    [RPC_METHOD_WORKER_REPORT] = handle_worker_report,
    [RPC_METHOD_DAEMON_STATUS] = handle_daemon_status,
    [RPC_METHOD_DAEMON_SHUTDOWN] = handle_daemon_shutdown,
};
