#include "tests/support/test.h"

#include <errno.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/sys.h"

/* More calls than any operation under test makes; stops a test whose operation never succeeds. */
#define CALLS_MAX 100000

void test_folder_create(char *out)
{
    const char *root = getenv("TMPDIR");
    (void)snprintf(out, PATH_BYTES_MAX, "%s/remora-test-XXXXXX", root == NULL ? "/tmp" : root);
    if (mkdtemp(out) == NULL) {
        fail_msg("mkdtemp '%s': %s", out, strerror(errno));
    }
}

void test_folder_remove(const char *path)
{
    struct error err;
    if (folder_remove(path, &err)) {
        print_error("%s\n", err.message);
    }
}

const char *test_data_folder(void)
{
    const char *folder = getenv("REMORA_TEST_DATA");
    if (folder == NULL) {
        folder = REMORA_SOURCE_FOLDER "/../shared/data";
    }
    if (file_exists(folder)) {
        return folder;
    }
    print_message("no real data at '%s'\n", folder);
    if (getenv("CI") != NULL) {
        exit(1);
    }
    return NULL;
}

void test_skip_all(const char *reason, bool required_in_ci)
{
    print_message("skipped: %s\n", reason);
    exit(required_in_ci && getenv("CI") != NULL ? 1 : 77);
}

struct failing_call {
    long countdown;
    bool fired;
};

static int likely_errno(enum sys_call call)
{
    switch (call) {
    case SYS_CALL_ALLOC:
    case SYS_CALL_MMAP:
        return ENOMEM;
    case SYS_CALL_OPEN:
    case SYS_CALL_WRITE:
    case SYS_CALL_MKDIR:
    case SYS_CALL_TRUNCATE:
        return ENOSPC;
    case SYS_CALL_READ:
    case SYS_CALL_FDATASYNC:
    case SYS_CALL_FSYNC:
    case SYS_CALL_RENAME:
    case SYS_CALL_UNLINK:
    case SYS_CALL_RMDIR:
    case SYS_CALL_LOCK:
        return EIO;
    }
    return EIO;
}

static int fail_at_zero(void *context, const struct sys_event *event)
{
    struct failing_call *failing = context;
    if (failing->countdown-- != 0) {
        return 0;
    }
    failing->fired = true;
    return likely_errno(event->call);
}

void test_fail_each_call(test_operation_fn *operation, test_check_fn *check, void *context)
{
    for (long index = 0; index < CALLS_MAX; index++) {
        struct failing_call failing = {.countdown = index};
        struct error err = {0};

        sys_set_hook(fail_at_zero, &failing);
        enum status status = operation(context, &err);
        sys_set_hook(NULL, NULL);
        if (!failing.fired) {
            if (status) {
                fail_msg("fails without a failing call: %s", err.message);
            }
            return;
        }
        if (status) {
            assert_int_equal(err.status, status);
            assert_true(err.message[0] != '\0');
        }
        if (check != NULL) {
            check(context, status, &err);
        }
    }
    fail_msg("still failing after %d calls", CALLS_MAX);
}
