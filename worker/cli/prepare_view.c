#include "worker/cli/prepare_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/base/digest.h"
#include "proto/base/sys.h"

#define BAR_CELLS_MAX 30
#define LINE_BYTES    256

void prepare_view_init(struct prepare_view *view)
{
    struct winsize size = {0};
    const char *term = getenv("TERM");
    *view = (struct prepare_view){.width = 80, .start_ns = sys_monotonic_ns()};
    view->is_terminal = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
    if (view->is_terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        view->width = size.ws_col;
    }
}

static const char *phase_text(enum prepare_phase phase)
{
    switch (phase) {
    case PREPARE_PHASE_DIGEST:
        return "reading inputs";
    case PREPARE_PHASE_SAMPLE:
        return "drawing a sample";
    case PREPARE_PHASE_TRAIN:
        return "training the vocabulary …";
    case PREPARE_PHASE_TOKENISE:
        return "tokenising";
    }
    return "";
}

/* "12.3 M", three digits and more. */
static const char *short_number(char out[32], double value)
{
    static const char *const units[] = {"", " k", " M", " G", " T"};
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(out, 32, unit == 0 || value >= 100 ? "%.0f%s" : "%.1f%s", value, units[unit]);
    return out;
}

static void fill_bar(char *out, size_t size, double share)
{
    int cells = (int)(share * BAR_CELLS_MAX + 0.5);
    size_t at = 0;
    for (int i = 0; i < BAR_CELLS_MAX; i++) {
        const char *cell = i < cells ? "━" : "─";
        size_t bytes = strlen(cell);
        if (at + bytes < size) {
            memcpy(out + at, cell, bytes);
            at += bytes;
        }
    }
    out[at] = '\0';
}

static void format_line(const struct prepare_view *view, const struct prepare_progress *progress,
                        char *out, size_t size)
{
    char bar[4 * BAR_CELLS_MAX];
    char documents[32];
    char tokens[32];
    char rate[32];
    double elapsed_s = (double)(sys_monotonic_ns() - view->start_ns) / 1e9;
    double share = progress->bytes_total > 0
                       ? (double)progress->bytes_done / (double)progress->bytes_total
                       : 0.0;
    share = share > 1.0 ? 1.0 : share;
    if (progress->phase == PREPARE_PHASE_TRAIN) {
        (void)snprintf(out, size, "%s", phase_text(progress->phase));
        return;
    }
    fill_bar(bar, sizeof bar, share);
    int used =
        snprintf(out, size, "%-16s %s %3.0f%%", phase_text(progress->phase), bar, 100.0 * share);
    if (progress->phase == PREPARE_PHASE_TOKENISE && used > 0 && (size_t)used < size) {
        double speed = elapsed_s > 0 ? (double)progress->tokens / elapsed_s : 0.0;
        (void)snprintf(out + used, size - (size_t)used, "  %s docs  %s tokens  %s/s",
                       short_number(documents, (double)progress->documents),
                       short_number(tokens, (double)progress->tokens), short_number(rate, speed));
    }
}

/* Bytes of the first columns of UTF-8 text without wide characters. */
static int cut_columns(const char *text, int columns)
{
    int bytes = 0;
    for (; text[bytes] != '\0'; bytes++) {
        bool is_start = ((unsigned char)text[bytes] & 0xc0) != 0x80;
        if (is_start && columns-- == 0) {
            break;
        }
    }
    return bytes;
}

void prepare_view_progress(struct prepare_view *view, const struct prepare_progress *progress)
{
    char line[LINE_BYTES];
    if (!view->is_terminal) {
        return;
    }
    if (progress->phase != view->phase) {
        view->phase = progress->phase;
        view->start_ns = sys_monotonic_ns();
    }
    format_line(view, progress, line, sizeof line);
    (void)fprintf(stderr, "\r\033[K%.*s", cut_columns(line, view->width - 1), line);
    (void)fflush(stderr);
    view->is_bar_open = true;
}

void prepare_view_end(struct prepare_view *view)
{
    if (view->is_bar_open) {
        (void)fprintf(stderr, "\r\033[K");
        view->is_bar_open = false;
    }
}

void prepare_view_notice(struct prepare_view *view, const char *text)
{
    prepare_view_end(view);
    (void)fprintf(stderr, "%s\n", text);
}

static void print_drops(const struct document_counts *counts)
{
    for (int i = 0; i < DOCUMENT_DROP_COUNT; i++) {
        if (counts->drops[i] > 0) {
            (void)printf("left out    %lld %s\n", (long long)counts->drops[i],
                         document_drop_text((enum document_drop)i));
        }
    }
}

void prepare_view_report(const struct prepare_report *report, const char *output)
{
    char number[32];
    char hex[DIGEST_HEX_BYTES];
    int64_t tokens = report->train.tokens + report->validation.tokens;

    (void)printf("documents   %lld (train %lld, validation %lld)\n",
                 (long long)report->counts.documents, (long long)report->train.documents,
                 (long long)report->validation.documents);
    print_drops(&report->counts);
    (void)printf("tokens      %lld (train %lld, validation %lld)\n", (long long)tokens,
                 (long long)report->train.tokens, (long long)report->validation.tokens);
    digest_to_hex(hex, &report->tokenizer_digest);
    (void)printf("vocabulary  %u pieces, %.12s\n", report->vocab_size, hex);
    if (report->is_cached) {
        (void)printf("speed       nothing to do: %s was made from these inputs already\n", output);
    } else {
        double speed = report->tokenise_s > 0 ? (double)tokens / report->tokenise_s : 0.0;
        (void)printf("speed       %stokens/s", short_number(number, speed));
        (void)printf(" (%.1f MB/s of text), %.1f s in all\n",
                     report->tokenise_s > 0 ? (double)report->text_bytes / 1e6 / report->tokenise_s
                                            : 0.0,
                     report->total_s);
    }
    (void)printf("output      %s\n", output);
}
