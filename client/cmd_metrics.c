/* metrics — the recorded numbers of a run: a table, CSV, JSON or a chart of the loss. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/chart.h"
#include "client/commands.h"
#include "client/metrics.h"
#include "client/output.h"
#include "client/session.h"
#include "client/table.h"
#include "proto/base/json.h"

#define COLUMNS_MAX  12
#define CHART_ROWS   12
#define NUMBER_BYTES 64

static const struct command_option options[] = {
    {.name = "kind",
     .value = "KIND",
     .help = "step (the default), evaluation, merge or checkpoint"},
    {.name = "csv", .help = "comma-separated values with a header line"},
    {.name = "json", .help = "a list of the records, whole"},
    {.name = "chart", .help = "draws training and validation loss"},
    {.name = "superseded", .help = "also what a resumed attempt computed again"},
};

/* The columns of each kind, in the table and in CSV. */
static const struct kind {
    const char *name;
    struct table_column columns[COLUMNS_MAX];
    size_t column_count;
} kinds[] = {
    {"step",
     {{"step", true, false},
      {"attempt", true, false},
      {"loss", true, false},
      {"lr", true, false},
      {"grad_norm", true, false},
      {"tokens", true, false},
      {"tokens_per_s", true, false},
      {"step_ms", true, false},
      {"report_ms", true, false}},
     9},
    {"evaluation",
     {{"step", true, false},
      {"attempt", true, false},
      {"loss", true, false},
      {"perplexity", true, false},
      {"tokens", true, false}},
     5},
    {"merge",
     {{"step", true, false},
      {"attempt", true, false},
      {"cycle", true, false},
      {"group_kind", false, false},
      {"moments_nonzero_before", true, false},
      {"moments_nonzero_after", true, false},
      {"moments_zeroed_percent", true, false},
      {"w_eff_equal", false, false},
      {"probe_error", true, false}},
     9},
    {"checkpoint",
     {{"step", true, false},
      {"attempt", true, false},
      {"bytes", true, false},
      {"stored_bytes", true, false},
      {"ms", true, false},
      {"digest", false, false},
      {"path", false, false}},
     7},
};

enum layout { LAYOUT_TABLE, LAYOUT_CSV, LAYOUT_JSON };

struct printing {
    const struct kind *kind;
    enum layout layout;
    struct table table;
    struct json_list list;
};

static const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

/* A number in full for CSV, in six digits for people; a text as it is; "" for what is not there. */
static const char *value_text(char out[NUMBER_BYTES], const json_t *row, const char *key,
                              bool is_for_people)
{
    const json_t *value = json_object_get(row, key);
    char non_finite[NUMBER_BYTES];

    if (json_is_string(value)) {
        return json_string_value(value);
    }
    if (json_is_boolean(value)) {
        return json_is_true(value) ? "true" : "false";
    }
    out[0] = '\0';
    if (json_is_integer(value)) {
        (void)snprintf(out, NUMBER_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value) && is_for_people) {
        (void)snprintf(out, NUMBER_BYTES, "%.6g", json_real_value(value));
    } else if (json_is_real(value)) {
        json_real_text(out, json_real_value(value));
    } else if (json_is_null(value)) {
        (void)snprintf(non_finite, sizeof non_finite, "%s_non_finite", key);
        return json_get_text(row, non_finite, "");
    }
    return out;
}

/* RFC 4180: quoted where the text has a comma, a quote or a line end. */
static void print_csv_cell(const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        (void)fputs(text, stdout);
        return;
    }
    (void)putchar('"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"') {
            (void)putchar('"');
        }
        (void)putchar(*at);
    }
    (void)putchar('"');
}

static enum status print_row(void *context, const json_t *row, struct error *err)
{
    struct printing *printing = context;
    char text[NUMBER_BYTES];

    if (printing->layout == LAYOUT_JSON) {
        return json_list_row(&printing->list, row, err);
    }
    for (size_t c = 0; c < printing->kind->column_count; c++) {
        const char *key = printing->kind->columns[c].title;
        if (printing->layout == LAYOUT_TABLE) {
            table_cell(&printing->table, STYLE_PLAIN, "%s", value_text(text, row, key, true));
            continue;
        }
        (void)fputs(c > 0 ? "," : "", stdout);
        print_csv_cell(value_text(text, row, key, false));
    }
    (void)fputs(printing->layout == LAYOUT_CSV ? "\n" : "", stdout);
    return STATUS_OK;
}

