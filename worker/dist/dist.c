#include "worker/dist/dist.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/checked.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "worker/dist/dist_private.h"

enum status error_from_mpi(struct error *err, int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int size = 0;

    if (code == MPI_SUCCESS) {
        return STATUS_OK;
    }
    if (MPI_Error_string(code, text, &size) != MPI_SUCCESS) {
        size = 0;
    }
    return error_set(err, STATUS_IO, "MPI %s: %.*s", what, size, text);
}

bool dist_is_launched(void)
{
    static const char *const signs[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};

    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
        if (getenv(signs[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static enum status find_local_ranks(struct dist *dist, struct error *err)
{
    MPI_Comm host = MPI_COMM_NULL;

    int code =
        MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, dist->rank, MPI_INFO_NULL, &host);
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_rank(host, &dist->local_rank);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_size(host, &dist->local_world);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_free(&host);
    }
    return error_from_mpi(err, code, "split by host");
}

static enum status join(struct dist *dist, struct error *err)
{
    int level = MPI_THREAD_SINGLE;

    /* More than FUNNELED only for reductions with a thread; without it those are polled. */
    int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &level);
    if (code != MPI_SUCCESS) {
        return error_from_mpi(err, code, "initialise");
    }
    dist->owns_mpi = true;
    dist->thread_level = level;
    if (level < MPI_THREAD_FUNNELED) {
        return error_set(err, STATUS_UNSUPPORTED, "MPI grants no thread beside its own");
    }
    code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_rank(MPI_COMM_WORLD, &dist->rank);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_size(MPI_COMM_WORLD, &dist->world);
    }
    if (code != MPI_SUCCESS) {
        return error_from_mpi(err, code, "join the world");
    }
    if (dist->world > RANKS_MAX) {
        return error_set(err, STATUS_LIMIT, "%d ranks, the limit is %d", dist->world, RANKS_MAX);
    }
    return find_local_ranks(dist, err);
}

/* Allocates the buffers of the collectives and touches them, so that no step pays for it. */
static enum status plan_buffers(struct dist *dist, struct error *err)
{
    size_t world = (size_t)dist->world;
    size_t scratch_count = 0;

    dist->segment_floats = (BUCKET_FLOATS + world - 1) / world;
    bool fits = checked_mul(world, dist->segment_floats, &scratch_count);
    assert(fits);
    dist->scratch = sys_malloc(scratch_count * sizeof *dist->scratch);
    dist->doubles = sys_calloc(world * DIST_DOUBLES_MAX, sizeof *dist->doubles);
    dist->requests = sys_calloc(2 * world, sizeof *dist->requests);
    if (dist->scratch == NULL || dist->doubles == NULL || dist->requests == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the buffers of %d ranks",
                         dist->world);
    }
    memset(dist->scratch, 0, scratch_count * sizeof *dist->scratch);
    return STATUS_OK;
}

enum status dist_open(struct dist **out, struct error *err)
{
    struct dist *dist = sys_calloc(1, sizeof *dist);
    enum status status = STATUS_OK;

    if (dist == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the world of ranks");
    }
    dist->world = 1;
    dist->local_world = 1;
    if (dist_is_launched()) {
        status = join(dist, err);
    }
    if (!status && dist->world > 1) {
        status = plan_buffers(dist, err);
    }
    if (status) {
        dist_close(dist);
        return status;
    }
    *out = dist;
    return STATUS_OK;
}

void dist_close(struct dist *dist)
{
    if (dist == NULL) {
        return;
    }
    if (dist->owns_mpi) {
        (void)MPI_Finalize();
    }
    free(dist->scratch);
    free(dist->doubles);
    free(dist->requests);
    free(dist);
}

void dist_abort(struct dist *dist, int exit_code)
{
    if (dist != NULL && dist->owns_mpi) {
        (void)MPI_Abort(MPI_COMM_WORLD, exit_code);
    }
    _exit(exit_code);
}

int dist_rank(const struct dist *dist)
{
    return dist->rank;
}

int dist_world(const struct dist *dist)
{
    return dist->world;
}

int dist_local_rank(const struct dist *dist)
{
    return dist->local_rank;
}

int dist_local_world(const struct dist *dist)
{
    return dist->local_world;
}
