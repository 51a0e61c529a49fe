/*
 * tensor — what a stored tensor is: a name, an element type and a shape. Bytes are little-endian,
 * rows first, without padding.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* More than any tensor of a language model has. */
#define TENSOR_DIMS_MAX 8
/* "model.layers.511.mlp.down_proj.weight.S.blocks_interleave" and room. With the NUL. */
#define TENSOR_NAME_BYTES_MAX 256

/* X(constant, name as in safetensors, bytes of an element) */
#define TENSOR_DTYPE_LIST(X) \
 X(F32, "F32", 4)            \
 X(F64, "F64", 8)            \
 X(F16, "F16", 2)            \
 X(BF16, "BF16", 2)          \
 X(I64, "I64", 8)            \
 X(I32, "I32", 4)            \
 X(I16, "I16", 2)            \
 X(I8, "I8", 1)              \
 X(U8, "U8", 1)              \
 X(BOOL, "BOOL", 1)

enum tensor_dtype {
#define X(constant, name, bytes) TENSOR_DTYPE_##constant,
    TENSOR_DTYPE_LIST(X)
#undef X
};

/* dims 0 is a scalar: one element. */
struct tensor_shape {
    int dims;
    int64_t extents[TENSOR_DIMS_MAX];
};

/* What a container of tensors says about one of them. The name is the container's. */
struct tensor_info {
    const char *name;
    enum tensor_dtype dtype;
    struct tensor_shape shape;
    size_t bytes; /* of the data; agrees with dtype and shape */
};

const char *tensor_dtype_name(enum tensor_dtype dtype);
size_t tensor_dtype_bytes(enum tensor_dtype dtype);
bool tensor_dtype_from_name(enum tensor_dtype *out, const char *name);

/* Bytes of all elements; STATUS_INVALID for a bad dims or a negative extent, STATUS_LIMIT on
 * overflow. */
MUST_USE enum status tensor_shape_bytes(size_t *out, enum tensor_dtype dtype,
                                        const struct tensor_shape *shape, struct error *err);
bool tensor_shape_equal(const struct tensor_shape *a, const struct tensor_shape *b);
/* "[512, 176]" into out[out_bytes], cut when too long. */
void tensor_shape_text(char *out, size_t out_bytes, const struct tensor_shape *shape);

/* 1 to TENSOR_NAME_BYTES_MAX - 1 bytes of printable ASCII without quotes and backslashes. */
bool tensor_name_is_valid(const char *name);
