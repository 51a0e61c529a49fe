/*
 * test — cmocka and what our tests share: temporary folders, skipping, failing the Nth call.
 */
#pragma once

/* cmocka.h needs these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/error.h"
#include "proto/base/limits.h"

/* Asserts STATUS_OK and prints the error otherwise. */
#define assert_ok(call, err)                       \
 do {                                              \
  enum status status_ = (call);                    \
  if (status_) {                                   \
   print_error("%s: %s\n", #call, (err)->message); \
  }                                                \
  assert_int_equal(status_, STATUS_OK);            \
 } while (0)

#define assert_contains(text, part)                 \
 do {                                               \
  if (strstr((text), (part)) == NULL) {             \
   fail_msg("'%s' is not in '%s'", (part), (text)); \
  }                                                 \
 } while (0)

/* A new folder under $TMPDIR; static storage is not used: out[PATH_BYTES_MAX]. Removed by
 * test_folder_remove (call it in teardown). */
void test_folder_create(char *out);
void test_folder_remove(const char *path);

/* The folder of real data ($REMORA_TEST_DATA, default <source>/../shared/data), or NULL with a
 * note; where CI is set its absence fails the process. */
const char *test_data_folder(void);

/* Ends the test program as skipped (77) with a note; a failure where CI is set and required. */
void test_skip_all(const char *reason, bool required_in_ci);

/* Runs operation with the Nth call of sys failing (errno ENOMEM/ENOSPC/EIO as fits the call), for
 * N = 1, 2, … until it succeeds without the hook firing; check runs after each failure. */
typedef enum status test_operation_fn(void *context, struct error *err);
typedef void test_check_fn(void *context, enum status status, const struct error *err);
void test_fail_each_call(test_operation_fn *operation, test_check_fn *check, void *context);
