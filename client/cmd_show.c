/* show — all that is known of a job. */
#include <math.h>
#include <stdio.h>

#include "client/commands.h"
#include "client/format.h"
#include "client/output.h"
#include "client/session.h"
#include "client/table.h"
#include "proto/base/json.h"
#include "proto/spec/spec.h"

static const struct command_option options[] = {
    {.name = "json", .help = "the daemon's whole answer: job, spec, inputs, attempts, last …"},
};

static const struct table_column columns[] = {
    {.title = "ATTEMPT", .is_number = true},
    {.title = "STATE"},
    {.title = "STARTED"},
    {.title = "TOOK"},
    {.title = "FROM"},
    {.title = "CORES"},
    {.title = "WHY", .is_flexible = true},
};

static void print_job(const struct job *job, const json_t *object, const struct terminal *terminal)
{
    char text[FORMAT_BYTES];
    bool has_why = job->evidence[0] != '\0' && job->state != JOB_STATE_SUCCEEDED;

    (void)printf("job %lld  %s%s%s  %s\n", (long long)job->id, terminal_style(terminal, STYLE_BOLD),
                 job->name, terminal_style_end(terminal), job->kind);
    (void)printf("state       %s%s%s%s%s\n", terminal_style(terminal, job_state_style(job->state)),
                 job_state_name(job->state), terminal_style_end(terminal), has_why ? ": " : "",
                 has_why ? job->evidence : "");
    if (job->hint[0] != '\0') {
        (void)printf("            %s\n", job->hint);
    }
    (void)printf("submitted   %s by uid %lld\n", format_time(text, job->submitted_ms),
                 (long long)json_get_int(object, "uid", -1));
    if (job->ended_ms > 0) {
        (void)printf("ended       %s\n", format_time(text, job->ended_ms));
    }
    (void)printf("digest      %s\n", json_get_text(object, "digest", "-"));
}

static void print_run(const struct job *job, const json_t *detail)
{
    const json_t *last = json_object_get(detail, "last");
    const json_t *evaluation = json_object_get(detail, "evaluation");
    const json_t *checkpoint = json_object_get(detail, "checkpoint");
    char text[4][FORMAT_BYTES];

    if (job->steps > 0) {
        (void)printf("step        %lld of %lld\n", (long long)job->step, (long long)job->steps);
    }
    if (json_is_object(last)) {
        (void)printf("            loss %s, learning rate %s, gradient norm %s, %s tokens/s\n",
                     format_loss(text[0], json_get_real(last, "loss", (double)NAN)),
                     format_rate(text[1], json_get_real(last, "lr", (double)NAN)),
                     format_loss(text[2], json_get_real(last, "grad_norm", (double)NAN)),
                     format_count(text[3], json_get_real(last, "tokens_per_s", (double)NAN)));
    }
    if (json_is_object(evaluation)) {
        (void)printf("validation  loss %s, perplexity %s at step %lld\n",
                     format_loss(text[0], json_get_real(evaluation, "loss", (double)NAN)),
                     format_loss(text[1], json_get_real(evaluation, "perplexity", (double)NAN)),
                     (long long)json_get_int(evaluation, "step", 0));
    }
    if (json_is_object(checkpoint)) {
        (void)printf("checkpoint  step %lld, %s\n", (long long)json_get_int(checkpoint, "step", 0),
                     json_get_text(checkpoint, "path", "?"));
    }
}

static void add_attempt(struct table *table, const json_t *attempt)
{
    char text[FORMAT_BYTES];
    char cores[FORMAT_BYTES] = "";
    int64_t started_ms = json_get_int(attempt, "started_ms", 0);
    int64_t ended_ms = json_get_int(attempt, "ended_ms", 0);
    int64_t resumed_from = json_get_int(attempt, "resumed_from", -1);
    const json_t *cpus = json_object_get(attempt, "cpus");
    const char *state = json_get_text(attempt, "state", "");
    int used = 0;

    for (size_t i = 0; i < json_array_size(cpus) && used < FORMAT_BYTES - 8; i++) {
        used += snprintf(cores + used, sizeof cores - (size_t)used, "%s%lld", i > 0 ? "," : "",
                         (long long)json_integer_value(json_array_get(cpus, i)));
    }
    table_cell(table, STYLE_PLAIN, "%lld", (long long)json_get_int(attempt, "attempt", 0));
    table_cell(table, job_state_style(job_state_from_name(state)), "%s", state);
    table_cell(table, STYLE_PLAIN, "%s", format_time(text, started_ms));
    table_cell(table, STYLE_PLAIN, "%s",
               format_duration(text, ended_ms > 0 ? (double)(ended_ms - started_ms) / 1000 : -1));
    if (resumed_from >= 0) {
        table_cell(table, STYLE_PLAIN, "step %lld", (long long)resumed_from);
    } else {
        table_cell(table, STYLE_PLAIN, "start");
    }
    table_cell(table, STYLE_PLAIN, "%s", cores);
    table_cell(table, STYLE_DIM, "%s",
               json_get_text(json_object_get(attempt, "reason"), "evidence", ""));
}

static enum status print_attempts(const json_t *detail, const struct terminal *terminal,
                                  struct error *err)
{
    const json_t *attempts = json_object_get(detail, "attempts");
    struct table table;

    if (json_array_size(attempts) == 0) {
        return STATUS_OK;
    }
    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < json_array_size(attempts); i++) {
        add_attempt(&table, json_array_get(attempts, i));
    }
    (void)putchar('\n');
    enum status status = table_print(&table, terminal, err);
    table_deinit(&table);
    return status;
}

static enum status print_spec(const json_t *detail, struct error *err)
{
    struct bytes text = {0};

    enum status status = spec_write_yaml(&text, json_object_get(detail, "spec"), err);
    if (!status) {
        (void)printf("\n%s", text.data);
    }
    bytes_deinit(&text);
    return status;
}

static enum status print_detail(const json_t *detail, struct error *err)
{
    struct terminal terminal;
    struct job job;

    terminal_init(&terminal, stdout);
    job_from_json(&job, json_object_get(detail, "job"));
    print_job(&job, json_object_get(detail, "job"), &terminal);
    print_run(&job, detail);
    enum status status = print_attempts(detail, &terminal, err);
    return status ? status : print_spec(detail, err);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;
    json_t *detail = NULL;
    (void)exit_code;

    enum status status = job_reference_parse(&job, command_argument(line, 0), false, err);
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = session_get_job(&session, &job, &detail, err);
    }
    if (!status) {
        status = command_flag(line, "json") ? output_json(detail, err) : print_detail(detail, err);
    }
    json_decref(detail);
    session_close(&session);
    return status;
}

const struct command command_show = {
    .name = "show",
    .usage = "JOB [--json]",
    .summary = "shows a job: state, attempts, last step, checkpoint, spec",
    .examples = "  remora show pubmed-demo\n  remora show 12 --json | jq .spec\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
