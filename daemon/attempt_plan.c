#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/fault.h"
#include "daemon/supervisor_private.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"

enum status job_ranks(struct supervisor *supervisor, const struct job *job, int *out,
                      struct error *err)
{
    struct bytes text = {0};
    json_t *spec = NULL;

    *out = 0;
    if (strcmp(job->kind, "train") != 0) {
        return STATUS_OK;
    }
    enum status status = queue_get_document(supervisor->queue, &text, job->spec_digest, err);
    if (status == STATUS_OK) {
        status = json_parse(&spec, text.data, text.size, "stored spec", err);
    }
    if (status == STATUS_OK) {
        *out = (int)json_get_int(json_object_get(spec, "launch"), "ranks", 1);
    }
    json_decref(spec);
    bytes_deinit(&text);
    return status;
}

/* 128 random bits in hex. out[ATTEMPT_ID_BYTES]. */
static enum status make_attempt_id(char *out, struct error *err)
{
    uint64_t random[2];

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return error_from_errno(err, errno, "random bytes");
    }
    (void)snprintf(out, ATTEMPT_ID_BYTES, "%016llx%016llx", (unsigned long long)random[0],
                   (unsigned long long)random[1]);
    return STATUS_OK;
}

static json_t *cpus_to_json(const struct cpu_list *cpus)
{
    json_t *list = json_array();
    for (int i = 0; i < cpus->count; i++) {
        (void)json_array_append_new(list, json_integer(cpus->cpus[i]));
    }
    return list;
}

static enum status intend(struct supervisor *supervisor, const struct job *job,
                          const struct cpu_list *cpus, struct error *err)
{
    struct active *active = NULL;
    char id[ATTEMPT_ID_BYTES];
    int ranks = 0;

    enum status status = make_attempt_id(id, err);
    if (status == STATUS_OK) {
        status = job_ranks(supervisor, job, &ranks, err);
    }
    if (status == STATUS_OK) {
        status =
            active_create(&active, supervisor, job->id, job->attempt + 1, id, ranks, cpus, err);
    }
    if (status) {
        return status;
    }
    slot_set_take(&supervisor->config.slots, cpus);
    status =
        queue_append(supervisor->queue, EVENT_ATTEMPT_STARTING, job->id, active->number,
                     json_pack("{s:s, s:o}", "attempt_id", id, "cpus", cpus_to_json(cpus)), err);
    if (status) {
        active_close(active);
    }
    fault_point(FAULT_POINT_STARTING_APPENDED);
    return status;
}

/* The jobs that wait, in order. */
struct waiting {
    struct supervisor *supervisor;
    struct job *jobs;
    struct schedule_request *requests;
    size_t count;
    size_t capacity;
};

/* More than can start at once; the rest is looked at when these have. */
#define WAITING_JOBS_MAX 512

/* How long a job has still to wait for its next attempt. That follows from what is in the queue, so
 * a daemon that was restarted waits for the rest of it. */
static enum status retry_wait(struct supervisor *supervisor, const struct job *job,
                              int64_t *wait_ms, struct error *err)
{
    struct attempt last;
    int64_t delay_ms = retry_delay_ms(job->attempts_used);

    *wait_ms = 0;
    if (job->reason.type != REASON_RETRY) {
        return STATUS_OK;
    }
    enum status status = queue_get_attempt(supervisor->queue, &last, job->id, job->attempt, err);
    if (status) {
        return status;
    }
    int64_t waited_ms = sys_realtime_ms() - last.ended_ms;
    if (0 <= waited_ms && waited_ms < delay_ms) { /* else it is over, or the clock was set back */
        *wait_ms = delay_ms - waited_ms;
    }
    return STATUS_OK;
}

static enum status collect_waiting(void *context, const struct job *job, struct error *err)
{
    struct waiting *waiting = context;
    struct supervisor *supervisor = waiting->supervisor;
    int64_t wait_ms = 0;

    if (waiting->count == waiting->capacity) {
        return STATUS_OK;
    }
    enum status status = retry_wait(supervisor, job, &wait_ms, err);
    if (status) {
        return status;
    }
    if (wait_ms > 0) {
        int64_t due_ms = (int64_t)uv_now(supervisor->loop) + wait_ms;
        bool is_first = supervisor->retry_ms == 0 || due_ms < supervisor->retry_ms;
        supervisor->retry_ms = is_first ? due_ms : supervisor->retry_ms;
    }
    waiting->jobs[waiting->count] = *job;
    waiting->requests[waiting->count] =
        (struct schedule_request){.job = job->id, .slots = job->slots, .wait_ms = wait_ms};
    waiting->count++;
    return STATUS_OK;
}

static enum status start_what_fits(struct supervisor *supervisor, struct waiting *waiting,
                                   struct error *err)
{
    struct cpu_list cpus;

    for (;;) {
        int index =
            schedule_next(&supervisor->config.slots, waiting->requests, waiting->count, &cpus);
        if (index < 0) {
            return STATUS_OK;
        }
        enum status status = intend(supervisor, &waiting->jobs[index], &cpus, err);
        if (status) {
            return status;
        }
        size_t behind = waiting->count - (size_t)index - 1;
        memmove(&waiting->jobs[index], &waiting->jobs[index + 1], behind * sizeof waiting->jobs[0]);
        memmove(&waiting->requests[index], &waiting->requests[index + 1],
                behind * sizeof waiting->requests[0]);
        waiting->count--;
    }
}

void supervisor_plan(struct supervisor *supervisor)
{
    struct error err;
    struct waiting waiting = {.supervisor = supervisor, .capacity = WAITING_JOBS_MAX};

    if (!supervisor->is_plan_needed || supervisor->is_stopped ||
        queue_has_failed(supervisor->queue, NULL)) {
        return;
    }
    supervisor->is_plan_needed = false;
    supervisor->retry_ms = 0;
    waiting.jobs = sys_calloc(waiting.capacity, sizeof *waiting.jobs);
    waiting.requests = sys_calloc(waiting.capacity, sizeof *waiting.requests);
    enum status status = waiting.jobs && waiting.requests
                             ? STATUS_OK
                             : error_set(&err, STATUS_NO_MEMORY, "plan: out of memory");
    if (status == STATUS_OK) {
        status = queue_each_queued(supervisor->queue, collect_waiting, &waiting, &err);
    }
    if (status == STATUS_OK) {
        status = start_what_fits(supervisor, &waiting, &err);
    }
    if (status) {
        log_error(&err);
    }
    free(waiting.jobs);
    free(waiting.requests);
}
