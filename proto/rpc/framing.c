#include "proto/rpc/framing.h"

#include <assert.h>
#include <string.h>

#include "proto/base/limits.h"

/* Finds the lines that the new bytes end and moves tail_start behind them. */
static enum status find_lines(struct rpc_decoder *decoder, size_t from, struct error *err)
{
    const struct bytes *buffer = &decoder->buffer;
    for (;;) {
        const char *newline = memchr(buffer->data + from, '\n', buffer->size - from);
        const size_t end = newline ? (size_t)(newline - buffer->data) : buffer->size;
        if (end - decoder->tail_start > RPC_LINE_BYTES_MAX) {
            return error_set(err, STATUS_LIMIT, "a line is longer than %zu bytes",
                             RPC_LINE_BYTES_MAX);
        }
        if (!newline) {
            return STATUS_OK;
        }
        from = end + 1;
        decoder->tail_start = from;
    }
}

enum status rpc_decoder_feed(struct rpc_decoder *decoder, const void *data, size_t size,
                             struct error *err)
{
    struct bytes *buffer = &decoder->buffer;
    if (size == 0) {
        return STATUS_OK;
    }
    if (decoder->line_start > 0) {
        bytes_consume(buffer, decoder->line_start);
        decoder->tail_start -= decoder->line_start;
        decoder->line_start = 0;
    }
    const size_t from = buffer->size;
    bytes_append(buffer, data, size);
    if (bytes_failed(buffer)) {
        return bytes_status(buffer, "line", err);
    }
    return find_lines(decoder, from, err);
}

static bool is_blank(const char *line, size_t size)
{
    return size == 0 || (size == 1 && line[0] == '\r');
}

bool rpc_decoder_next(struct rpc_decoder *decoder, const char **line, size_t *size)
{
    assert(decoder->line_start <= decoder->tail_start);
    while (decoder->line_start < decoder->tail_start) {
        char *start = decoder->buffer.data + decoder->line_start;
        char *newline = memchr(start, '\n', decoder->tail_start - decoder->line_start);
        assert(newline);
        *newline = '\0';
        *line = start;
        *size = (size_t)(newline - start);
        decoder->line_start += *size + 1;
        if (!is_blank(*line, *size)) {
            return true;
        }
    }
    return false;
}

void rpc_decoder_deinit(struct rpc_decoder *decoder)
{
    bytes_deinit(&decoder->buffer);
    *decoder = (struct rpc_decoder){0};
}
