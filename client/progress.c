#include "client/progress.h"

#include <math.h>
#include <string.h>

#include "client/chart.h"
#include "client/format.h"
#include "client/job.h"
#include "proto/base/json.h"

#define BAR_COLUMNS_MIN   8
#define BAR_COLUMNS_MAX   48
#define SPARK_COLUMNS_MIN 8
#define SPARK_COLUMNS     24
#define LINES_A_RUN       20

static void take_step(struct progress *progress, int64_t attempt, int64_t step,
                      const json_t *record)
{
    progress->has_step = true;
    progress->step_attempt = attempt;
    progress->step_seen = step;
    progress->step = step;
    progress->loss = json_get_real(record, "loss", NAN);
    progress->lr = json_get_real(record, "lr", NAN);
    progress->grad_norm = json_get_real(record, "grad_norm", NAN);
    progress->tokens_per_s = json_get_real(record, "tokens_per_s", NAN);
    progress->eta_s = json_get_real(record, "eta_s", NAN);
    series_add(&progress->training, step, progress->loss);
}

static void take_evaluation(struct progress *progress, int64_t attempt, int64_t step,
                            const json_t *record)
{
    progress->has_evaluation = true;
    progress->evaluation_attempt = attempt;
    progress->evaluation_seen = step;
    progress->evaluation_loss = json_get_real(record, "loss", NAN);
    progress->perplexity = json_get_real(record, "perplexity", NAN);
    series_add(&progress->validation, step, progress->evaluation_loss);
}

static bool is_later(int64_t attempt, int64_t step, int64_t last_attempt, int64_t last_step)
{
    return attempt > last_attempt || (attempt == last_attempt && step > last_step);
}

bool progress_take(struct progress *progress, const json_t *record)
{
    const char *type = json_get_text(record, "type", "");
    int64_t attempt = json_get_int(record, "attempt", 0);
    int64_t step = json_get_int(record, "step", 0);

    if (strcmp(type, "step") == 0) {
        if (progress->has_step &&
            !is_later(attempt, step, progress->step_attempt, progress->step_seen)) {
            return false;
        }
        take_step(progress, attempt, step, record);
        return true;
    }
    if (strcmp(type, "evaluation") == 0) {
        if (progress->has_evaluation &&
            !is_later(attempt, step, progress->evaluation_attempt, progress->evaluation_seen)) {
            return false;
        }
        take_evaluation(progress, attempt, step, record);
        return true;
    }
    if (strcmp(type, "start") == 0 && (!progress->has_step || attempt > progress->step_attempt)) {
        progress->steps = json_get_int(record, "steps", progress->steps);
        progress->step = json_get_int(record, "resumed_from", 0);
        return true;
    }
    return false;
}

/* -------------------------------------------------------------------------------- first line ---
 */

static void append_bar(const struct terminal *terminal, double share, int columns,
                       struct bytes *out)
{
    int done = (int)floor(share * columns);

    bytes_append_text(out, terminal_style(terminal, STYLE_CYAN));
    for (int i = 0; i < done; i++) {
        bytes_append_text(out, terminal->has_unicode ? "━" : "#");
    }
    bytes_append_text(out, terminal_style_end(terminal));
    bytes_append_text(out, terminal_style(terminal, STYLE_DIM));
    for (int i = done; i < columns; i++) {
        bytes_append_text(out, terminal->has_unicode ? "─" : ".");
    }
    bytes_append_text(out, terminal_style_end(terminal));
}

