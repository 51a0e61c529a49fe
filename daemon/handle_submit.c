#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/attempt_files.h"
#include "daemon/service_private.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "proto/spec/inputs.h"
#include "proto/spec/spec.h"

/*
 * All that the pool thread may touch: it takes the digests of what the spec names, which may mean
 * reading large files. Filled before it starts, read after it ends.
 */
struct submit_work {
    uv_work_t request; /* request.data is this struct */
    struct service *service;
    struct connection *connection; /* held until the answer */
    json_t *id;
    int64_t uid;
    json_t *spec;       /* canonical */
    enum status status; /* out */
    json_t *inputs;     /* out */
    struct error err;   /* out */
};

static void submit_work_free(struct submit_work *work)
{
    json_decref(work->id);
    json_decref(work->spec);
    json_decref(work->inputs);
    free(work);
}

/* On the pool. */
static void take_digests(uv_work_t *request)
{
    struct submit_work *work = request->data;
    work->status = spec_inputs(&work->inputs, work->spec, &work->err);
}

static enum status check_slots(const struct service *service, const json_t *spec, struct error *err)
{
    int total = supervisor_slots_total(service->supervisor);
    int64_t slots = spec_slots(spec);

    if (slots <= total) {
        return STATUS_OK;
    }
    (void)error_set(err, STATUS_LIMIT,
                    "launch.ranks: %lld slots (ranks x threads_per_rank) are needed, this daemon "
                    "has %d",
                    (long long)slots, total);
    error_set_field(err, "launch.ranks");
    error_set_hint(err, "ask for fewer ranks or threads, or restart remorad with --slots %lld",
                   (long long)slots);
    return STATUS_LIMIT;
}

/* Keeps a document; its digest, by which it is found, goes to hex. */
static enum status put_document(struct queue *queue, const json_t *document,
                                char hex[DIGEST_HEX_BYTES], struct error *err)
{
    struct bytes text = {0};
    struct digest digest;

    json_canonical(&text, document);
    enum status status = bytes_status(&text, "document", err);
    if (status == STATUS_OK) {
        digest_of(&digest, text.data, text.size);
        digest_to_hex(hex, &digest);
        status = queue_put_document(queue, hex, text.data, err);
    }
    bytes_deinit(&text);
    return status;
}

/* Everything is checked: one event, and the job is in the queue. */
static enum status append_job(struct submit_work *work, json_t **result, struct error *err)
{
    struct queue *queue = work->service->queue;
    char spec_digest[DIGEST_HEX_BYTES];
    char inputs_digest[DIGEST_HEX_BYTES];
    int64_t job = 0;

    enum status status = put_document(queue, work->spec, spec_digest, err);
    if (status == STATUS_OK) {
        status = put_document(queue, work->inputs, inputs_digest, err);
    }
    if (status == STATUS_OK) {
        status = queue_next_job(queue, &job, err);
    }
    if (status) {
        return status;
    }
    const char *kind = spec_kind(work->spec) == SPEC_KIND_TRAIN ? "train" : "prepare";
    status =
        queue_append(queue, EVENT_JOB_SUBMITTED, job, 0,
                     json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:I}", "name", spec_name(work->spec),
                               "kind", kind, "uid", (json_int_t)work->uid, "spec", spec_digest,
                               "inputs", inputs_digest, "slots", (json_int_t)spec_slots(work->spec),
                               "attempts_max", (json_int_t)spec_max_attempts(work->spec)),
                     err);
    if (status == STATUS_OK) {
        supervisor_wake(work->service->supervisor);
        *result =
            json_pack("{s:I, s:s, s:s, s:s}", "job", (json_int_t)job, "name", spec_name(work->spec),
                      "digest", spec_digest, "state", job_state_name(JOB_STATE_QUEUED));
    }
    return status;
}

/* Back on the loop. Who has hung up meanwhile would submit again: nothing happens for them. */
static void digests_taken(uv_work_t *request, int uv_status)
{
    struct submit_work *work = request->data;
    json_t *result = NULL;
    struct error err = work->err;

    if (!connection_is_closing(work->connection) && !work->service->is_closed) {
        enum status status =
            uv_status ? error_set(&err, STATUS_CANCELLED, "submit: cancelled") : work->status;
        if (status == STATUS_OK) {
            status = append_job(work, &result, &err);
        }
        connection_answer(work->connection, work->id, result, status, &err);
        json_decref(result);
    }
    connection_drop(work->connection);
    submit_work_free(work);
}

/* JOB@STEP of model.from becomes a checkpoint in that job's run folder. */
static enum status resolve_from(struct service *service, json_t *spec, struct error *err)
{
    json_t *model = json_object_get(spec, "model");
    const char *from = json_get_text(model, "from", NULL);
    char path[PATH_BYTES_MAX];
    char reference[PATH_BYTES_MAX];
    struct job job;

    if (!from || !spec_is_job_step(from)) {
        return STATUS_OK;
    }
    const char *at = strrchr(from, '@');
    enum status status = path_printf(reference, err, "%.*s", (int)(at - from), from);
    if (status == STATUS_OK) {
        status = queue_find_job(service->queue, &job, reference, err);
    }
    if (status == STATUS_OK) {
        status = run_folder_path(path, supervisor_state_folder(service->supervisor), job.id, err);
    }
    if (status == STATUS_OK && strlen(path) + strlen(at) < sizeof path) {
        (void)memcpy(path + strlen(path), at, strlen(at) + 1);
    }
    if (status) {
        (void)error_wrap(err, "model.from");
        error_set_field(err, "model.from");
        return status;
    }
    return json_object_set_new(model, "from", json_string(path)) == 0
               ? STATUS_OK
               : error_set(err, STATUS_NO_MEMORY, "submit: out of memory");
}

enum status handle_job_submit(void *context, const struct request *request, json_t **result,
                              bool *is_deferred, struct error *err)
{
    struct service *service = context;
    json_t *spec = json_object_get(request->params, "spec");
    const char *name = json_get_text(request->params, "name", NULL);

    (void)result;
    if (!request->id) {
        return error_set(err, STATUS_INVALID, "job.submit: a notification gets no id");
    }
    if (name && json_object_set_new(spec, "name", json_string(name)) < 0) {
        return error_set(err, STATUS_NO_MEMORY, "submit: out of memory");
    }
    enum status status = spec_validate(spec, err);
    if (status == STATUS_OK) {
        status = check_slots(service, spec, err);
    }
    if (status == STATUS_OK) {
        status = resolve_from(service, spec, err);
    }
    if (status) {
        return status;
    }
    struct submit_work *work = sys_calloc(1, sizeof *work);
    if (!work) {
        return error_set(err, STATUS_NO_MEMORY, "submit: out of memory");
    }
    work->service = service;
    work->connection = request->connection;
    work->id = json_incref(request->id);
    work->uid = (int64_t)connection_peer(request->connection)->uid;
    work->spec = json_deep_copy(spec); /* the pool's own: nothing is shared with the request */
    work->request.data = work;
    connection_hold(work->connection);
    int code = uv_queue_work(&service->loop, &work->request, take_digests, digests_taken);
    assert(code == 0); /* fails only without a work function */
    *is_deferred = true;
    return STATUS_OK;
}
