#include "client/watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/event_text.h"
#include "client/format.h"
#include "client/metrics.h"
#include "client/progress.h"
#include "client/screen.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"

#define TICK_MS          250  /* between two looks at the clock and the terminal's width */
#define REFRESH_MS       2000 /* the longest that a state without an event stays unseen */
#define RECONNECT_MS     200
#define TRAILING_MS      50 /* for events that are on their way when the job is seen to have ended */
#define PATIENCE_MS      2000 /* with a daemon that does not answer */
#define NANOSECONDS_A_MS 1000000
#define EXIT_TIMED_OUT   13
#define EXIT_INTERRUPTED 130

struct watch {
    struct session *session;
    const struct watch_options *options;
    struct watch_result *result;
    struct screen screen; /* unused when options->terminal is NULL */
    struct progress progress;
    struct job_reference reference;
    int64_t next_seq;    /* of the first event not yet seen */
    int64_t deadline_ns; /* 0: none */
    int64_t refreshed_ns;
    int signal_fd;
    bool is_stale;    /* an event came: job.get has news */
    bool is_detached; /* an interrupt came */
    bool has_history; /* from now on, steps that come are new */
};

/* ---------------------------------------------------------------------------------- showing --- */

static bool can_redraw(const struct watch *watch)
{
    return watch->options->terminal != NULL && watch->options->terminal->can_redraw;
}

/* What is about watching, not about the job. */
static void show_notice(struct watch *watch, const char *text)
{
    struct bytes line = {0};

    bytes_printf(&line, "remora: %s\n", text);
    if (can_redraw(watch)) {
        screen_print(&watch->screen, &line);
    } else if (!bytes_failed(&line)) {
        (void)fputs(line.data, stderr);
    }
    bytes_deinit(&line);
}

static void show_event(struct watch *watch, const json_t *event)
{
    struct bytes line = {0};
    char time[FORMAT_BYTES];

    if (watch->options->terminal == NULL || (can_redraw(watch) && event_text_is_routine(event))) {
        return;
    }
    const char *date = format_time(time, json_get_int(event, "time_ms", 0));
    const char *clock = strchr(date, ' ');
    bytes_printf(&line, "%s%s%s  ", terminal_style(watch->options->terminal, STYLE_DIM),
                 clock != NULL ? clock + 1 : date, terminal_style_end(watch->options->terminal));
    event_text_append(&line, event);
    bytes_append_char(&line, '\n');
    screen_print(&watch->screen, &line);
    bytes_deinit(&line);
}

static void show_progress(struct watch *watch)
{
    struct bytes lines = {0};

    if (!can_redraw(watch)) {
        return;
    }
    terminal_update_columns(watch->options->terminal);
    progress_render(&watch->progress, watch->options->terminal, &lines);
    screen_draw(&watch->screen, &lines);
    bytes_deinit(&lines);
}

/* Takes in a record of the run, live or from a page of metrics. */
static enum status take_record(void *context, const json_t *record, struct error *err)
{
    struct watch *watch = context;
    bool is_step = strcmp(json_get_text(record, "type", ""), "step") == 0;
    bool is_news = progress_take(&watch->progress, record);
    (void)err;

    if (is_news && is_step && watch->has_history && watch->options->terminal != NULL &&
        !can_redraw(watch) && progress_is_milestone(&watch->progress)) {
        struct bytes line = {0};
        progress_render_plain(&watch->progress, &line);
        screen_print(&watch->screen, &line);
        bytes_deinit(&line);
    }
    return STATUS_OK;
}

/* ---------------------------------------------------------------------------------- asking --- */

/* job.get: the state, and what the progress lines say of it. */
static enum status refresh(struct watch *watch, struct error *err)
{
    json_t *detail = NULL;

