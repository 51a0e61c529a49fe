/* logs — what the processes of an attempt printed. */
#include <stdio.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/session.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"

#define PAGE_BYTES     (256 * KIB)
#define FOLLOW_POLL_US 200000
#define ATTEMPT_MAX    1000000

static const struct command_option options[] = {
    {.name = "follow", .letter = 'f', .help = "goes on until the job has ended"},
    {.name = "attempt", .value = "N", .help = "of this attempt (default: the newest)"},
};

struct log_place {
    long long attempt; /* 0: the newest */
    int64_t offset;
    bool has_ended; /* nothing will be added to this attempt's log */
};

/* Prints what is there behind the place and moves it; *is_more when another page is ready. */
static enum status print_page(struct session *session, const struct job_reference *job,
                              struct log_place *place, bool *is_more, struct error *err)
{
    json_t *params = job_reference_params(job);
    json_t *page = NULL;

    (void)json_object_set_new(params, "offset", json_integer(place->offset));
    (void)json_object_set_new(params, "limit_bytes", json_integer(PAGE_BYTES));
    if (place->attempt > 0) {
        (void)json_object_set_new(params, "attempt", json_integer(place->attempt));
    }
    enum status status = session_call(session, RPC_METHOD_JOB_LOGS, params, &page, err);
    if (status) {
        return status;
    }
    const json_t *text = json_object_get(page, "text");
    (void)fwrite(json_string_value(text), 1, json_string_length(text), stdout);
    (void)fflush(stdout);
    int64_t next = json_get_int(page, "offset", place->offset);
    *is_more = next > place->offset && next < json_get_int(page, "size", 0);
    place->offset = next;
    place->attempt = json_get_int(page, "attempt", place->attempt);
    place->has_ended = json_get_bool(page, "ended", true);
    json_decref(page);
    return STATUS_OK;
}

static enum status print_rest(struct session *session, const struct job_reference *job,
                              struct log_place *place, struct error *err)
{
    bool is_more = true;
    enum status status = STATUS_OK;

    while (is_more && !status) {
        status = print_page(session, job, place, &is_more, err);
    }
    return status;
}

/* Through the attempts that follow, until the job is final. */
static enum status follow(struct session *session, const struct job_reference *reference,
                          struct log_place *place, struct error *err)
{
    for (;;) {
        json_t *detail = NULL;
        struct job job;
        /* The state is asked for before the text: what a job printed last is never missed. */
        enum status status = session_get_job(session, reference, &detail, err);
        if (status) {
            return status;
        }
        job_from_json(&job, json_object_get(detail, "job"));
        bool is_final = job_state_is_final(job.state);
        int64_t newest = job.attempt;
        json_decref(detail);

        if (newest > 0) {
            status = print_rest(session, reference, place, err);
        }
        if (status) {
            return status;
        }
        if (newest > place->attempt && place->has_ended && place->attempt > 0) {
            *place = (struct log_place){.attempt = place->attempt + 1};
            continue;
        }
        if (is_final) {
            return STATUS_OK;
        }
        (void)usleep(FOLLOW_POLL_US);
    }
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;
    struct log_place place = {0};
    (void)exit_code;

    enum status status = job_reference_parse(&job, command_argument(line, 0), false, err);
    if (!status) {
        status = command_int(line, "attempt", 1, ATTEMPT_MAX, 0, &place.attempt, err);
    }
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = command_flag(line, "follow") ? follow(&session, &job, &place, err)
                                              : print_rest(&session, &job, &place, err);
    }
    session_close(&session);
    return status;
}

const struct command command_logs = {
    .name = "logs",
    .usage = "JOB [-f] [--attempt N]",
    .summary = "prints what the processes of a job printed",
    .examples = "  remora logs pubmed-demo\n  remora logs 12 -f\n  remora logs 12 --attempt 1\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
