/* events — the log of what happened to a job, or to all. */
#include <stdio.h>
#include <string.h>

#include "client/commands.h"
#include "client/event_text.h"
#include "client/format.h"
#include "client/output.h"
#include "client/session.h"
#include "client/table.h"
#include "proto/base/json.h"

#define PAGE_ROWS 1000

static const struct command_option options[] = {
    {.name = "json",
     .help = "a list of {\"seq\", \"time_ms\", \"job\", \"attempt\", \"type\", \"data\"}"},
};

static const struct table_column columns[] = {
    {.title = "SEQ", .is_number = true},
    {.title = "TIME"},
    {.title = "JOB", .is_number = true},
    {.title = "EVENT"}, /* never cut: this is where one looks for the whole text */
};

static void add_row(struct table *table, const json_t *event)
{
    struct bytes text = {0};
    char time[FORMAT_BYTES];

    event_text_append(&text, event);
    table_cell(table, STYLE_DIM, "%lld", (long long)json_get_int(event, "seq", 0));
    table_cell(table, STYLE_PLAIN, "%s", format_time(time, json_get_int(event, "time_ms", 0)));
    table_cell(table, STYLE_PLAIN, "%lld", (long long)json_get_int(event, "job", 0));
    table_cell(table, STYLE_PLAIN, "%s", text.data != NULL ? text.data : "");
    bytes_deinit(&text);
}

struct listing {
    bool is_json;
    struct json_list list;
    struct table table;
    int64_t from_seq;
};

static enum status add_page(struct listing *listing, struct session *session, json_t *params,
                            struct error *err)
{
    json_t *page = NULL;

    enum status status = session_call(session, RPC_METHOD_JOB_EVENTS, params, &page, err);
    const json_t *events = json_object_get(page, "events");
    for (size_t i = 0; i < json_array_size(events) && !status; i++) {
        const json_t *event = json_array_get(events, i);
        listing->from_seq = json_get_int(event, "seq", 0) + 1;
        if (listing->is_json) {
            status = json_list_row(&listing->list, event, err);
        } else {
            add_row(&listing->table, event);
        }
    }
    json_decref(page);
    return status;
}

static enum status add_all(struct listing *listing, struct session *session,
                           const struct job_reference *job, struct error *err)
{
    enum status status = STATUS_OK;
    int64_t before = 0;

    do {
        before = listing->from_seq;
        json_t *params = job != NULL ? job_reference_params(job) : json_object();
        (void)json_object_set_new(params, "from_seq", json_integer(listing->from_seq));
        (void)json_object_set_new(params, "limit", json_integer(PAGE_ROWS));
        status = add_page(listing, session, params, err);
    } while (!status && listing->from_seq > before);
    return status;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference job;
    struct terminal terminal;
    struct listing listing = {.is_json = command_flag(line, "json"), .from_seq = 1};
    const char *name = command_argument(line, 0);
    enum status status = STATUS_OK;
    (void)exit_code;

    table_init(&listing.table, columns, sizeof columns / sizeof columns[0]);
    terminal_init(&terminal, stdout);
    if (name != NULL) {
        status = job_reference_parse(&job, name, false, err);
    }
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = add_all(&listing, &session, name != NULL ? &job : NULL, err);
    }
    if (!status && listing.is_json) {
        json_list_end(&listing.list);
    } else if (!status) {
        status = table_print(&listing.table, &terminal, err);
    }
    table_deinit(&listing.table);
    session_close(&session);
    return status;
}

const struct command command_events = {
    .name = "events",
    .usage = "[JOB] [--json]",
    .summary = "lists what happened to a job, or to all jobs",
    .examples = "  remora events pubmed-demo\n  remora events --json | jq '.[].type'\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_max = 1,
    .run = run,
};
