/*
 * utf8 — is it UTF-8 as Unicode 15 table 3-7 has it: no overlong forms, no surrogates, nothing
 * above U+10FFFF.
 */
#pragma once

#include <stddef.h>

/* Bytes before the first that is not part of a well-formed character; size when all is well. */
size_t utf8_valid_prefix(const char *text, size_t size);

/* The largest size <= size_max that does not cut a character of this valid text. */
size_t utf8_cut(const char *text, size_t size, size_t size_max);
