/*
 * log — lines for people who run the programs, on stderr: "12:30:01.123 warn  daemon: text".
 * Only main functions, request handlers and long-running loops log; libraries return errors.
 * Threads: any. Level: REMORA_LOG=debug|info|warn|error, default info.
 */
#pragma once

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct error;

/* part names the program or module, static storage ("remorad", "rank 0"). */
void log_init(const char *part);
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_error(const struct error *err); /* message, field and hint */

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