static double share_of(const struct progress *progress)
{
    if (progress->steps <= 0) {
        return 0;
    }
    double share = (double)progress->step / (double)progress->steps;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static void append_state_line(const struct progress *progress, const struct terminal *terminal,
                              struct bytes *out)
{
    const char *name = progress->name != NULL ? progress->name : "";
    const char *state = progress->state != NULL ? progress->state : "";
    char tail[160] = "";
    char eta[FORMAT_BYTES];

    if (progress->steps > 0) {
        /* Floor, so that 100 % is said of the last step only. */
        int size =
            snprintf(tail, sizeof tail, "  %3d%%  %lld/%lld", (int)floor(share_of(progress) * 100),
                     (long long)progress->step, (long long)progress->steps);
        if (progress->has_step && strcmp(state, "running") == 0 && isfinite(progress->eta_s)) {
            (void)snprintf(tail + size, sizeof tail - (size_t)size, "  eta %s",
                           format_duration(eta, progress->eta_s));
        }
    }
    int columns = terminal->columns - 1;
    int rest = columns - (int)strlen(tail) - 2 - text_columns(state);
    int bar = rest - text_columns(name) - 2;
    bool has_bar = progress->steps > 0 && bar >= BAR_COLUMNS_MIN;
    if (has_bar) {
        rest = text_columns(name);
        bar = bar > BAR_COLUMNS_MAX ? BAR_COLUMNS_MAX : bar;
    }
    bytes_append_text(out, terminal_style(terminal, STYLE_BOLD));
    text_append_cut(out, name, rest > 0 ? rest : 0, terminal->has_unicode);
    bytes_append_text(out, terminal_style_end(terminal));
    bytes_printf(out, "  %s%s%s",
                 terminal_style(terminal, job_state_style(job_state_from_name(state))), state,
                 terminal_style_end(terminal));
    if (has_bar) {
        bytes_append_text(out, "  ");
        append_bar(terminal, share_of(progress), bar, out);
    }
    bytes_append_text(out, tail);
    bytes_append_char(out, '\n');
}

/* ------------------------------------------------------------------------------- second line ---
 */

/* Appends text when it still fits, and gives back the columns that remain. */
static int append_fitting(struct bytes *out, int room, const char *text)
{
    int columns = text_columns(text);

    if (columns > room) {
        return 0; /* what follows matters less, so it goes too */
    }
    bytes_append_text(out, text);
    return room - columns;
}

static void append_metrics_line(const struct progress *progress, const struct terminal *terminal,
                                struct bytes *out)
{
    int room = terminal->columns - 1;
    char text[160];
    char a[FORMAT_BYTES];
    char b[FORMAT_BYTES];

    if (progress->has_step) {
        (void)snprintf(text, sizeof text, "loss %s", format_loss(a, progress->loss));
        room = append_fitting(out, room, text);
        int spark = room - 1 > SPARK_COLUMNS ? SPARK_COLUMNS : room - 1;
        if (spark >= SPARK_COLUMNS_MIN) {
            int count = (int)progress->training.count;
            bytes_printf(out, " %s", terminal_style(terminal, STYLE_CYAN));
            sparkline_render(&progress->training, spark, terminal->has_unicode, out);
            bytes_append_text(out, terminal_style_end(terminal));
            room -= 1 + (count < spark ? count : spark);
        }
    }
    if (progress->has_evaluation) {
        (void)snprintf(text, sizeof text, "%svalidation %s (perplexity %s)",
                       progress->has_step ? "  " : "", format_loss(a, progress->evaluation_loss),
                       format_loss(b, progress->perplexity));
        room = append_fitting(out, room, text);
    }
    if (progress->has_step) {
        (void)snprintf(text, sizeof text, "  lr %s", format_rate(a, progress->lr));
        room = append_fitting(out, room, text);
        (void)snprintf(text, sizeof text, "  %s tokens/s", format_count(a, progress->tokens_per_s));
        (void)append_fitting(out, room, text);
    }
    if (!progress->has_step && !progress->has_evaluation && progress->note != NULL) {
        bytes_append_text(out, terminal_style(terminal, STYLE_DIM));
        text_append_cut(out, progress->note, room, terminal->has_unicode);
        bytes_append_text(out, terminal_style_end(terminal));
    }
    bytes_append_char(out, '\n');
}

void progress_render(const struct progress *progress, const struct terminal *terminal,
                     struct bytes *out)
{
    append_state_line(progress, terminal, out);
    append_metrics_line(progress, terminal, out);
}

void progress_render_plain(const struct progress *progress, struct bytes *out)
{
    char text[4][FORMAT_BYTES];

    bytes_printf(out, "step %lld", (long long)progress->step);
    if (progress->steps > 0) {
        bytes_printf(out, "/%lld", (long long)progress->steps);
    }
    bytes_printf(out, "  loss %s  lr %s  grad norm %s", format_loss(text[0], progress->loss),
                 format_rate(text[1], progress->lr), format_loss(text[2], progress->grad_norm));
    bytes_printf(out, "  %s tokens/s  eta %s\n", format_count(text[0], progress->tokens_per_s),
                 format_duration(text[1], progress->eta_s));
}

bool progress_is_milestone(const struct progress *progress)
{
    int64_t every = progress->steps / LINES_A_RUN;

    return progress->step == 1 || progress->step == progress->steps || every <= 1 ||
           progress->step % every == 0;
}
