/*
 * file — whole files, durably. A file that these functions write appears whole or not at all:
 * written aside in the same folder, fdatasync, rename, fsync of the folder.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"

/* Reads the whole file; more than size_max bytes is STATUS_LIMIT. "-" is not special. */
MUST_USE enum status file_read(struct bytes *out, const char *path, size_t size_max,
                               struct error *err);

/* Replaces path by these bytes, atomically and durably. */
MUST_USE enum status file_write(const char *path, const void *data, size_t size, mode_t mode,
                                struct error *err);

/* As file_write, but fails with STATUS_CONFLICT when path exists. */
MUST_USE enum status file_create(const char *path, const void *data, size_t size, mode_t mode,
                                 struct error *err);

/* What separates a file's name from the rest in the names of its temporary siblings; whoever finds
 * one that no living process writes may remove it. */
#define FILE_TEMPORARY_MARK ".tmp-"

/* out[PATH_BYTES_MAX]: the name under which this thread writes path aside. */
MUST_USE enum status file_temporary(char *out, const char *path, struct error *err);

/* Makes the file that was written aside and synced appear as path, durably. When the rename
 * fails, temporary is removed. */
MUST_USE enum status file_replace(const char *temporary, const char *path, struct error *err);

/* fsync of a folder, so that its entries are durable. */
MUST_USE enum status folder_sync(const char *path, struct error *err);

/* mkdir -p with mode for every folder that it makes, each made durable. */
MUST_USE enum status folder_create(const char *path, mode_t mode, struct error *err);

/* Removes a folder and all in it; a missing one is fine. Does not follow links. */
MUST_USE enum status folder_remove(const char *path, struct error *err);

bool file_exists(const char *path);
/* -1 when there is none. */
int64_t file_size(const char *path);

/* out[PATH_BYTES_MAX]: printf into a path; too long is STATUS_LIMIT. */
MUST_USE enum status path_printf(char *out, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* out[PATH_BYTES_MAX]: path itself when absolute or when folder is NULL, else folder/path. */
MUST_USE enum status path_resolve(char *out, const char *folder, const char *path,
                                  struct error *err);
