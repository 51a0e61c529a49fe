#include "proto/tensors/tensor.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/checked.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define X(constant, name, bytes) {name, bytes},
    TENSOR_DTYPE_LIST(X)
#undef X
};

#define DTYPE_COUNT (sizeof dtypes / sizeof dtypes[0])

const char *tensor_dtype_name(enum tensor_dtype dtype)
{
    assert((size_t)dtype < DTYPE_COUNT);
    return dtypes[dtype].name;
}

size_t tensor_dtype_bytes(enum tensor_dtype dtype)
{
    assert((size_t)dtype < DTYPE_COUNT);
    return dtypes[dtype].bytes;
}

bool tensor_dtype_from_name(enum tensor_dtype *out, const char *name)
{
    for (size_t i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].name, name) == 0) {
            *out = (enum tensor_dtype)i;
            return true;
        }
    }
    return false;
}

enum status tensor_shape_bytes(size_t *out, enum tensor_dtype dtype,
                               const struct tensor_shape *shape, struct error *err)
{
    if (shape->dims < 0 || shape->dims > TENSOR_DIMS_MAX) {
        return error_set(err, STATUS_INVALID, "%d dimensions are not in 0…%d", shape->dims,
                         TENSOR_DIMS_MAX);
    }
    size_t bytes = tensor_dtype_bytes(dtype);
    bool is_empty = false;
    for (int i = 0; i < shape->dims; i++) {
        if (shape->extents[i] < 0) {
            return error_set(err, STATUS_INVALID, "extent %" PRId64 " is negative",
                             shape->extents[i]);
        }
        is_empty |= shape->extents[i] == 0;
    }
    for (int i = 0; i < shape->dims && !is_empty; i++) {
        if (!checked_mul(bytes, (size_t)shape->extents[i], &bytes) || bytes > INT64_MAX) {
            char text[128];
            tensor_shape_text(text, sizeof text, shape);
            return error_set(err, STATUS_LIMIT, "shape %s is too large", text);
        }
    }
    *out = is_empty ? 0 : bytes;
    return STATUS_OK;
}

bool tensor_shape_equal(const struct tensor_shape *a, const struct tensor_shape *b)
{
    if (a->dims != b->dims) {
        return false;
    }
    for (int i = 0; i < a->dims; i++) {
        if (a->extents[i] != b->extents[i]) {
            return false;
        }
    }
    return true;
}

void tensor_shape_text(char *out, size_t out_bytes, const struct tensor_shape *shape)
{
    char text[TENSOR_DIMS_MAX * 22 + 3] = "[";
    size_t size = 1;
    for (int i = 0; i < shape->dims; i++) {
        int added = snprintf(text + size, sizeof text - size, "%s%" PRId64, i == 0 ? "" : ", ",
                             shape->extents[i]);
        assert(added > 0);
        size += (size_t)added;
    }
    (void)snprintf(out, out_bytes, "%s]", text);
}

bool tensor_name_is_valid(const char *name)
{
    size_t length = strnlen(name, TENSOR_NAME_BYTES_MAX);
    for (size_t i = 0; i < length; i++) {
        if (name[i] < ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\') {
            return false;
        }
    }
    return length > 0 && length < TENSOR_NAME_BYTES_MAX;
}
