/*
 * documents — for tests of importers: input files, packed as they come in the world, and a sink
 * that writes down what it was given.
 */
#pragma once

#include <stddef.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"
#include "worker/text/document.h"

/* What a sink was given: every document followed by "|", and every notice followed by a newline. */
struct collected {
    struct bytes texts;
    struct bytes notices;
    struct document_sink sink; /* its context is this struct */
};

void collected_init(struct collected *collected);
void collected_deinit(struct collected *collected);

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

/* Appends data packed as one gzip member or zstd frame. */
void pack(struct bytes *out, enum packing packing, const void *data, size_t size);

/* Writes folder/name and puts its path into path[PATH_BYTES_MAX]. */
void write_input(char *path, const char *folder, const char *name, const void *data, size_t size);
