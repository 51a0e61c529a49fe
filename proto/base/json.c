#include "proto/base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/limits.h"
#include "proto/base/sys.h"

#define KEY_BYTES_MAX 256

static const char non_finite_suffix[] = "_non_finite";

static enum status check_value(const json_t *value, int depth, const char *what, struct error *err);

// NOLINTNEXTLINE(misc-no-recursion): the depth is bounded by the check itself
static enum status check_members(const json_t *value, int depth, const char *what,
                                 struct error *err)
{
    if (depth == JSON_DEPTH_MAX) {
        return error_set(err, STATUS_INVALID, "%s: nested deeper than %d", what, JSON_DEPTH_MAX);
    }
    enum status status = STATUS_OK;
    if (json_is_array(value)) {
        for (size_t i = 0; status == STATUS_OK && i < json_array_size(value); i++) {
            status = check_value(json_array_get(value, i), depth + 1, what, err);
        }
        return status;
    }
    /* jansson's iterators take a non-const object but do not change it. */
    json_t *object = json_incref((json_t *)(uintptr_t)value);
    for (void *at = json_object_iter(object); status == STATUS_OK && at != NULL;
         at = json_object_iter_next(object, at)) {
        status = check_value(json_object_iter_value(at), depth + 1, what, err);
    }
    json_decref(object);
    return status;
}

/* The rules that jansson does not have: depth, and integers that every reader holds exactly. */
// NOLINTNEXTLINE(misc-no-recursion)
static enum status check_value(const json_t *value, int depth, const char *what, struct error *err)
{
    if (json_is_integer(value)) {
        json_int_t integer = json_integer_value(value);
        if (integer > JSON_INTEGER_MAX || integer < -JSON_INTEGER_MAX) {
            return error_set(err, STATUS_INVALID,
                             "%s: the integer %" JSON_INTEGER_FORMAT " is beyond ±(2^53 - 1)", what,
                             integer);
        }
    }
    if (json_is_object(value) || json_is_array(value)) {
        return check_members(value, depth, what, err);
    }
    return STATUS_OK;
}

enum status json_parse(json_t **out, const char *text, size_t size, const char *what,
                       struct error *err)
{
    json_error_t problem;
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (value == NULL) {
        if (json_error_code(&problem) == json_error_out_of_memory) {
            return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", what);
        }
        return error_set(err, STATUS_INVALID, "%s: line %d, column %d: %s", what, problem.line,
                         problem.column, problem.text);
    }
    enum status status = check_value(value, 0, what, err);
    if (status) {
        json_decref(value);
        return status;
    }
    *out = value;
    return STATUS_OK;
}

/* A decimal: 0.DIGITS × 10^point, without trailing zeros. */
struct decimal {
    char digits[24];
    int count;
    int point;
};

/* value, positive and normalised by "%.*e", to count significant digits. */
static struct decimal decimal_of(double value, int count)
{
    struct decimal decimal = {0};
    char text[40];
    (void)snprintf(text, sizeof text, "%.*e", count - 1, value);
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') { /* whatever the locale's decimal point is */
            decimal.digits[decimal.count++] = *at;
        }
    }
    decimal.point = (int)strtol(at + 1, NULL, 10) + 1;
    return decimal;
}

/* Reads back without a decimal point, so the locale does not matter. */
static bool decimal_is(const struct decimal *decimal, double value)
{
    char text[48];
    (void)snprintf(text, sizeof text, "%.*se%d", decimal->count, decimal->digits,
                   decimal->point - decimal->count);
    return strtod(text, NULL) == value;
}

/* One more in the last place. */
static void decimal_increment(struct decimal *decimal)
{
    int i = decimal->count - 1;
    while (i >= 0 && decimal->digits[i] == '9') {
        decimal->digits[i--] = '0';
    }
    if (i >= 0) {
        decimal->digits[i]++;
        return;
    }
    decimal->digits[0] = '1'; /* 99…9 became 100…0 */
    decimal->point++;
}

/*
 * The fewest digits that read back as value. Up to 15 digits survive decimal → double → decimal in
 * the normal range, so 15 digits less their trailing zeros are the shortest when they read back;
 * below it every count is tried. At a power of two the spacing above is twice that below, so the
 * shortest may be the neighbour above the nearest.
 */
static struct decimal decimal_shortest(double value)
{
    struct decimal decimal = {0};
    for (int count = fpclassify(value) == FP_SUBNORMAL ? 1 : 15; count <= 17; count++) {
        decimal = decimal_of(value, count);
        if (decimal_is(&decimal, value)) {
            break;
        }
        struct decimal above = decimal;
        decimal_increment(&above);
        if (decimal_is(&above, value)) {
            decimal = above;
            break;
        }
    }
    while (decimal.count > 1 && decimal.digits[decimal.count - 1] == '0') {
        decimal.count--;
    }
    return decimal;
}

