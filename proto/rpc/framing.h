/*
 * framing — one JSON object per line. The decoder takes bytes as they come, in any pieces, and
 * gives lines; it does no I/O, so that the event loop and blocking code share it.
 *
 * A line is what stands before a newline, at most RPC_LINE_BYTES_MAX bytes; blank lines are
 * skipped.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"

/* A zeroed struct is valid and empty. */
struct rpc_decoder {
    struct bytes buffer;
    size_t line_start; /* of the first line not yet handed out */
    size_t tail_start; /* of the last line, whose end has not come yet */
};

/* Takes size more bytes. STATUS_LIMIT when a line gets too long, STATUS_NO_MEMORY: the stream is
 * then unusable and the connection is to be closed. Invalidates the lines handed out before. */
MUST_USE enum status rpc_decoder_feed(struct rpc_decoder *decoder, const void *data, size_t size,
                                      struct error *err);

/* The next whole line, without its newline and NUL-terminated there; false when more bytes are
 * needed. *line lives until the next feed. */
MUST_USE bool rpc_decoder_next(struct rpc_decoder *decoder, const char **line, size_t *size);

void rpc_decoder_deinit(struct rpc_decoder *decoder);
