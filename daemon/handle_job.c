#include <stdio.h>
#include <string.h>

#include "daemon/service_private.h"
#include "daemon/view.h"
#include "proto/base/file.h"

enum status service_find_job(struct service *service, const json_t *params, struct job *out,
                             struct error *err)
{
    json_t *reference = json_object_get(params, "job");

    return json_is_integer(reference)
               ? queue_get_job(service->queue, out, json_integer_value(reference), err)
               : queue_find_job(service->queue, out, json_string_value(reference), err);
}

static json_t *view(struct service *service, const struct job *job, struct error *err)
{
    int64_t step = 0;
    int64_t steps = 0;

    if (metrics_progress(service->metrics, job->id, &step, &steps, err) != STATUS_OK) {
        return NULL;
    }
    return view_job(job, step, steps, supervisor_slots_total(service->supervisor));
}

struct job_page {
    struct service *service;
    json_t *jobs;
    size_t bytes; /* about */
};

static enum status append_job_view(void *context, const struct job *job, struct error *err)
{
    struct job_page *page = context;

    if (page->bytes > SERVICE_PAGE_BYTES_MAX) {
        return STATUS_LIMIT; /* enough; the rest is for the next page */
    }
    json_t *row = view(page->service, job, err);
    page->bytes += json_dumpb(row, NULL, 0, JSON_COMPACT);
    if (json_array_append_new(page->jobs, row) < 0) {
        return error_set(err, STATUS_NO_MEMORY, "list of jobs: out of memory");
    }
    return STATUS_OK;
}

enum status handle_job_list(void *context, const struct request *request, json_t **result,
                            bool *is_deferred, struct error *err)
{
    struct service *service = context;
    struct job_page page = {.service = service, .jobs = json_array()};
    bool is_all = json_get_bool(request->params, "all", false);

    (void)is_deferred;
    enum status status = queue_each_job(
        service->queue, json_get_int(request->params, "before", 0), is_all ? 0 : INT64_MAX,
        json_get_int(request->params, "limit", RPC_PAGE_ROWS_MAX), append_job_view, &page, err);
    if (status && status != STATUS_LIMIT) {
        json_decref(page.jobs);
        return status;
    }
    *result = json_pack("{s:o}", "jobs", page.jobs);
    return STATUS_OK;
}

static enum status append_attempt_view(void *context, const struct attempt *attempt,
                                       struct error *err)
{
    if (json_array_append_new(context, view_attempt(attempt)) < 0) {
        return error_set(err, STATUS_NO_MEMORY, "attempts: out of memory");
    }
    return STATUS_OK;
}

static enum status set_document(struct service *service, json_t *object, const char *key,
                                const char *digest, struct error *err)
{
    struct bytes text = {0};
    json_t *document = NULL;

    enum status status = queue_get_document(service->queue, &text, digest, err);
    if (status == STATUS_OK) {
        status = json_parse(&document, text.data, text.size, key, err);
    }
    if (status == STATUS_OK) {
        (void)json_object_set_new(object, key, document);
    }
    bytes_deinit(&text);
    return status;
}

/* The newest record of a kind, or null. */
static enum status set_newest(struct service *service, json_t *object, const char *key, int64_t job,
                              const char *kind, struct error *err)
{
    json_t *record = NULL;

    enum status status = metrics_newest(service->metrics, job, kind, &record, err);
    if (status == STATUS_OK) {
        (void)json_object_set_new(object, key, record ? record : json_null());
    }
    return status;
}

/* last also says how many steps there are, so that progress can be shown from it alone. */
static enum status set_last(struct service *service, json_t *object, int64_t job, struct error *err)
{
    int64_t step = 0;
    int64_t steps = 0;

    enum status status = set_newest(service, object, "last", job, "step", err);
    if (status == STATUS_OK) {
        status = metrics_progress(service->metrics, job, &step, &steps, err);
    }
    json_t *last = json_object_get(object, "last");
    if (status == STATUS_OK && json_is_object(last)) {
        (void)json_object_set_new(last, "steps", json_integer(steps));
    }
    return status;
}

enum status handle_job_get(void *context, const struct request *request, json_t **result,
                           bool *is_deferred, struct error *err)
{
    struct service *service = context;
    struct job job;
    json_t *attempts = NULL;

    (void)is_deferred;
    enum status status = service_find_job(service, request->params, &job, err);
    if (status) {
        return status;
    }
    attempts = json_array();
    *result = json_pack("{s:o?, s:o}", "job", view(service, &job, err), "attempts", attempts);
    status = *result ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "job: out of memory");
    if (status == STATUS_OK) {
        status = queue_each_attempt(service->queue, job.id, append_attempt_view, attempts, err);
    }
    if (status == STATUS_OK) {
        status = set_document(service, *result, "spec", job.spec_digest, err);
    }
    if (status == STATUS_OK) {
        status = set_document(service, *result, "inputs", job.inputs_digest, err);
    }
    if (status == STATUS_OK) {
        status = set_last(service, *result, job.id, err);
    }
    if (status == STATUS_OK) {
        status = set_newest(service, *result, "evaluation", job.id, "evaluation", err);
    }
    return status ? status : set_newest(service, *result, "checkpoint", job.id, "checkpoint", err);
}

enum status handle_job_cancel(void *context, const struct request *request, json_t **result,
                              bool *is_deferred, struct error *err)
{
    struct service *service = context;
    struct job job;
    enum job_state state = JOB_STATE_QUEUED;

    (void)is_deferred;
    enum status status = service_find_job(service, request->params, &job, err);
    if (status == STATUS_OK) {
        status = supervisor_cancel(service->supervisor, &job,
                                   (int64_t)connection_peer(request->connection)->uid, &state, err);
    }
    if (status == STATUS_OK) {
        *result =
            json_pack("{s:I, s:s}", "job", (json_int_t)job.id, "state", job_state_name(state));
    }
    return status;
}

enum status handle_job_resume(void *context, const struct request *request, json_t **result,
                              bool *is_deferred, struct error *err)
{
    struct service *service = context;
    struct job job;

    (void)is_deferred;
    enum status status = service_find_job(service, request->params, &job, err);
    if (status == STATUS_OK) {
        status = supervisor_resume(service->supervisor, &job,
                                   (int64_t)connection_peer(request->connection)->uid, err);
    }
    if (status == STATUS_OK) {
        *result = json_pack("{s:I, s:s}", "job", (json_int_t)job.id, "state",
                            job_state_name(JOB_STATE_QUEUED));
    }
    return status;
}
