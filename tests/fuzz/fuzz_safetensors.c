/* A file of tensors: opened, looked at, every tensor read; within its memory. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/tensors/safetensors.h"
#include "tests/fuzz/fuzz.h"

/* What jansson may allocate: beyond the ratio, its first buffers. */
#define FIRST_BYTES ((size_t)16384)

static size_t allocated;
static size_t limit;

static void *counting_malloc(size_t size)
{
    size_t *block = malloc(size + 16);
    FUZZ_ASSERT(block);
    *block = size;
    allocated += size;
    FUZZ_ASSERT(allocated <= limit);
    return block + 2;
}

static void counting_free(void *pointer)
{
    if (pointer) {
        size_t *block = (size_t *)pointer - 2;
        allocated -= *block;
        free(block);
    }
}

static enum status take(void *context, const void *data, size_t size, struct error *err)
{
    size_t *total = context;
    (void)data;
    (void)err;
    *total += size;
    return STATUS_OK;
}

static void read_all(struct safetensors_reader *reader, size_t size)
{
    size_t total = 0;
    for (size_t i = 0; i < safetensors_reader_count(reader); i++) {
        const struct tensor_info *info = safetensors_reader_tensor(reader, i);
        struct error err = {0};
        size_t index = 0;
        size_t taken = 0;
        FUZZ_ASSERT(safetensors_reader_find(reader, info->name, &index) == info && index == i);
        const enum status status = safetensors_reader_stream(reader, i, take, &taken, &err);
        FUZZ_ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
        FUZZ_ASSERT(taken == info->bytes);
        total += info->bytes;
    }
    FUZZ_ASSERT(total < size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors_reader *reader = NULL;
    struct error err = {0};
    char path[64];

    (void)snprintf(path, sizeof path, "/tmp/remora-fuzz-%ld", (long)getpid());
    const int copy = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FUZZ_ASSERT(copy >= 0 && write(copy, data, size) == (ssize_t)size);
    (void)close(copy);

    limit = size * SAFETENSORS_MEMORY_RATIO + FIRST_BYTES;
    json_set_alloc_funcs(counting_malloc, counting_free);
    if (safetensors_reader_open(&reader, path, &err) == STATUS_OK) {
        read_all(reader, size);
    } else {
        FUZZ_ASSERT(strstr(err.message, path) != NULL);
    }
    safetensors_reader_close(reader);
    FUZZ_ASSERT(allocated == 0);
    (void)unlink(path);
    return 0;
}
