/*
 * format — numbers and times as people read them. Each fills out and returns it, so that it can
 * stand among the arguments of a printf.
 */
#pragma once

#include <stdint.h>

#define FORMAT_BYTES 32

/* "0.4s" "42s" "3m05s" "2h07m" "3d04h"; "-" for a negative or non-finite one. */
const char *format_duration(char out[FORMAT_BYTES], double seconds);

/* "987" "12.3k" "4.56M" "1.20G": three digits and SI letters; "-" for a non-finite one. */
const char *format_count(char out[FORMAT_BYTES], double value);

/* "512 B" "1.5 KiB" "38 MiB". */
const char *format_size(char out[FORMAT_BYTES], uint64_t bytes);

/* Four digits for a loss or perplexity ("4.312", "28.41", "4096"), or "nan", "inf". */
const char *format_loss(char out[FORMAT_BYTES], double value);

/* Two digits with an exponent where needed, for learning rates: "1e-3", "5.5e-4", "0". */
const char *format_rate(char out[FORMAT_BYTES], double value);

/* Local time "2024-05-01 12:30:01"; "-" for 0. */
const char *format_time(char out[FORMAT_BYTES], int64_t unix_ms);

/* "just now", "42s ago", "3h ago"; "-" for 0. */
const char *format_age(char out[FORMAT_BYTES], int64_t unix_ms, int64_t now_ms);
