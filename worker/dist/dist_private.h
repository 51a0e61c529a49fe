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
    bool owns_mpi;         /* MPI_Init was ours, so is MPI_Finalize */
    float *scratch;        /* [world][segment_floats]: what the others sent of our segment */
    double *doubles;       /* [world][DIST_DOUBLES_MAX] */
    MPI_Request *requests; /* [2 * world] */
    size_t segment_floats; /* of a full bucket */
};

enum status error_from_mpi(struct error *err, int code, const char *what);
