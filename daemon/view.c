#include "daemon/view.h"

#include "daemon/event.h"

/* null stands for "none". */
static json_t *integer_or_null(bool is_there, int64_t value)
{
    return is_there ? json_integer(value) : json_null();
}

static json_t *view_reason(const struct job *job, int slots_total)
{
    struct reason reason = job->reason;

    if (job->state == JOB_STATE_QUEUED && job->slots > slots_total) {
        reason_set(&reason, reason.type, "needs %d slots, this daemon has %d", job->slots,
                   slots_total);
        reason_set_hint(&reason, "restart remorad with --slots %d", job->slots);
    }
    return reason_to_json(&reason);
}

json_t *view_job(const struct job *job, int64_t step, int64_t steps, int slots_total)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:s}", "id",
                     (json_int_t)job->id, "name", job->name, "kind", job->kind, "state",
                     job_state_name(job->state), "reason", view_reason(job, slots_total),
                     "submitted_ms", (json_int_t)job->submitted_ms, "started_ms",
                     integer_or_null(job->started_ms != JOB_TIME_NEVER_MS, job->started_ms),
                     "ended_ms", integer_or_null(job->ended_ms != JOB_TIME_NEVER_MS, job->ended_ms),
                     "uid", (json_int_t)job->uid, "attempt",
                     integer_or_null(job->attempt > 0, job->attempt), "step",
                     integer_or_null(steps > 0, step), "steps", integer_or_null(steps > 0, steps),
                     "digest", job->spec_digest);
}

static json_t *view_cpus(const struct cpu_list *cpus)
{
    json_t *list = json_array();
    for (int i = 0; i < cpus->count; i++) {
        (void)json_array_append_new(list, json_integer(cpus->cpus[i]));
    }
    return list;
}

json_t *view_attempt(const struct attempt *attempt)
{
    return json_pack(
        "{s:i, s:s, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "attempt", attempt->number, "state",
        attempt_state_name(attempt->state), "reason", reason_to_json(&attempt->reason),
        "started_ms", (json_int_t)attempt->started_ms, "ended_ms",
        integer_or_null(attempt->ended_ms != JOB_TIME_NEVER_MS, attempt->ended_ms), "exit_code",
        integer_or_null(attempt->exit_code >= 0, attempt->exit_code), "signal",
        integer_or_null(attempt->signal > 0, attempt->signal), "cpus", view_cpus(&attempt->cpus),
        "resumed_from", integer_or_null(attempt->resumed_from >= 0, attempt->resumed_from));
}
