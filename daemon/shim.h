/*
 * shim — the small process between the daemon and an attempt, which outlives the daemon.
 *
 * It is the leader of a session and the subreaper of everything below it: whatever loses its parent
 * becomes its child, so "no child left" means that nothing of the attempt is left. It holds
 * attempt.lock while it lives, says who it is in shim.json before it starts anything, gives its
 * tree output.log (a file, never a pipe: a pipe to a dead daemon would kill the job), and at the
 * end, when all are gone, writes exit.json. On SIGTERM it takes the tree down: SIGTERM, a grace
 * period, SIGKILL; only then it exits. Where it can, it runs in a control group of its own, by
 * which the daemon finds the tree when the shim itself was killed; the daemon removes the group.
 *
 * Threads: one; a process of its own.
 */
#pragma once

/* remorad SHIM_OPTION <attempt folder>; not for people. */
#define SHIM_OPTION "--shim"
/* The write end of the pipe that tells the daemon that shim.json is written. */
#define SHIM_READY_FD 3

/* Runs the attempt of this folder; returns the exit code of the process. */
int shim_main(const char *attempt_folder);
