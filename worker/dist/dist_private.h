/*
 * dist_private — the world as dist.c and collectives.c see it.
 */
#pragma once

#include <mpi.h>

#include "worker/dist/dist.h"

/* Floats of a bucket of dist_sum. 4 MiB keeps MPI's temporary buffers warm: messages of 64 MiB run
 * at a tenth of the speed on page faults alone. */
#define BUCKET_FLOATS ((size_t)1 << 20)

struct dist {
    int rank;
    int world;
    int local_rank;
    int local_world;
    int thread_level;      /* MPI_THREAD_…, what the library granted */
    bool owns_mpi;         /* MPI_Init was ours, so is MPI_Finalize */
    float *scratch;        /* [world][segment_floats]: what the others sent of our segment */
    double *doubles;       /* [world][DIST_DOUBLES_MAX] */
    MPI_Request *requests; /* [2 * world] */
    size_t segment_floats; /* of a full bucket */
};

/* Of a bucket of count values, rank owner sums the values from *first on; returns how many. */
size_t dist_segment(const struct dist *dist, size_t count, int owner, size_t *first);

/* own[count] <- (scratch[0] + scratch[1]) + …, rows of segment_floats, with own itself at this
 * rank's place. */
void dist_add_segment(const struct dist *dist, float *scratch, float *own, size_t count);

enum status error_from_mpi(struct error *err, int code, const char *what);
