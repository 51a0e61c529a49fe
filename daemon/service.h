/*
 * service — the daemon as a whole: opens the state folder, wires queue, metrics, supervisor and
 * server to one loop, and commits once per iteration.
 *
 *   loop iteration: timers, sockets, ends of processes ──► changes gather in one transaction
 *                   plan what starts next ──► commit ──► then: replies, spawning, signals
 *
 * When the commit fails (disk full), nothing of the iteration has happened: its requests are
 * answered with the error, and what the daemon itself wanted to note is tried again.
 *
 * Threads: service_run is the loop thread.
 */
#pragma once

#include "daemon/supervisor.h"
#include "proto/base/error.h"

struct service;

struct service_config {
    struct supervisor_config supervisor; /* state folder, socket, worker, slots */
};

/* STATUS_BUSY when another daemon has this state folder or socket. Ready when it returns. */
MUST_USE enum status service_create(struct service **out, const struct service_config *config,
                                    struct error *err);
/* Serves until daemon.shutdown, SIGTERM or SIGINT. Attempts go on. */
MUST_USE enum status service_run(struct service *service, struct error *err);
void service_destroy(struct service *service); /* NULL is fine */

/* Replays the event log of a state folder and compares: STATUS_CORRUPT names a difference. */
MUST_USE enum status service_check(const char *state_folder, struct error *err);