    enum status status = session_get_job(watch->session, &watch->reference, &detail, err);
    if (status) {
        return status;
    }
    json_decref(watch->result->detail);
    watch->result->detail = detail;
    struct job *job = &watch->result->job;
    job_from_json(job, json_object_get(detail, "job"));
    watch->progress.name = job->name;
    watch->progress.state = job_state_name(job->state);
    watch->progress.note = job->evidence[0] != '\0' ? job->evidence : job->hint;
    if (job->steps > 0) {
        watch->progress.steps = job->steps;
    }
    watch->is_stale = false;
    watch->refreshed_ns = sys_monotonic_ns();
    return STATUS_OK;
}

/* The steps and evaluations behind the last ones known. */
static enum status catch_up(struct watch *watch, struct error *err)
{
    if (watch->options->terminal == NULL) {
        return STATUS_OK;
    }
    struct metrics_query query = {.job = watch->result->job.id,
                                  .kind = "step",
                                  .from_step =
                                      watch->progress.has_step ? watch->progress.step_seen : 0};
    enum status status = metrics_each(watch->session, &query, take_record, watch, err);
    if (status) {
        return status;
    }
    query.kind = "evaluation";
    query.from_step = watch->progress.has_evaluation ? watch->progress.evaluation_seen : 0;
    return metrics_each(watch->session, &query, take_record, watch, err);
}

/* Subscribes before it asks for the state: what happens between the two comes as an event. */
static enum status subscribe(struct watch *watch, struct error *err)
{
    json_t *answer = NULL;

    enum status status = refresh(watch, err); /* the id behind a name, for good */
    if (status) {
        return status;
    }
    watch->reference = job_reference_of_id(watch->result->job.id);
    json_t *params = json_pack("{s:I, s:I}", "job", (json_int_t)watch->result->job.id, "from_seq",
                               (json_int_t)watch->next_seq);
    status = session_call(watch->session, RPC_METHOD_JOB_WATCH, params, &answer, err);
    json_decref(answer);
    if (!status) {
        status = catch_up(watch, err);
    }
    watch->has_history = true;
    return status ? status : refresh(watch, err);
}

static void take_notification(struct watch *watch, const char *name, const json_t *params)
{
    struct error ignored;

    if (json_get_int(params, "job", -1) != watch->result->job.id) {
        return;
    }
    if (strcmp(name, rpc_notification_name(RPC_NOTIFICATION_PROGRESS)) == 0) {
        (void)take_record(watch, json_object_get(params, "record"), &ignored);
    } else if (strcmp(name, rpc_notification_name(RPC_NOTIFICATION_EVENT)) == 0) {
        int64_t seq = json_get_int(params, "seq", 0);
        if (seq >= watch->next_seq) {
            watch->next_seq = seq + 1;
            watch->is_stale = true;
            show_event(watch, params);
        }
    }
}

/* All that has come, and what still comes within timeout_ms. */
static enum status drain(struct watch *watch, int timeout_ms, struct error *err)
{
    for (;;) {
        const char *name = NULL;
        json_t *params = NULL;
        enum status status =
            rpc_client_next(watch->session->client, timeout_ms, &name, &params, err);
        if (status) {
            return status == STATUS_TIMEOUT ? STATUS_OK : status;
        }
        take_notification(watch, name, params);
        json_decref(params);
    }
}

/* --------------------------------------------------------------------------------- waiting --- */

static bool is_late(const struct watch *watch)
{
    return watch->deadline_ns != 0 && sys_monotonic_ns() >= watch->deadline_ns;
}

/* Until the daemon says something, an interrupt comes or timeout_ms are over. fd may be -1. */
static void wait_for_news(struct watch *watch, int fd, int timeout_ms)
{
    struct pollfd polled[] = {{.fd = watch->signal_fd, .events = POLLIN},
                              {.fd = fd, .events = POLLIN}};

    if (watch->deadline_ns != 0) {
        int64_t left_ms = (watch->deadline_ns - sys_monotonic_ns()) / NANOSECONDS_A_MS + 1;
        timeout_ms = left_ms < 0 ? 0 : left_ms < timeout_ms ? (int)left_ms : timeout_ms;
    }
    if (poll(polled, 2, timeout_ms) > 0 && polled[0].revents != 0) {
        struct signalfd_siginfo info;
        watch->is_detached = sys_read(watch->signal_fd, &info, sizeof info) == sizeof info;
    }
}

