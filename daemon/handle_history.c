#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/attempt_files.h"
#include "daemon/service_private.h"
#include "daemon/text.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"

/* The id of params.job, 0 when no job is named. */
static enum status find_optional_job(struct service *service, const json_t *params, int64_t *out,
                                     struct error *err)
{
    struct job job;

    *out = 0;
    if (!json_object_get(params, "job")) {
        return STATUS_OK;
    }
    enum status status = service_find_job(service, params, &job, err);
    if (status == STATUS_OK) {
        *out = job.id;
    }
    return status;
}

/* ---- Events ---- */

struct event_page {
    json_t *events;
    int64_t next_seq;
    size_t bytes; /* about */
};

static enum status append_event_view(void *context, const struct event *event, struct error *err)
{
    struct event_page *page = context;

    if (page->bytes > SERVICE_PAGE_BYTES_MAX) {
        return STATUS_LIMIT; /* enough; the rest is for the next page */
    }
    if (json_array_append_new(page->events, event_to_json(event)) < 0) {
        return error_set(err, STATUS_NO_MEMORY, "events: out of memory");
    }
    page->next_seq = event->seq + 1;
    page->bytes += 256 + json_dumpb(event->data, NULL, 0, JSON_COMPACT);
    return STATUS_OK;
}

enum status handle_job_events(void *context, const struct request *request, json_t **result,
                              bool *is_deferred, struct error *err)
{
    struct service *service = context;
    int64_t job = 0;
    struct event_page page = {.next_seq = json_get_int(request->params, "from_seq", 0)};

    (void)is_deferred;
    enum status status = find_optional_job(service, request->params, &job, err);
    if (status) {
        return status;
    }
    page.events = json_array();
    status = queue_each_event(service->queue, job, page.next_seq,
                              json_get_int(request->params, "limit", RPC_PAGE_ROWS_MAX),
                              append_event_view, &page, err);
    if (status && status != STATUS_LIMIT) {
        json_decref(page.events);
        return status;
    }
    *result = json_pack("{s:o, s:I}", "events", page.events, "next_seq", (json_int_t)page.next_seq);
    return STATUS_OK;
}

enum status handle_job_watch(void *context, const struct request *request, json_t **result,
                             bool *is_deferred, struct error *err)
{
    struct service *service = context;
    int64_t job = 0;

    (void)is_deferred;
    enum status status = find_optional_job(service, request->params, &job, err);
    if (status == STATUS_OK) {
        connection_watch(request->connection, job, json_get_int(request->params, "from_seq", 0));
        *result = json_pack("{s:I}", "seq", (json_int_t)queue_last_seq(service->queue));
    }
    return status;
}

enum status handle_job_unwatch(void *context, const struct request *request, json_t **result,
                               bool *is_deferred, struct error *err)
{
    (void)context;
    (void)result;
    (void)is_deferred;
    (void)err;
    connection_unwatch(request->connection);
    return STATUS_OK;
}

/* ---- Metrics ---- */

enum status handle_job_metrics(void *context, const struct request *request, json_t **result,
                               bool *is_deferred, struct error *err)
{
    struct service *service = context;
    struct job job;
    json_t *rows = NULL;
    int64_t next = -1;

    (void)is_deferred;
    enum status status = service_find_job(service, request->params, &job, err);
    if (status) {
        return status;
    }
    struct metrics_query query = {
        .job = job.id,
        .kind = json_get_text(request->params, "kind", "step"),
        .from_step = json_get_int(request->params, "from_step", 0),
        .limit = json_get_int(request->params, "limit", RPC_PAGE_ROWS_MAX),
        .bytes_max = SERVICE_PAGE_BYTES_MAX,
        .with_superseded = json_get_bool(request->params, "superseded", false),
    };
    rows = json_array();
    status = metrics_page(service->metrics, &query, rows, &next, err);
    if (status) {
        json_decref(rows);
        return status;
    }
    *result =
        json_pack("{s:o, s:o}", "rows", rows, "next", next < 0 ? json_null() : json_integer(next));
    return STATUS_OK;
}

/* ---- Logs ---- */

/* Part of a file as text; *offset moves behind what was taken. A missing file is empty. */
static enum status read_text(struct bytes *out, const char *path, int64_t *offset,
                             size_t limit_bytes, int64_t *size, bool is_complete, struct error *err)
{
    struct bytes raw = {0};

    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        *size = 0;
        *offset = 0;
        return errno == ENOENT ? STATUS_OK : error_from_errno(err, errno, "open '%s'", path);
    }
    *size = file_size(path);
    *offset = *offset > *size ? *size : *offset;
    enum status status = bytes_reserve(&raw, limit_bytes)
                             ? STATUS_OK
                             : error_set(err, STATUS_NO_MEMORY, "logs: out of memory");
    ssize_t count = status ? 0 : pread(fd, raw.data, limit_bytes, (off_t)*offset);
    if (count < 0) {
        status = error_from_errno(err, errno, "read '%s'", path);
    } else if (count > 0) {
        bool is_last = is_complete && *offset + count >= *size;
        /* A limit of a few bytes may hold no whole character: take it as it is, rather than stop.
         */
        size_t taken = text_append_utf8(out, raw.data, (size_t)count, is_last);
        if (taken == 0 && (size_t)count == limit_bytes) {
            taken = text_append_utf8(out, raw.data, (size_t)count, true);
        }
        *offset += (int64_t)taken;
    }
    (void)close(fd);
    bytes_deinit(&raw);
    return status ? status : bytes_status(out, "logs", err);
}

static json_t *view_log(const struct bytes *text, int64_t offset, int64_t size, int attempt,
                        bool has_ended)
{
    return json_pack("{s:s#, s:I, s:I, s:i, s:b}", "text", text->data ? text->data : "",
                     (int)text->size, "offset", (json_int_t)offset, "size", (json_int_t)size,
                     "attempt", attempt, "ended", has_ended);
}

enum status handle_job_logs(void *context, const struct request *request, json_t **result,
                            bool *is_deferred, struct error *err)
{
    struct service *service = context;
    struct job job;
    struct attempt attempt;
    struct bytes text = {0};
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    int64_t offset = json_get_int(request->params, "offset", 0);
    int64_t size = 0;

    (void)is_deferred;
    enum status status = service_find_job(service, request->params, &job, err);
    if (status) {
        return status;
    }
    int number = (int)json_get_int(request->params, "attempt", job.attempt);
    if (number == 0) { /* nothing was started yet */
        *result = view_log(&text, 0, 0, 0, job_state_is_final(job.state));
        return STATUS_OK;
    }
    status = queue_get_attempt(service->queue, &attempt, job.id, number, err);
    if (status == STATUS_OK) {
        status = attempt_folder_path(folder, supervisor_state_folder(service->supervisor), job.id,
                                     number, err);
    }
    if (status == STATUS_OK) {
        status = path_printf(path, err, "%s/%s", folder, ATTEMPT_OUTPUT_FILE);
    }
    bool has_ended = status == STATUS_OK && attempt_state_is_final(attempt.state);
    if (status == STATUS_OK) {
        status = read_text(&text, path, &offset,
                           (size_t)json_get_int(request->params, "limit_bytes", 64 * KIB), &size,
                           has_ended, err);
    }
    if (status == STATUS_OK) {
        *result = view_log(&text, offset, size, number, has_ended);
    }
    bytes_deinit(&text);
    return status;
}
