/*
 * queue_private — what queue.c (changes) and queue_read.c (rows) share.
 */
#pragma once

#include <stdint.h>

#include "daemon/db.h"
#include "daemon/queue.h"

struct queue {
    struct db *db;
    int64_t last_seq;      /* of the newest event, committed or not */
    int64_t committed_seq; /* of the newest committed event */
    struct error failure;  /* the first since the last commit; status 0: none */
};