static bool is_connection_lost(const struct watch *watch)
{
    return watch->session->client == NULL || rpc_client_is_broken(watch->session->client);
}

/* Waits for the daemon to come back; it is not ours to start it: someone may have stopped it. */
static enum status reconnect(struct watch *watch, struct error *err)
{
    show_notice(watch, "the daemon is gone; waiting for it (the job goes on; remora up starts it)");
    while (!watch->is_detached && !is_late(watch)) {
        enum status status = session_reopen(watch->session, err);
        if (!status) {
            status = subscribe(watch, err);
            if (!status) {
                show_notice(watch, "the daemon is back");
                return STATUS_OK;
            }
            if (!is_connection_lost(watch)) {
                return status; /* it answered */
            }
        } else if (status == STATUS_PERMISSION || status == STATUS_UNSUPPORTED) {
            return status; /* another daemon than before; waiting does not help */
        }
        wait_for_news(watch, -1, RECONNECT_MS);
    }
    return STATUS_OK;
}

/* As refresh, but a daemon that hangs must not keep Ctrl-C waiting for long. */
static enum status refresh_soon(struct watch *watch, struct error *err)
{
    watch->session->call_timeout_ms = PATIENCE_MS;
    enum status status = refresh(watch, err);
    watch->session->call_timeout_ms = 0;
    return status;
}

/* What came since the last look. STATUS_OK also while the daemon is too slow to answer. */
static enum status look(struct watch *watch, struct error *err)
{
    bool is_due = sys_monotonic_ns() - watch->refreshed_ns > REFRESH_MS * NANOSECONDS_A_MS;

    enum status status = drain(watch, 0, err);
    if (!status && (watch->is_stale || is_due)) {
        status = refresh_soon(watch, err);
    }
    if (!status && job_state_is_final(watch->result->job.state)) {
        status = drain(watch, TRAILING_MS, err);
        if (!status) {
            status = catch_up(watch, err);
        }
    }
    return status == STATUS_TIMEOUT ? STATUS_OK : status;
}

static enum status follow(struct watch *watch, struct error *err)
{
    enum status status = subscribe(watch, err);

    for (;;) {
        if (!status) {
            status = look(watch, err);
        }
        if (status && is_connection_lost(watch)) {
            status = reconnect(watch, err);
        } else if (!status && job_state_is_final(watch->result->job.state)) {
            watch->result->ending = WATCH_ENDING_FINAL;
            return STATUS_OK;
        }
        if (status) {
            return status;
        }
        show_progress(watch);
        if (!is_connection_lost(watch)) {
            wait_for_news(watch, rpc_client_fd(watch->session->client), TICK_MS);
        }
        if (watch->is_detached || is_late(watch)) {
            watch->result->ending =
                watch->is_detached ? WATCH_ENDING_DETACHED : WATCH_ENDING_TIMED_OUT;
            return STATUS_OK;
        }
    }
}

enum status watch_job(struct session *session, const struct job_reference *job,
                      const struct watch_options *options, struct watch_result *out,
                      struct error *err)
{
    struct watch watch = {
        .session = session, .options = options, .result = out, .reference = *job, .next_seq = 1};
    sigset_t interrupts;
    sigset_t before;

    *out = (struct watch_result){0};
    if (options->timeout_ms != WATCH_FOR_EVER) {
        watch.deadline_ns = sys_monotonic_ns() + options->timeout_ms * NANOSECONDS_A_MS + 1;
    }
    (void)sigemptyset(&interrupts);
    (void)sigaddset(&interrupts, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &interrupts, &before);
    watch.signal_fd = signalfd(-1, &interrupts, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watch.signal_fd < 0) {
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        return error_from_errno(err, errno, "signalfd");
    }
    screen_init(&watch.screen, options->terminal);

