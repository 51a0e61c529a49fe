/*
 * dist — the ranks of a run and what they do together, over MPI.
 *
 * A process that neither mpirun nor srun started is a world of one: MPI is not initialised and
 * every call below is a no-op that succeeds. Sums have our own fixed order, by pairs of neighbours,
 *
 *   ((rank 0 + rank 1) + (rank 2 + rank 3)) + ((rank 4 + rank 5) + …)
 *
 * over point-to-point messages, so that their bits depend on the world size alone: not on timing,
 * the transport or what an MPI library picks. A rank that adds up 2 or 4 parts of its own by pairs
 * before gives the same bits as 2 or 4 ranks with a part each.
 *
 * Errors:  a message that cannot be passed is STATUS_IO. A rank that is lost is not reported: the
 *          launcher ends the job, and the others wait until it does.
 * Threads: the thread that opened the world makes every call, but for what reduction.h says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

struct dist;

/* True when mpirun or srun started this process (their environment says so). */
bool dist_is_launched(void);

/* Joins the world. Collective. */
MUST_USE enum status dist_open(struct dist **out, struct error *err);
/* Leaves it. Collective: every rank comes here, or none does (then dist_abort). NULL is fine. */
void dist_close(struct dist *dist);
/* Ends the processes of all ranks; this one exits with exit_code. NULL is a world of one. */
_Noreturn void dist_abort(struct dist *dist, int exit_code);

int dist_rank(const struct dist *dist);
int dist_world(const struct dist *dist);
/* Index among the ranks on this host. */
int dist_local_rank(const struct dist *dist);
/* How many those are. */
int dist_local_world(const struct dist *dist);

/* All ranks bring their status and learn the same one: STATUS_OK when all succeeded, else that of
 * the lowest failing rank, with its error in *err. *speaker (may be NULL) is that rank, the one to
 * tell people about it. Waits without keeping its core busy. Collective. */
MUST_USE enum status dist_agree(struct dist *dist, enum status status, int *speaker,
                                struct error *err);

/* values[count] <- the sum over ranks, by pairs; the same bits everywhere. Collective. */
MUST_USE enum status dist_sum(struct dist *dist, float *values, size_t count, struct error *err);

/* The sum, in the order of the ranks' sums, of count values that lie stride apart. Overwrites them.
 */
double dist_add_pairs(double *values, size_t count, size_t stride);

/* As dist_sum for a few doubles (losses, norms): at most DIST_DOUBLES_MAX. */
#define DIST_DOUBLES_MAX 64
MUST_USE enum status dist_sum_doubles(struct dist *dist, double *values, size_t count,
                                      struct error *err);

/* values[firsts[r]] … of counts[r] floats, of each rank r, go to all. Collective. */
MUST_USE enum status dist_gather(struct dist *dist, float *values, const size_t *firsts,
                                 const size_t *counts, struct error *err);

/* values[count] of rank from go to rank to; the others have nothing to do. */
MUST_USE enum status dist_move(struct dist *dist, float *values, size_t count, int from, int to,
                               struct error *err);

/* data[size] of rank root goes to all. Collective. */
MUST_USE enum status dist_broadcast(struct dist *dist, void *data, size_t size, int root,
                                    struct error *err);

/* Returns when every rank came here. */
MUST_USE enum status dist_barrier(struct dist *dist, struct error *err);
