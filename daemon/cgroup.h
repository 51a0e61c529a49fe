/*
 * cgroup — a control group (version 2) of an attempt's own, where the system lets us have one. All
 * that the attempt starts is born in it, whatever becomes of its parents and its environment, so it
 * is the surest list of who is left, and one write kills them all. No limits are set.
 *
 * It is not needed: where there is no cgroup2 file system, or none in which we may make groups,
 * the process tree and the environment (process.h) have to do. Nothing here fails for that reason.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Where the group of an attempt would be: beneath our own. "" when there is no such file system.
 * out[PATH_BYTES_MAX]. */
void cgroup_path(char *out, const char *attempt_id);

/* Makes the group and moves the calling process into it. False when that may not be; no group is
 * left then. path "" is false. */
bool cgroup_enter(const char *path);

/* How many processes live in the group; 0 when there is none of that path. */
size_t cgroup_count(const char *path);
/* SIGKILL to all of them; they are gone when cgroup_count says so. */
void cgroup_kill(const char *path);
/* Removes the group, which is empty or about to be: waits for what is ending, a second at most. One
 * that is not there is fine. */
void cgroup_remove(const char *path);
