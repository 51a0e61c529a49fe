/*
 * process — which processes there are: identities that survive the reuse of pids, and the tree of
 * an attempt, found by what all its members carry in their environment.
 *
 * kill(pid, 0) lies (zombies, reused pids), and killpg misses MPI ranks, which have groups of their
 * own; so we read /proc and signal through pidfds.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/job.h"
#include "proto/base/error.h"

/* In the environment of every process of an attempt. */
#define ATTEMPT_ID_VARIABLE "REMORA_ATTEMPT_ID"

/* Of this boot of the machine. out[BOOT_ID_BYTES]. */
MUST_USE enum status boot_id_read(char *out, struct error *err);

/* Of the running process pid. STATUS_NOT_FOUND when there is none, or only a zombie. */
MUST_USE enum status process_identify(struct process_identity *out, pid_t pid, struct error *err);

/* A pidfd of exactly this process; STATUS_NOT_FOUND when it has ended. */
MUST_USE enum status process_open(int *pidfd, const struct process_identity *identity,
                                  struct error *err);
/* Sends a signal; a process that has ended meanwhile is fine. */
void process_signal(int pidfd, int signal);

/*
 * Sends a signal to every living process of the attempt, except to ourselves, and says how many
 * there were. signal 0 only counts. Processes of other users are not ours and not seen.
 */
size_t process_signal_attempt(const char *attempt_id, int signal);
/* The same for all descendants of pid. */
size_t process_signal_descendants(pid_t pid, int signal);
