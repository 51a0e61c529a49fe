#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "tests/support/test.h"

#define THREADS 4
#define LINES   200

static void *write_lines(void *context)
{
    for (int i = 0; i < LINES; i++) {
        log_info("%s %0*d end", (const char *)context, 200, i);
    }
    return NULL;
}

/* Runs body with stderr going to a file, whose content it returns. */
static struct bytes captured(void (*body)(void))
{
    struct error err;
    struct bytes bytes = {0};
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    test_folder_create(folder);
    assert_ok(path_printf(path, &err, "%s/log", folder), &err);
    int saved = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    body();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    (void)close(fd);
    (void)close(saved);
    assert_ok(file_read(&bytes, path, 16 * MIB, &err), &err);
    test_folder_remove(folder);
    return bytes;
}

static void log_from_threads(void)
{
    pthread_t threads[THREADS];
    static char name[] = "thread";
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, name), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void lines_of_threads_stay_whole(void **state)
{
    (void)state;
    log_init("tester");
    struct bytes bytes = captured(log_from_threads);
    int count = 0;
    for (char *line = strtok(bytes.data, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        assert_contains(line, " info  tester: thread 0");
        assert_string_equal(line + strlen(line) - 4, " end");
        assert_int_equal(strlen(line), strlen("12:30:01.123 info  tester: thread  end") + 200);
        count++;
    }
    assert_int_equal(count, THREADS * LINES);
    bytes_deinit(&bytes);
}

static void log_at_each_level(void)
{
    struct error err;
    log_debug("not shown");
    log_warn("%0*d", 5000, 0);
    (void)error_set(&err, STATUS_INVALID, "bad value");
    error_set_field(&err, "steps");
    error_set_hint(&err, "lower it");
    log_error(&err);
}

static void levels_filter_and_long_lines_are_cut(void **state)
{
    (void)state;
    struct bytes bytes = captured(log_at_each_level);
    assert_null(strstr(bytes.data, "not shown"));
    assert_contains(bytes.data, "0\n");
    assert_contains(bytes.data, "error tester: bad value [steps]; lower it\n");
    assert_true(bytes.size < 2500);
    bytes_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_threads_stay_whole),
        cmocka_unit_test(levels_filter_and_long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
