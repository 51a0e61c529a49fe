#include "proto/base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int rpc_code;
    int exit_code;
} status_table[] = {
#define X(constant, name, rpc_code, exit_code) {name, rpc_code, exit_code},
    STATUS_LIST(X)
#undef X
};

#define STATUS_COUNT (sizeof status_table / sizeof status_table[0])

const char *status_name(enum status status)
{
    assert((size_t)status < STATUS_COUNT);
    return status_table[status].name;
}

int status_rpc_code(enum status status)
{
    assert((size_t)status < STATUS_COUNT);
    return status_table[status].rpc_code;
}

int status_exit_code(enum status status)
{
    assert((size_t)status < STATUS_COUNT);
    return status_table[status].exit_code;
}

enum status status_from_name(const char *name)
{
    for (size_t i = 0; i < STATUS_COUNT; i++) {
        if (strcmp(status_table[i].name, name) == 0) {
            return (enum status)i;
        }
    }
    return STATUS_IO;
}

/* Formats into out[out_bytes]; what does not fit is cut before a UTF-8 lead byte, for an ellipsis.
 */
__attribute__((format(printf, 3, 0))) static void format_cut(char *out, size_t out_bytes,
                                                             const char *format, va_list arguments)
{
    static const char ellipsis[] = "…";

    int length = vsnprintf(out, out_bytes, format, arguments);
    if (length < 0) {
        out[0] = '\0';
        return;
    }
    if ((size_t)length < out_bytes) {
        return;
    }
    size_t end = out_bytes - sizeof ellipsis;
    while (end > 0 && ((unsigned char)out[end] & 0xC0U) == 0x80U) {
        end--;
    }
    memcpy(out + end, ellipsis, sizeof ellipsis);
}

/* snprintf into out[out_bytes] with format_cut's way of cutting. */
__attribute__((format(printf, 3, 4))) static void text_cut(char *out, size_t out_bytes,
                                                           const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    format_cut(out, out_bytes, format, arguments);
    va_end(arguments);
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    assert(status != STATUS_OK);
    if (err == NULL) {
        return status;
    }
    /* Aside, because the arguments may lie in *err itself. */
    char message[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_cut(message, sizeof message, format, arguments);
    va_end(arguments);

    err->status = status;
    memcpy(err->message, message, sizeof message);
    err->field[0] = '\0';
    err->hint[0] = '\0';
    return status;
}

enum status error_wrap(struct error *err, const char *format, ...)
{
    if (err == NULL) {
        return STATUS_OK;
    }
    char context[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_cut(context, sizeof context, format, arguments);
    va_end(arguments);

    char message[ERROR_MESSAGE_BYTES];
    text_cut(message, sizeof message, "%s: %s", context, err->message);
    memcpy(err->message, message, sizeof message);
    return err->status;
}

void error_set_field(struct error *err, const char *format, ...)
{
    if (err == NULL) {
        return;
    }
    char field[ERROR_FIELD_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_cut(field, sizeof field, format, arguments);
    va_end(arguments);
    memcpy(err->field, field, sizeof field);
}

void error_set_hint(struct error *err, const char *format, ...)
{
    if (err == NULL) {
        return;
    }
    char hint[ERROR_HINT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_cut(hint, sizeof hint, format, arguments);
    va_end(arguments);
    memcpy(err->hint, hint, sizeof hint);
}

static enum status status_from_errno(int errno_value)
{
    switch (errno_value) {
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return STATUS_CONFLICT;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    case ENOSPC:
    case EDQUOT:
        return STATUS_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_PERMISSION;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY:
        return STATUS_BUSY;
    case ETIMEDOUT:
        return STATUS_TIMEOUT;
    case ENAMETOOLONG:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ELOOP:
        return STATUS_LIMIT;
    case EISDIR:
        return STATUS_INVALID;
    case ENOSYS:
    case EOPNOTSUPP:
        return STATUS_UNSUPPORTED;
    default:
        return STATUS_IO;
    }
}

enum status error_from_errno(struct error *err, int errno_value, const char *format, ...)
{
    enum status status = status_from_errno(errno_value);
    if (err == NULL) {
        return status;
    }
    char context[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    format_cut(context, sizeof context, format, arguments);
    va_end(arguments);

    char system_text[128];
    return error_set(err, status, "%s: %s", context,
                     strerror_r(errno_value, system_text, sizeof system_text));
}
