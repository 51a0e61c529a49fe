/*
 * blob_internal — the insides of a folder of blobs, shared by reading, writing (blob.c) and
 * upkeep of the folders (blob_folders.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/limits.h"
#include "proto/store/blob_codec.h"

#define BLOB_SUBFOLDERS 256

struct blob_folder {
    char path[PATH_BYTES_MAX];
    uint8_t *file; /* a blob file as it is on disk */
    size_t file_bytes;
    uint8_t *content; /* CHUNK_BYTES, for blob_verify */
    struct blob_coder *coder;
    bool is_dirty; /* may have a new subfolder that is not durable yet */
    bool is_subfolder_dirty[BLOB_SUBFOLDERS];
};
