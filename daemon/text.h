/*
 * text — bytes that a program printed, made fit for JSON: valid UTF-8, anything else replaced by
 * U+FFFD.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/bytes.h"

/* Length of the UTF-8 sequence at data (1 to 4), 0 when it is none, -1 when it may be one whose
 * end is not there yet. size is at least 1. */
int text_sequence_length(const char *data, size_t size);

/* Appends size bytes as valid UTF-8. Returns how many were taken: a sequence that is cut off at the
 * end stays for the next call unless is_last. */
size_t text_append_utf8(struct bytes *out, const char *data, size_t size, bool is_last);

/* One line for a message: valid UTF-8, control characters as spaces, cut at a whole sequence. */
void text_copy_printable(char *out, size_t size, const char *text);

/* Drops a sequence that lost its end when the text was cut to a buffer. */
void text_trim(char *text);
