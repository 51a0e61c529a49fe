#include "client/terminal.h"

#include <langinfo.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

static const char *const style_codes[] = {
    [STYLE_PLAIN] = "",        [STYLE_BOLD] = "\x1b[1m",   [STYLE_DIM] = "\x1b[2m",
    [STYLE_RED] = "\x1b[31m",  [STYLE_GREEN] = "\x1b[32m", [STYLE_YELLOW] = "\x1b[33m",
    [STYLE_CYAN] = "\x1b[36m",
};

static int clamp_columns(long columns)
{
    if (columns < TERMINAL_COLUMNS_MIN) {
        return TERMINAL_COLUMNS_MIN;
    }
    return columns > TERMINAL_COLUMNS_MAX ? TERMINAL_COLUMNS_MAX : (int)columns;
}

void terminal_update_columns(struct terminal *terminal)
{
    struct winsize size = {0};
    const char *columns = getenv("COLUMNS");

    if (ioctl(fileno(terminal->stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        terminal->columns = clamp_columns(size.ws_col);
    } else if (columns != NULL && columns[0] >= '1' && columns[0] <= '9') {
        terminal->columns = clamp_columns(strtol(columns, NULL, 10));
    } else {
        terminal->columns = TERMINAL_COLUMNS_DEFAULT;
    }
}

void terminal_init(struct terminal *out, FILE *stream)
{
    const char *term = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");

    out->stream = stream;
    out->can_redraw = isatty(fileno(stream)) && term != NULL && strcmp(term, "dumb") != 0;
    out->has_colour = out->can_redraw && (no_colour == NULL || no_colour[0] == '\0');
    out->has_unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    terminal_update_columns(out);
}

const char *terminal_style(const struct terminal *terminal, enum style style)
{
    return terminal->has_colour ? style_codes[style] : "";
}

const char *terminal_style_end(const struct terminal *terminal)
{
    return terminal->has_colour ? "\x1b[0m" : "";
}

/* ------------------------------------------------------------------------------------- text --- */

/*
 * Decodes one character of UTF-8 by hand, as the widths must not depend on the locale of the
 * machine that renders (tests run in "C"). Returns its bytes; 1 and U+FFFD for a malformed one.
 */
static size_t utf8_next(const char *text, uint32_t *code_point)
{
    const unsigned char *byte = (const unsigned char *)text;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = byte[0] < 0x80             ? 1
                  : (byte[0] & 0xe0) == 0xc0 ? 2
                  : (byte[0] & 0xf0) == 0xe0 ? 3
                  : (byte[0] & 0xf8) == 0xf0 ? 4
                                             : 0;

    *code_point = 0xfffd;
    if (size == 0) {
        return 1;
    }
    uint32_t value = size == 1 ? byte[0] : byte[0] & (0xffU >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((byte[i] & 0xc0) != 0x80) {
            return 1;
        }
        value = value << 6 | (byte[i] & 0x3f);
    }
    if (size > 1 && value < smallest[size]) {
        return 1;
    }
    *code_point = value;
    return size;
}

/* The wide blocks that occur in names and titles: CJK, Hangul, full-width forms, emoji; and the
 * combining marks, which take none (Unicode Standard Annex 11, abridged). */
static int code_point_columns(uint32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || c == 0xfe0f) {
        return 0;
    }
    bool is_wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
                   (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
                   (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                   (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
    return is_wide ? 2 : 1;
}

static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

int text_columns(const char *text)
{
    int columns = 0;

    for (size_t at = 0; text[at] != '\0';) {
        uint32_t code_point = 0;
        at += utf8_next(text + at, &code_point);
        columns += is_control(code_point) ? 1 : code_point_columns(code_point);
    }
    return columns;
}

void text_append_cut(struct bytes *out, const char *text, int columns, bool has_unicode)
{
    const char *mark = has_unicode ? "…" : "...";
    int mark_columns = has_unicode ? 1 : 3;
    bool fits = text_columns(text) <= columns;
    int room = fits ? columns : columns - mark_columns;

    for (size_t at = 0; text[at] != '\0';) {
        uint32_t code_point = 0;
        size_t size = utf8_next(text + at, &code_point);
        bool is_odd = is_control(code_point) || (size == 1 && code_point == 0xfffd) ||
                      (!has_unicode && code_point > 0x7f);
        int wide = is_control(code_point) ? 1 : code_point_columns(code_point);
        if (wide > room) {
            break;
        }
        if (is_odd) {
            bytes_append_char(out, '?');
            room -= wide > 0 ? 1 : 0;
        } else {
            bytes_append(out, text + at, size);
            room -= wide;
        }
        at += size;
    }
    if (!fits && columns >= mark_columns) {
        bytes_append_text(out, mark);
    }
}