void json_real_text(char out[32], double value)
{
    assert(isfinite(value));
    const char *sign = signbit(value) ? "-" : "";
    if (value == 0.0) {
        (void)snprintf(out, 32, "%s0.0", sign);
        return;
    }
    struct decimal decimal = decimal_shortest(fabs(value));
    const char *digits = decimal.digits;
    int count = decimal.count;
    int point = decimal.point;
    if (point > 16 || point < -3) {
        (void)snprintf(out, 32, "%s%c%s%.*se%d", sign, digits[0], count > 1 ? "." : "", count - 1,
                       digits + 1, point - 1);
    } else if (point <= 0) {
        (void)snprintf(out, 32, "%s0.%.*s%.*s", sign, -point, "000", count, digits);
    } else if (count <= point) {
        (void)snprintf(out, 32, "%s%.*s%.*s.0", sign, count, digits, point - count,
                       "0000000000000000");
    } else {
        (void)snprintf(out, 32, "%s%.*s.%.*s", sign, point, digits, count - point, digits + point);
    }
}

/* Escapes what JSON requires and nothing else, so that a text has one form. */
static void append_string(struct bytes *out, const char *text, size_t size)
{
    static const char short_from[] = "\"\\\b\f\n\r\t";
    static const char short_to[] = "\"\\bfnrt";

    bytes_append_char(out, '"');
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        const char *escape = c == '\0' ? NULL : strchr(short_from, c);
        if (escape != NULL) {
            bytes_append_char(out, '\\');
            bytes_append_char(out, short_to[escape - short_from]);
        } else if ((unsigned char)c < 0x20) {
            bytes_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
        } else {
            bytes_append_char(out, c);
        }
    }
    bytes_append_char(out, '"');
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// NOLINTNEXTLINE(misc-no-recursion): values come from json_parse or are built by our own code
static void append_object(struct bytes *out, const json_t *value)
{
    const char *few[32]; /* records are written in every step of a run, without an allocation */
    size_t count = json_object_size(value);
    const bool fits = count <= sizeof few / sizeof few[0];
    const char **keys = fits ? few : sys_calloc(count, sizeof *keys);
    if (keys == NULL) {
        out->failed = true;
        return;
    }
    json_t *object = json_incref((json_t *)(uintptr_t)value);
    size_t filled = 0;
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        keys[filled++] = json_object_iter_key(at);
    }
    assert(filled == count);
    qsort(keys, count, sizeof *keys, compare_keys);
    bytes_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            bytes_append_char(out, ',');
        }
        append_string(out, keys[i], strlen(keys[i]));
        bytes_append_char(out, ':');
        json_canonical(out, json_object_get(object, keys[i]));
    }
    bytes_append_char(out, '}');
    json_decref(object);
    if (!fits) {
        free(keys);
    }
}

// NOLINTNEXTLINE(misc-no-recursion)
static void append_array(struct bytes *out, const json_t *value)
{
    bytes_append_char(out, '[');
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (i > 0) {
            bytes_append_char(out, ',');
        }
        json_canonical(out, json_array_get(value, i));
    }
    bytes_append_char(out, ']');
}

// NOLINTNEXTLINE(misc-no-recursion)
void json_canonical(struct bytes *out, const json_t *value)
{
    char real[32];

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        append_object(out, value);
        break;
    case JSON_ARRAY:
        append_array(out, value);
        break;
    case JSON_STRING:
        append_string(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        bytes_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        json_real_text(real, json_real_value(value));
        bytes_append_text(out, real);
        break;
    case JSON_TRUE:
        bytes_append_text(out, "true");
        break;
    case JSON_FALSE:
        bytes_append_text(out, "false");
        break;
    case JSON_NULL:
        bytes_append_text(out, "null");
        break;
    }
}

/* "<key>_non_finite" into out[KEY_BYTES_MAX]. */
static void non_finite_key(char out[KEY_BYTES_MAX], const char *key)
{
    int length = snprintf(out, KEY_BYTES_MAX, "%s%s", key, non_finite_suffix);
    assert(length > 0 && length < KEY_BYTES_MAX);
    (void)length;
}

void json_set_real(json_t *object, const char *key, double value)
{
    char sibling[KEY_BYTES_MAX];
    non_finite_key(sibling, key);
    if (isfinite(value)) {
        (void)json_object_set_new(object, key, json_real(value));
        (void)json_object_del(object, sibling);
        return;
    }
    const char *name = "nan";
    if (!isnan(value)) {
        name = value > 0 ? "inf" : "-inf";
    }
    (void)json_object_set_new(object, key, json_null());
    (void)json_object_set_new(object, sibling, json_string(name));
}

const char *json_get_text(const json_t *object, const char *key, const char *fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t json_get_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

double json_get_real(const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_number(value)) {
        return json_number_value(value);
    }
    if (!json_is_null(value)) {
        return fallback;
    }
    char sibling[KEY_BYTES_MAX];
    non_finite_key(sibling, key);
    const char *name = json_get_text(object, sibling, "");
    if (strcmp(name, "nan") == 0) {
        return (double)NAN;
    }
    if (strcmp(name, "inf") == 0) {
        return (double)INFINITY;
    }
    return strcmp(name, "-inf") == 0 ? -(double)INFINITY : fallback;
}

bool json_get_bool(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_boolean_value(value) : fallback;
}
