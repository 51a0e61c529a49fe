#include <assert.h>
#include <string.h>
#include <time.h>

#include "proto/base/limits.h"
#include "worker/dist/dist_private.h"

enum { TAG_PART = 1, TAG_SUM = 2, TAG_GATHER = 3, TAG_MOVE = 4 };

/* Looks at an agreement before a waiting rank begins to sleep: some tens of microseconds. */
#define LOOKS_AWAKE 1000

size_t dist_segment(const struct dist *dist, size_t count, int owner, size_t *first)
{
    size_t world = (size_t)dist->world;
    size_t size = (count + world - 1) / world;
    size_t start = (size_t)owner * size;

    *first = start < count ? start : count;
    return count - *first < size ? count - *first : size;
}

/* Waits for the posted requests; after a failure to post, code is that failure. */
static enum status finish(struct dist *dist, int posted, int code, const char *what,
                          struct error *err)
{
    if (code == MPI_SUCCESS) {
        code = MPI_Waitall(posted, dist->requests, MPI_STATUSES_IGNORE);
    }
    return error_from_mpi(err, code, what);
}

/* Every rank receives all parts of its own segment into scratch[rank] and sends the rest away. */
static enum status scatter_parts(struct dist *dist, const float *values, size_t count,
                                 struct error *err)
{
    size_t own_first = 0;
    size_t own_count = dist_segment(dist, count, dist->rank, &own_first);
    int posted = 0;
    int code = MPI_SUCCESS;

    for (int peer = 0; peer < dist->world && code == MPI_SUCCESS; peer++) {
        size_t first = 0;
        size_t size = dist_segment(dist, count, peer, &first);

        if (peer == dist->rank) {
            continue;
        }
        code = MPI_Irecv(dist->scratch + (size_t)peer * dist->segment_floats, (int)own_count,
                         MPI_FLOAT, peer, TAG_PART, MPI_COMM_WORLD, &dist->requests[posted]);
        posted += code == MPI_SUCCESS;
        if (code == MPI_SUCCESS) {
            code = MPI_Isend(values + first, (int)size, MPI_FLOAT, peer, TAG_PART, MPI_COMM_WORLD,
                             &dist->requests[posted]);
            posted += code == MPI_SUCCESS;
        }
    }
    return finish(dist, posted, code, "reduce-scatter", err);
}

void dist_add_segment(const struct dist *dist, float *scratch, float *own, size_t count)
{
    const size_t world = (size_t)dist->world;

    memcpy(scratch + (size_t)dist->rank * dist->segment_floats, own, count * sizeof *own);
    for (size_t distance = 1; distance < world; distance *= 2) {
        for (size_t rank = 0; rank + distance < world; rank += 2 * distance) {
            float *sum = scratch + rank * dist->segment_floats;
            const float *part = sum + distance * dist->segment_floats;
            for (size_t i = 0; i < count; i++) {
                sum[i] += part[i];
            }
        }
    }
    memcpy(own, scratch, count * sizeof *own);
}

/* Every rank sends its summed segment to the others. */
static enum status gather_sums(struct dist *dist, float *values, size_t count, struct error *err)
{
    size_t own_first = 0;
    size_t own_count = dist_segment(dist, count, dist->rank, &own_first);
    int posted = 0;
    int code = MPI_SUCCESS;

    for (int peer = 0; peer < dist->world && code == MPI_SUCCESS; peer++) {
        size_t first = 0;
        size_t size = dist_segment(dist, count, peer, &first);

        if (peer == dist->rank) {
            continue;
        }
        code = MPI_Irecv(values + first, (int)size, MPI_FLOAT, peer, TAG_SUM, MPI_COMM_WORLD,
                         &dist->requests[posted]);
        posted += code == MPI_SUCCESS;
        if (code == MPI_SUCCESS) {
            code = MPI_Isend(values + own_first, (int)own_count, MPI_FLOAT, peer, TAG_SUM,
                             MPI_COMM_WORLD, &dist->requests[posted]);
            posted += code == MPI_SUCCESS;
        }
    }
    return finish(dist, posted, code, "all-gather", err);
}

enum status dist_sum(struct dist *dist, float *values, size_t count, struct error *err)
{
    if (dist->world == 1) {
        return STATUS_OK;
    }
    for (size_t done = 0; done < count;) {
        float *bucket = values + done;
        size_t size = count - done < BUCKET_FLOATS ? count - done : BUCKET_FLOATS;
        size_t own_first = 0;
        size_t own_count = dist_segment(dist, size, dist->rank, &own_first);

        enum status status = scatter_parts(dist, bucket, size, err);
        if (!status) {
            dist_add_segment(dist, dist->scratch, bucket + own_first, own_count);
            status = gather_sums(dist, bucket, size, err);
        }
        if (status) {
            return status;
        }
        done += size;
    }
    return STATUS_OK;
}

/* How much of count is left from done on, a bucket at most. */
static size_t piece_of(size_t count, size_t done)
{
    const size_t left = done < count ? count - done : 0;

    return left < BUCKET_FLOATS ? left : BUCKET_FLOATS;
}