    enum status status = follow(&watch, err);

    show_progress(&watch);
    screen_deinit(&watch.screen);
    (void)close(watch.signal_fd);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

void watch_result_deinit(struct watch_result *result)
{
    json_decref(result->detail);
    *result = (struct watch_result){0};
}

/* --------------------------------------------------------------------------------- telling --- */

int watch_exit_code(const struct watch_result *result)
{
    switch (result->ending) {
    case WATCH_ENDING_FINAL:
        return job_state_exit_code(result->job.state);
    case WATCH_ENDING_DETACHED:
        return EXIT_INTERRUPTED;
    case WATCH_ENDING_TIMED_OUT:
        return EXIT_TIMED_OUT;
    }
    return EXIT_INTERRUPTED;
}

static void report_success(const struct watch_result *result, const struct terminal *terminal)
{
    const json_t *last = json_object_get(result->detail, "last");
    const json_t *evaluation = json_object_get(result->detail, "evaluation");
    const struct job *job = &result->job;
    char text[FORMAT_BYTES];

    if (job->steps > 0) {
        (void)fprintf(terminal->stream, ": %lld steps in %s", (long long)job->steps,
                      format_duration(text, (double)(job->ended_ms - job->started_ms) / 1000));
    }
    if (json_is_object(last)) {
        (void)fprintf(terminal->stream, ", loss %s",
                      format_loss(text, json_get_real(last, "loss", 0)));
    }
    if (json_is_object(evaluation)) {
        (void)fprintf(terminal->stream, ", validation perplexity %s",
                      format_loss(text, json_get_real(evaluation, "perplexity", 0)));
    }
    (void)fputc('\n', terminal->stream);
    if (strcmp(job->kind, "train") == 0) {
        (void)fprintf(stderr,
                      "next:\n  remora metrics %lld --chart\n  remora export %lld --to %s\n",
                      (long long)job->id, (long long)job->id, job->name);
    }
}

void watch_report(const struct watch_result *result, const struct terminal *terminal)
{
    const struct job *job = &result->job;
    long long id = job->id;

    if (result->ending != WATCH_ENDING_FINAL) {
        (void)fprintf(stderr,
                      "%s: job %lld (%s) goes on, %s\n"
                      "  remora watch %lld    shows it again\n  remora cancel %lld   stops it\n",
                      result->ending == WATCH_ENDING_DETACHED ? "detached" : "timed out", id,
                      job->name, job_state_name(job->state), id, id);
        return;
    }
    (void)fprintf(terminal->stream, "%s (job %lld) %s%s%s", job->name, id,
                  terminal_style(terminal, job_state_style(job->state)), job_state_name(job->state),
                  terminal_style_end(terminal));
    if (job->state == JOB_STATE_SUCCEEDED) {
        report_success(result, terminal);
        return;
    }
    (void)fprintf(terminal->stream, "%s%s\n",
                  job->evidence[0] != '\0' && job->state == JOB_STATE_FAILED ? ": " : "",
                  job->state == JOB_STATE_FAILED ? job->evidence : "");
    if (job->hint[0] != '\0') {
        (void)fprintf(stderr, "  %s\n", job->hint);
    }
    if (job->state == JOB_STATE_FAILED) {
        (void)fprintf(stderr, "  remora logs %lld     shows what it printed\n", id);
    }
    (void)fprintf(stderr, "  remora resume %lld   goes on from its last checkpoint\n", id);
}

enum status watch_command(struct session *session, const struct job_reference *job, FILE *stream,
                          int *exit_code, struct error *err)
{
    struct terminal terminal;
    struct watch_result result = {0};
    struct watch_options options = {.terminal = &terminal, .timeout_ms = WATCH_FOR_EVER};

    terminal_init(&terminal, stream);
    enum status status = watch_job(session, job, &options, &result, err);
    if (!status) {
        watch_report(&result, &terminal);
        *exit_code = watch_exit_code(&result);
    }
    watch_result_deinit(&result);
    return status;
}
