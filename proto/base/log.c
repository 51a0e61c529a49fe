#include "proto/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/error.h"

#define LINE_BYTES 2048

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* Who logs is a fact of the process, so it is kept here rather than handed to every function. */
static _Atomic(const char *) log_part = "remora";
static atomic_int log_level = LOG_LEVEL_INFO;

void log_init(const char *part)
{
    atomic_store(&log_part, part);
    const char *wanted = getenv("REMORA_LOG");
    for (int i = LOG_LEVEL_DEBUG; wanted != NULL && i <= LOG_LEVEL_ERROR; i++) {
        if (strcmp(wanted, level_names[i]) == 0) {
            atomic_store(&log_level, i);
        }
    }
}

void log_set_level(enum log_level level)
{
    atomic_store(&log_level, (int)level);
}

/* "12:30:01.123 warn  remorad: " into line[LINE_BYTES]; its length. */
static size_t line_begin(char *line, enum log_level level)
{
    struct timespec now;
    struct tm local;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)localtime_r(&now.tv_sec, &local);
    int length =
        snprintf(line, LINE_BYTES, "%02d:%02d:%02d.%03ld %-5s %s: ", local.tm_hour, local.tm_min,
                 local.tm_sec, now.tv_nsec / 1000000, level_names[level], atomic_load(&log_part));
    return length < 0 ? 0 : (size_t)length;
}

void log_write(enum log_level level, const char *format, ...)
{
    if ((int)level < atomic_load(&log_level)) {
        return;
    }
    char line[LINE_BYTES];
    size_t size = line_begin(line, level);
    if (size >= LINE_BYTES - 1) {
        size = 0; /* a part longer than the line: drop the prefix rather than the message */
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + size, LINE_BYTES - size, format, arguments);
    va_end(arguments);
    if (length > 0) {
        size += (size_t)length;
    }
    if (size > LINE_BYTES - 1) {
        size = LINE_BYTES - 1;
    }
    line[size] = '\n';
    /* One write per line keeps lines of threads and ranks whole. Nothing is left to do when it
     * fails. */
    if (write(STDERR_FILENO, line, size + 1) < 0) {
        return;
    }
}

void log_error(const struct error *err)
{
    log_write(LOG_LEVEL_ERROR, "%s%s%s%s%s%s", err->message, err->field[0] == '\0' ? "" : " [",
              err->field, err->field[0] == '\0' ? "" : "]", err->hint[0] == '\0' ? "" : "; ",
              err->hint);
}