/* The pieces of all ranks that begin `done` floats into their ranges. */
static enum status gather_pieces(struct dist *dist, float *values, const size_t *firsts,
                                 const size_t *counts, size_t done, struct error *err)
{
    const size_t own = piece_of(counts[dist->rank], done);
    int posted = 0;
    int code = MPI_SUCCESS;

    for (int peer = 0; peer < dist->world && code == MPI_SUCCESS; peer++) {
        const size_t theirs = piece_of(counts[peer], done);

        if (peer != dist->rank && theirs > 0) {
            code = MPI_Irecv(values + firsts[peer] + done, (int)theirs, MPI_FLOAT, peer, TAG_GATHER,
                             MPI_COMM_WORLD, &dist->requests[posted]);
            posted += code == MPI_SUCCESS;
        }
        if (peer != dist->rank && own > 0 && code == MPI_SUCCESS) {
            code = MPI_Isend(values + firsts[dist->rank] + done, (int)own, MPI_FLOAT, peer,
                             TAG_GATHER, MPI_COMM_WORLD, &dist->requests[posted]);
            posted += code == MPI_SUCCESS;
        }
    }
    return finish(dist, posted, code, "gather", err);
}

enum status dist_gather(struct dist *dist, float *values, const size_t *firsts,
                        const size_t *counts, struct error *err)
{
    size_t largest = 0;
    enum status status = STATUS_OK;

    for (int rank = 0; dist->world > 1 && rank < dist->world; rank++) {
        largest = counts[rank] > largest ? counts[rank] : largest;
    }
    for (size_t done = 0; done < largest && !status; done += BUCKET_FLOATS) {
        status = gather_pieces(dist, values, firsts, counts, done, err);
    }
    return status;
}

enum status dist_move(struct dist *dist, float *values, size_t count, int from, int to,
                      struct error *err)
{
    int code = MPI_SUCCESS;

    assert(from != to);
    for (size_t done = 0; done < count && code == MPI_SUCCESS; done += BUCKET_FLOATS) {
        const int piece = (int)piece_of(count, done);
        if (dist->rank == from) {
            code = MPI_Send(values + done, piece, MPI_FLOAT, to, TAG_MOVE, MPI_COMM_WORLD);
        } else if (dist->rank == to) {
            code = MPI_Recv(values + done, piece, MPI_FLOAT, from, TAG_MOVE, MPI_COMM_WORLD,
                            MPI_STATUS_IGNORE);
        }
    }
    return error_from_mpi(err, code, "move");
}

double dist_add_pairs(double *values, size_t count, size_t stride)
{
    for (size_t distance = 1; distance < count; distance *= 2) {
        for (size_t i = 0; i + distance < count; i += 2 * distance) {
            values[i * stride] += values[(i + distance) * stride];
        }
    }
    return values[0];
}

enum status dist_sum_doubles(struct dist *dist, double *values, size_t count, struct error *err)
{
    assert(count <= DIST_DOUBLES_MAX);
    if (dist->world == 1) {
        return STATUS_OK;
    }
    /* Only moved by MPI; the adding is ours. */
    int code = MPI_Allgather(values, (int)count, MPI_DOUBLE, dist->doubles, (int)count, MPI_DOUBLE,
                             MPI_COMM_WORLD);
    if (code != MPI_SUCCESS) {
        return error_from_mpi(err, code, "gather of doubles");
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = dist_add_pairs(dist->doubles + i, (size_t)dist->world, count);
    }
    return STATUS_OK;
}

enum status dist_broadcast(struct dist *dist, void *data, size_t size, int root, struct error *err)
{
    char *bytes = data;

    assert(0 <= root && root < dist->world);
    if (dist->world == 1) {
        return STATUS_OK;
    }
    while (size > 0) {
        size_t part = size < 64 * MIB ? size : 64 * MIB;
        int code = MPI_Bcast(bytes, (int)part, MPI_BYTE, root, MPI_COMM_WORLD);
        if (code != MPI_SUCCESS) {
            return error_from_mpi(err, code, "broadcast");
        }
        bytes += part;
        size -= part;
    }
    return STATUS_OK;
}

enum status dist_barrier(struct dist *dist, struct error *err)
{
    if (dist->world == 1) {
        return STATUS_OK;
    }
    return error_from_mpi(err, MPI_Barrier(MPI_COMM_WORLD), "barrier");
}

/* *first <- the least of all ranks' values. The waiting ranks sleep between looks: what they wait
 * for (a file being written, data being prepared) may need their cores. */
static enum status find_first(int value, int *first, struct error *err)
{
    static const struct timespec pause = {.tv_nsec = 200000};
    MPI_Request request = MPI_REQUEST_NULL;
    int done = 0;

    int code = MPI_Iallreduce(&value, first, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD, &request);
    for (int look = 0; code == MPI_SUCCESS; look++) {
        code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done) {
            break;
        }
        if (look >= LOOKS_AWAKE) {
            (void)nanosleep(&pause, NULL);
        }
    }
    return error_from_mpi(err, code, "agreement");
}

enum status dist_agree(struct dist *dist, enum status status, int *speaker, struct error *err)
{
    int failing = status == STATUS_OK ? dist->world : dist->rank;
    int first = failing;

    if (dist->world > 1) {
        struct error lost;
        enum status agreed = find_first(failing, &first, &lost);
        if (agreed) {
            *err = lost;
            return agreed;
        }
    }
    if (first == dist->world) {
        return STATUS_OK;
    }
    if (speaker != NULL) {
        *speaker = first;
    }
    enum status sent = dist_broadcast(dist, err, sizeof *err, first, err);
    return sent ? sent : err->status;
}
