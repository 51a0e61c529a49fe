#include "client/screen.h"

#include <string.h>

#define ERASE_BELOW "\x1b[0J"

void screen_init(struct screen *out, struct terminal *terminal)
{
    *out = (struct screen){.terminal = terminal};
}

/* Back to the first of our lines; the cursor always rests below the last. */
static void append_rewind(const struct screen *screen, struct bytes *out)
{
    if (screen->line_count > 0) {
        bytes_printf(out, "\r\x1b[%dA" ERASE_BELOW, screen->line_count);
    }
}

static void send(struct screen *screen, struct bytes *out)
{
    if (out->size > 0) {
        (void)fwrite(out->data, 1, out->size, screen->terminal->stream);
    }
    (void)fflush(screen->terminal->stream); /* main asks the stream whether all went well */
    bytes_deinit(out);
}

void screen_draw(struct screen *screen, const struct bytes *lines)
{
    struct bytes out = {0};

    bool is_same = lines->size == screen->drawn.size && screen->line_count > 0 &&
                   memcmp(lines->data, screen->drawn.data, lines->size) == 0;
    if (!screen->terminal->can_redraw || is_same) {
        return;
    }
    append_rewind(screen, &out);
    bytes_append(&out, lines->data, lines->size);
    screen->line_count = 0;
    for (size_t i = 0; i < lines->size; i++) {
        screen->line_count += lines->data[i] == '\n';
    }
    bytes_clear(&screen->drawn);
    bytes_append(&screen->drawn, lines->data, lines->size);
    send(screen, &out);
}

void screen_print(struct screen *screen, const struct bytes *text)
{
    struct bytes out = {0};

    append_rewind(screen, &out);
    bytes_append(&out, text->data, text->size);
    if (screen->line_count > 0) {
        bytes_append(&out, screen->drawn.data, screen->drawn.size);
    }
    send(screen, &out);
}

void screen_erase(struct screen *screen)
{
    struct bytes out = {0};

    append_rewind(screen, &out);
    screen->line_count = 0;
    bytes_clear(&screen->drawn);
    send(screen, &out);
}

void screen_deinit(struct screen *screen)
{
    bytes_deinit(&screen->drawn);
}
