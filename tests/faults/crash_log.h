/*
 * crash_log — what a program did to a folder, call by call, and what a crash may leave of it.
 *
 * A crash after the first k calls keeps what had been made durable by then, and of the rest any
 * part: POSIX promises no order. The model knows
 *
 *     data      bytes written to a file, durable with the next fdatasync or fsync of that file
 *     entries   names made, renamed, removed in a folder, durable with the next fsync of the folder
 *               (not with that of the file); a rename is one change
 *
 * and lets a fault decide of each change that is pending whether it is kept, dropped or torn. Kept
 * without an earlier one, it is reordered before it.
 *
 * Ownership: the caller's struct; a zeroed one is empty. Threads: one, of the whole process, while
 * it records (the hook of proto/base/sys.h is its).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"

enum crash_change {
    CRASH_CHANGE_WRITE,    /* data of a file */
    CRASH_CHANGE_TRUNCATE, /* a file to 0 bytes */
    CRASH_CHANGE_ENTRY,    /* an entry of a folder: made, renamed or removed */
    CRASH_CHANGE_SYNC,     /* of a file or folder */
};

/* One entry set to a node, or to nothing. */
struct crash_entry {
    int folder;
    char *name; /* NULL: unused */
    int node;   /* -1: the name is gone */
};

struct crash_call {
    enum crash_change change;
    int node;                      /* the file or folder that is written, truncated or synced */
    char *path;                    /* below the folder, for people and faults */
    int phase;                     /* crash_log.phase at that time */
    uint8_t *data;                 /* of a write */
    size_t size;                   /* of it */
    size_t offset;                 /* of it */
    struct crash_entry entries[2]; /* of an entry's change: a rename has two */
};

struct crash_node {
    char *path; /* below the folder, as things stand now; NULL: gone */
    bool is_folder;
};

struct crash_log {
    char *folder;
    int phase;         /* set by the caller at will, kept with each call */
    size_t dies_after; /* so many calls, set by the caller: all others fail with EIO, as if the
                          process were no more; 0: it lives */
    struct crash_call *calls;
    size_t call_count;
    struct crash_node *nodes; /* node 0 is the folder itself */
    int node_count;
};

enum crash_fate { CRASH_FATE_DROPPED, CRASH_FATE_KEPT, CRASH_FATE_TORN };

/* Decides of a call that is pending; entries cannot be torn (taken as dropped). */
typedef enum crash_fate crash_fate_fn(void *context, const struct crash_log *log, size_t index);
/* Whether a sync counts; NULL: all do. To see what happens without one. */
typedef bool crash_sync_fn(void *context, const struct crash_call *call);

/* Records what this process does below folder, which is empty, until crash_log_stop. */
void crash_log_start(struct crash_log *log, const char *folder);
void crash_log_stop(void);
void crash_log_deinit(struct crash_log *log);

/* Makes in folder, which is empty, what a crash after call_count calls leaves. */
void crash_log_replay(const struct crash_log *log, const char *folder, size_t call_count,
                      crash_fate_fn *fate, crash_sync_fn *sync, void *context);
