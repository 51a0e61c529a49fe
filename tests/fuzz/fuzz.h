/*
 * fuzz — a fuzz target is one file that defines this function; libFuzzer or replay.c calls it. It
 * must return 0, leak nothing and keep no state.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold; a failure is a finding. */
#define FUZZ_ASSERT(condition) \
 do {                          \
  if (!(condition)) {          \
   __builtin_trap();           \
  }                            \
 } while (0)
