#include "client/format.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECONDS_A_MINUTE 60
#define SECONDS_AN_HOUR  3600
#define SECONDS_A_DAY    86400

const char *format_duration(char out[FORMAT_BYTES], double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e12) {
        (void)snprintf(out, FORMAT_BYTES, "-");
        return out;
    }
    if (seconds < 9.95) {
        (void)snprintf(out, FORMAT_BYTES, "%.1fs", seconds);
        return out;
    }
    long long whole = (long long)(seconds + 0.5);
    if (whole < SECONDS_A_MINUTE) {
        (void)snprintf(out, FORMAT_BYTES, "%llds", whole);
    } else if (whole < SECONDS_AN_HOUR) {
        (void)snprintf(out, FORMAT_BYTES, "%lldm%02llds", whole / SECONDS_A_MINUTE,
                       whole % SECONDS_A_MINUTE);
    } else if (whole < SECONDS_A_DAY) {
        (void)snprintf(out, FORMAT_BYTES, "%lldh%02lldm", whole / SECONDS_AN_HOUR,
                       whole % SECONDS_AN_HOUR / SECONDS_A_MINUTE);
    } else {
        (void)snprintf(out, FORMAT_BYTES, "%lldd%02lldh", whole / SECONDS_A_DAY,
                       whole % SECONDS_A_DAY / SECONDS_AN_HOUR);
    }
    return out;
}

/* Decimals that make three significant digits of a value in [1, 1000). */
static int decimals_of(double value)
{
    return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

const char *format_count(char out[FORMAT_BYTES], double value)
{
    static const char letters[] = " kMGTP";
    size_t letter = 0;
    double size = fabs(value);

    if (!isfinite(value)) {
        (void)snprintf(out, FORMAT_BYTES, "-");
        return out;
    }
    if (size < 999.5) {
        (void)snprintf(out, FORMAT_BYTES, "%.0f", value);
        return out;
    }
    /* 999.5 of a unit would round to four digits, so it moves on to the next. */
    while (size >= 999.5 && letters[letter + 1] != '\0') {
        size /= 1000;
        letter++;
    }
    (void)snprintf(out, FORMAT_BYTES, "%s%.*f%c", value < 0 ? "-" : "", decimals_of(size), size,
                   letters[letter]);
    return out;
}

const char *format_size(char out[FORMAT_BYTES], uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double size = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        (void)snprintf(out, FORMAT_BYTES, "%u B", (unsigned)bytes);
        return out;
    }
    while (size >= 1023.5 && unit + 1 < sizeof units / sizeof units[0]) {
        size /= 1024;
        unit++;
    }
    (void)snprintf(out, FORMAT_BYTES, "%.*f %s", size < 9.95 ? 1 : 0, size, units[unit]);
    return out;
}

const char *format_loss(char out[FORMAT_BYTES], double value)
{
    if (isnan(value)) {
        (void)snprintf(out, FORMAT_BYTES, "nan");
    } else if (isinf(value)) {
        (void)snprintf(out, FORMAT_BYTES, value > 0 ? "inf" : "-inf");
    } else if (fabs(value) >= 1e6) {
        (void)snprintf(out, FORMAT_BYTES, "%.3e", value);
    } else {
        double size = fabs(value);
        int decimals = size < 9.9995 ? 3 : size < 99.995 ? 2 : size < 999.95 ? 1 : 0;
        (void)snprintf(out, FORMAT_BYTES, "%.*f", decimals, value);
    }
    return out;
}

const char *format_rate(char out[FORMAT_BYTES], double value)
{
    if (!isfinite(value) || value == 0) {
        (void)snprintf(out, FORMAT_BYTES, "%s", isfinite(value) ? "0" : "-");
        return out;
    }
    int exponent = (int)floor(log10(fabs(value)));
    double digits = value / pow(10, exponent);
    if (fabs(digits) >= 9.95) { /* would round to 10 */
        digits /= 10;
        exponent++;
    }
    double rounded = round(digits * 10) / 10;
    if (exponent == 0) {
        (void)snprintf(out, FORMAT_BYTES, "%g", rounded);
    } else {
        (void)snprintf(out, FORMAT_BYTES, "%ge%d", rounded, exponent);
    }
    return out;
}

const char *format_time(char out[FORMAT_BYTES], int64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;

    if (unix_ms <= 0 || localtime_r(&seconds, &parts) == NULL ||
        strftime(out, FORMAT_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
        (void)snprintf(out, FORMAT_BYTES, "-");
    }
    return out;
}

const char *format_age(char out[FORMAT_BYTES], int64_t unix_ms, int64_t now_ms)
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{SECONDS_A_DAY, "d"}, {SECONDS_AN_HOUR, "h"}, {SECONDS_A_MINUTE, "m"}, {1, "s"}};
    int64_t seconds = (now_ms - unix_ms) / 1000;

    if (unix_ms <= 0) {
        (void)snprintf(out, FORMAT_BYTES, "-");
        return out;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (seconds >= units[i].seconds) {
            (void)snprintf(out, FORMAT_BYTES, "%lld%s ago", (long long)(seconds / units[i].seconds),
                           units[i].unit);
            return out;
        }
    }
    (void)snprintf(out, FORMAT_BYTES, "just now");
    return out;
}
