/* ls — the jobs, newest first. */
#include "client/commands.h"
#include "client/format.h"
#include "client/output.h"
#include "client/session.h"
#include "client/table.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"

#define PAGE_ROWS 1000

static const struct command_option options[] = {
    {.name = "all", .letter = 'a', .help = "also jobs that have ended"},
    {.name = "json", .help = "a list of objects"},
};

static const struct table_column columns[] = {
    {.title = "JOB", .is_number = true},
    {.title = "NAME"},
    {.title = "KIND"},
    {.title = "STATE"},
    {.title = "STEP"},
    {.title = "SUBMITTED"},
    {.title = "WHY", .is_flexible = true},
};

static void add_row(struct table *table, const json_t *object, int64_t now_ms)
{
    struct job job;
    char text[FORMAT_BYTES];

    job_from_json(&job, object);
    table_cell(table, STYLE_PLAIN, "%lld", (long long)job.id);
    table_cell(table, STYLE_BOLD, "%s", job.name);
    table_cell(table, STYLE_PLAIN, "%s", job.kind);
    table_cell(table, job_state_style(job.state), "%s", job_state_name(job.state));
    if (job.steps > 0) {
        table_cell(table, STYLE_PLAIN, "%lld/%lld", (long long)job.step, (long long)job.steps);
    } else {
        table_cell(table, STYLE_PLAIN, "-");
    }
    table_cell(table, STYLE_PLAIN, "%s", format_age(text, job.submitted_ms, now_ms));
    /* Why it waits, stops or failed; of a job that runs or succeeded there is nothing to explain.
     */
    bool is_plain = job.state == JOB_STATE_RUNNING || job.state == JOB_STATE_SUCCEEDED;
    table_cell(table, STYLE_DIM, "%s", is_plain ? "" : job.evidence);
}

struct listing {
    bool is_json;
    struct json_list list;
    struct table table;
    int64_t now_ms;
    int64_t last_id;
};

static enum status add_page(struct listing *listing, const json_t *page, struct error *err)
{
    const json_t *jobs = json_object_get(page, "jobs");

    for (size_t i = 0; i < json_array_size(jobs); i++) {
        const json_t *object = json_array_get(jobs, i);
        listing->last_id = json_get_int(object, "id", 0);
        if (!listing->is_json) {
            add_row(&listing->table, object, listing->now_ms);
            continue;
        }
        enum status status = json_list_row(&listing->list, object, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status add_all(struct listing *listing, struct session *session, bool is_all,
                           struct error *err)
{
    enum status status = STATUS_OK;

    int64_t before = 0;

    do {
        json_t *page = NULL;
        before = listing->last_id;
        json_t *params = json_pack("{s:b, s:i}", "all", is_all, "limit", PAGE_ROWS);
        if (before > 0) {
            (void)json_object_set_new(params, "before", json_integer(before));
        }
        status = session_call(session, RPC_METHOD_JOB_LIST, params, &page, err);
        if (!status) {
            status = add_page(listing, page, err);
        }
        json_decref(page);
    } while (!status && listing->last_id > 0 && (before == 0 || listing->last_id < before));
    return status;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct terminal terminal;
    struct listing listing = {.is_json = command_flag(line, "json"), .now_ms = sys_realtime_ms()};
    (void)exit_code;

    table_init(&listing.table, columns, sizeof columns / sizeof columns[0]);
    terminal_init(&terminal, stdout);
    enum status status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    if (!status) {
        status = add_all(&listing, &session, command_flag(line, "all"), err);
    }
    if (!status && listing.is_json) {
        json_list_end(&listing.list);
    } else if (!status && listing.last_id == 0) {
        (void)fprintf(stderr, "no job%s\n",
                      command_flag(line, "all")
                          ? " was ever submitted"
                          : " waits or runs; --all lists those that have ended, too");
    } else if (!status) {
        status = table_print(&listing.table, &terminal, err);
    }
    table_deinit(&listing.table);
    session_close(&session);
    return status;
}

const struct command command_ls = {
    .name = "ls",
    .usage = "[--all] [--json]",
    .summary = "lists the jobs",
    .examples = "  remora ls\n  remora ls --all\n  remora ls --json | jq '.[].name'\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
