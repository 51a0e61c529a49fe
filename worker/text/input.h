/*
 * input — the list of files that a person's inputs name: files, folders and globs.
 *
 * A folder stands for the files below it whose names say that they are text of ours (.xml, .jsonl,
 * .ndjson, .json, .txt, .text, .md, each also .gz or .zst); hidden ones and links to folders are
 * not followed. A file named itself, or by a glob, is taken whatever its name. The list is sorted
 * by path and has no file twice.
 *
 * Ownership: the caller owns the list (input_list_deinit). A zeroed struct is an empty list.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"

struct input_file {
    char *path;
    int64_t bytes;
    int64_t modified_ns;  /* mtime when it was listed */
    struct digest digest; /* of the bytes as on disk; the caller fills it */
};

struct input_list {
    struct input_file *files;
    size_t count;
    size_t capacity;
    int64_t bytes;   /* of all files */
    int64_t skipped; /* files in folders whose names say nothing to us */
};

/* Fills the list. NOT_FOUND for an input that names no file, PERMISSION for one that is unreadable;
 * err->field is "inputs[i]". */
MUST_USE enum status input_list_fill(struct input_list *list, const char *const *inputs,
                                     size_t input_count, struct error *err);

/* CONFLICT naming the first file that is not as it was when it was listed. */
MUST_USE enum status input_list_check_unchanged(const struct input_list *list, struct error *err);

void input_list_deinit(struct input_list *list);