static void print_csv_header(const struct kind *kind)
{
    for (size_t c = 0; c < kind->column_count; c++) {
        (void)printf("%s%s", c > 0 ? "," : "", kind->columns[c].title);
    }
    (void)putchar('\n');
}

static enum status print_rows(struct session *session, const struct metrics_query *query,
                              const struct kind *kind, enum layout layout, struct error *err)
{
    struct printing printing = {.kind = kind, .layout = layout};
    struct terminal terminal;

    terminal_init(&terminal, stdout);
    table_init(&printing.table, kind->columns, kind->column_count);
    if (layout == LAYOUT_CSV) {
        print_csv_header(kind);
    }
    enum status status = metrics_each(session, query, print_row, &printing, err);
    if (!status && layout == LAYOUT_TABLE) {
        status = table_print(&printing.table, &terminal, err);
    } else if (layout == LAYOUT_JSON) {
        json_list_end(&printing.list);
    }
    table_deinit(&printing.table);
    return status;
}

static enum status print_chart(struct session *session, int64_t job, struct error *err)
{
    struct series training = {0};
    struct series validation = {0};
    struct terminal terminal;
    struct bytes text = {0};

    enum status status = metrics_loss(session, job, "step", &training, err);
    if (!status) {
        status = metrics_loss(session, job, "evaluation", &validation, err);
    }
    if (!status && training.count == 0) {
        status = error_set(err, STATUS_NOT_FOUND, "job %lld has no steps yet", (long long)job);
    }
    if (!status) {
        struct chart chart = {.training = &training, .validation = &validation, .rows = CHART_ROWS};
        terminal_init(&terminal, stdout);
        chart_render(&chart, &terminal, &text);
        status = bytes_status(&text, "chart", err);
    }
    if (!status) {
        (void)fwrite(text.data, 1, text.size, stdout);
    }
    bytes_deinit(&text);
    return status;
}

static enum status read_options(const struct command_line *line, const struct kind **kind,
                                enum layout *layout, struct error *err)
{
    const char *name = command_text(line, "kind", "step");
    int layouts =
        command_flag(line, "csv") + command_flag(line, "json") + command_flag(line, "chart");

    *kind = kind_find(name);
    if (*kind == NULL) {
        (void)error_set(err, STATUS_INVALID, "option '--kind': there is no '%s'", name);
        error_set_hint(err, "use step, evaluation, merge or checkpoint");
        return STATUS_INVALID;
    }
    if (layouts > 1) {
        return error_set(err, STATUS_INVALID, "give only one of --csv, --json and --chart");
    }
    *layout = command_flag(line, "csv")    ? LAYOUT_CSV
              : command_flag(line, "json") ? LAYOUT_JSON
                                           : LAYOUT_TABLE;
    return STATUS_OK;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct job_reference reference;
    const struct kind *kind = NULL;
    enum layout layout = LAYOUT_TABLE;
    json_t *detail = NULL;
    (void)exit_code;

    enum status status = job_reference_parse(&reference, command_argument(line, 0), false, err);
    if (!status) {
        status = read_options(line, &kind, &layout, err);
    }
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = session_get_job(&session, &reference, &detail, err);
    }
    if (!status) {
        struct metrics_query query = {
            .job = json_get_int(json_object_get(detail, "job"), "id", 0),
            .kind = kind->name,
            .has_superseded = command_flag(line, "superseded"),
        };
        status = command_flag(line, "chart") ? print_chart(&session, query.job, err)
                                             : print_rows(&session, &query, kind, layout, err);
    }
    json_decref(detail);
    session_close(&session);
    return status;
}

const struct command command_metrics = {
    .name = "metrics",
    .usage = "JOB [--kind KIND] [--csv|--json|--chart] [--superseded]",
    .summary = "prints the loss and the other numbers of each step, or draws them",
    .examples = "  remora metrics pubmed-demo --chart\n"
                "  remora metrics pubmed-demo --csv > loss.csv\n"
                "  remora metrics pubmed-demo --kind evaluation\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
