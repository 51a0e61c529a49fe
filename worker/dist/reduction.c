#include "worker/dist/reduction.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/checked.h"
#include "proto/base/sys.h"
#include "worker/dist/dist_private.h"

/* Buckets under way at a time: one is added up while the next one travels. */
#define SLOTS 2
/* Behind those of the collectives; a tag per slot and phase. */
#define TAG_FIRST 16
/* Looks without news before the thread begins to sleep between them. */
#define LOOKS_AWAKE 200

struct range {
    size_t first;
    size_t count;
};

/*
 *   IDLE ──packed──► PARTS ──added up──► SUMS ──unpacked──► IDLE
 */
enum slot_state { SLOT_IDLE, SLOT_PARTS, SLOT_SUMS };

struct slot {
    enum slot_state state;
    size_t start;          /* of the bucket in the concatenation of ranges */
    size_t count;          /* its floats */
    float *packed;         /* [BUCKET_FLOATS] */
    float *scratch;        /* [world][segment_floats] */
    MPI_Request *requests; /* [2 * world] */
    int posted;
};

struct dist_reduction {
    struct dist *dist;
    float *values;
    struct range *ranges; /* [range_max] */
    size_t range_max;
    struct slot slots[SLOTS];
    size_t packed_floats; /* of the concatenation: how far buckets were begun */
    size_t next_slot;

    /* Written by the caller, read by whoever moves the messages; under the mutex with a thread. */
    size_t range_count;
    size_t added_floats;
    bool is_closed; /* nothing more will be added */
    /* The other way round. */
    bool is_done;
    struct error err; /* status STATUS_OK: none */

    bool has_thread;
    bool is_active; /* between start and finish */
    bool is_quitting;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake; /* to the thread: something was added, or it is to quit */
    pthread_cond_t done; /* from it */
};

/* What one look goes by: taken under the mutex. */
struct view {
    size_t range_count;
    size_t added_floats;
    bool is_closed;
};

bool dist_may_have_thread(const struct dist *dist)
{
    return dist->world > 1 && dist->thread_level >= MPI_THREAD_SERIALIZED;
}

/* Copies count floats from `start` of the concatenation on into packed, or back. */
static void copy_bucket(const struct dist_reduction *reduction, const struct view *view,
                        const struct slot *slot, bool is_packing)
{
    size_t begin = 0; /* of the range in the concatenation */
    size_t copied = 0;

    for (size_t i = 0; i < view->range_count && copied < slot->count; i++) {
        const struct range *range = &reduction->ranges[i];
        const size_t at = slot->start + copied;

        if (at < begin + range->count) {
            const size_t left = begin + range->count - at;
            const size_t wanted = slot->count - copied;
            const size_t size = left < wanted ? left : wanted;
            float *values = reduction->values + range->first + (at - begin);
            float *packed = slot->packed + copied;
            memcpy(is_packing ? packed : values, is_packing ? values : packed,
                   size * sizeof *values);
            copied += size;
        }
        begin += range->count;
    }
    assert(copied == slot->count);
}

static int tag_of(const struct dist_reduction *reduction, const struct slot *slot, int phase)
{
    return TAG_FIRST + 2 * (int)(slot - reduction->slots) + phase;
}

/* Posts a receive of received floats and a send for one peer. */
static int post(struct slot *slot, float *to, size_t received, const float *from, size_t sent,
                int peer, int tag)
{
    int code = MPI_Irecv(to, (int)received, MPI_FLOAT, peer, tag, MPI_COMM_WORLD,
                         &slot->requests[slot->posted]);

    slot->posted += code == MPI_SUCCESS;
    if (code == MPI_SUCCESS) {
        code = MPI_Isend(from, (int)sent, MPI_FLOAT, peer, tag, MPI_COMM_WORLD,
                         &slot->requests[slot->posted]);
        slot->posted += code == MPI_SUCCESS;
    }
    return code;
}

static int begin_bucket(struct dist_reduction *reduction, struct slot *slot,
                        const struct view *view)
{
    const struct dist *dist = reduction->dist;
    const size_t left = view->added_floats - reduction->packed_floats;
    size_t own_first = 0;
    int code = MPI_SUCCESS;

    slot->start = reduction->packed_floats;
    slot->count = left < BUCKET_FLOATS ? left : BUCKET_FLOATS;
    slot->posted = 0;
    copy_bucket(reduction, view, slot, true);
    const size_t own = dist_segment(dist, slot->count, dist->rank, &own_first);
    for (int peer = 0; peer < dist->world && code == MPI_SUCCESS; peer++) {
        size_t first = 0;
        const size_t size = dist_segment(dist, slot->count, peer, &first);
        if (peer != dist->rank) {
            code = post(slot, slot->scratch + (size_t)peer * dist->segment_floats, own,
                        slot->packed + first, size, peer, tag_of(reduction, slot, 0));
        }
    }
    reduction->packed_floats += slot->count;
    slot->state = SLOT_PARTS;
    return code;
}

static int add_up(struct dist_reduction *reduction, struct slot *slot)
{
    const struct dist *dist = reduction->dist;
    size_t own_first = 0;
    int code = MPI_SUCCESS;

    const size_t own = dist_segment(dist, slot->count, dist->rank, &own_first);
    dist_add_segment(dist, slot->scratch, slot->packed + own_first, own);
    slot->posted = 0;
    for (int peer = 0; peer < dist->world && code == MPI_SUCCESS; peer++) {
        size_t first = 0;
        const size_t size = dist_segment(dist, slot->count, peer, &first);
        if (peer != dist->rank) {
            code = post(slot, slot->packed + first, size, slot->packed + own_first, own, peer,
                        tag_of(reduction, slot, 1));
        }
    }
    slot->state = SLOT_SUMS;
    return code;
}

/* Brings a slot on by a state where it can; *moved tells. */
static int advance_slot(struct dist_reduction *reduction, struct slot *slot,
                        const struct view *view, bool *moved)
{
    int has_arrived = 0;

    if (slot->state == SLOT_IDLE) {
        const size_t left = view->added_floats - reduction->packed_floats;
        const bool is_due = left >= BUCKET_FLOATS || (view->is_closed && left > 0);
        /* In turns, so that the same bucket is in the same slot on all ranks. */
        if (!is_due || slot != &reduction->slots[reduction->next_slot]) {
            return MPI_SUCCESS;
        }
        reduction->next_slot = (reduction->next_slot + 1) % SLOTS;
        *moved = true;
        return begin_bucket(reduction, slot, view);
    }
    int code = MPI_Testall(slot->posted, slot->requests, &has_arrived, MPI_STATUSES_IGNORE);
    if (code != MPI_SUCCESS || !has_arrived) {
        return code;
    }
    *moved = true;
    if (slot->state == SLOT_PARTS) {
        return add_up(reduction, slot);
    }
    copy_bucket(reduction, view, slot, false);
    slot->state = SLOT_IDLE;
    return MPI_SUCCESS;
}

static bool is_all_done(const struct dist_reduction *reduction, const struct view *view)
{
    bool is_done = view->is_closed && reduction->packed_floats == view->added_floats;

    for (size_t i = 0; i < SLOTS; i++) {
        is_done = is_done && reduction->slots[i].state == SLOT_IDLE;
    }
    return is_done;
}

/* One look at everything under way; true when there is nothing left to do, or it cannot be done. */
static bool look(struct dist_reduction *reduction, const struct view *view, bool *moved,
                 struct error *err)
{
    for (size_t i = 0; i < SLOTS; i++) {
        const int code = advance_slot(reduction, &reduction->slots[i], view, moved);
        if (code != MPI_SUCCESS) {
            (void)error_from_mpi(err, code, "reduction");
            return true;
        }
    }
    return is_all_done(reduction, view);
}

static struct view view_of(const struct dist_reduction *reduction)
{
    return (struct view){.range_count = reduction->range_count,
                         .added_floats = reduction->added_floats,
                         .is_closed = reduction->is_closed};
}

/* ---- With a thread ---- */

static void rest(int *quiet_looks, bool has_moved)
{
    static const struct timespec pause = {.tv_nsec = 50000};

    *quiet_looks = has_moved ? 0 : *quiet_looks + 1;
    if (*quiet_looks > LOOKS_AWAKE) {
        (void)nanosleep(&pause, NULL);
    } else {
        (void)sched_yield();
    }
}

/* Moves messages until what was started is done. Holds the mutex on entry and return. */
static void move_messages(struct dist_reduction *reduction)
{
    int quiet_looks = 0;

    while (!reduction->is_done && !reduction->is_quitting) {
        const struct view view = view_of(reduction);
        struct error err = {0};
        bool moved = false;

        (void)pthread_mutex_unlock(&reduction->mutex);
        const bool is_done = look(reduction, &view, &moved, &err);
        rest(&quiet_looks, moved);
        (void)pthread_mutex_lock(&reduction->mutex);
        reduction->err = err;
        reduction->is_done = is_done;
    }
    (void)pthread_cond_signal(&reduction->done);
}

static void *thread_main(void *context)
{
    struct dist_reduction *reduction = context;

    (void)pthread_mutex_lock(&reduction->mutex);
    while (!reduction->is_quitting) {
        if (reduction->is_active && !reduction->is_done) {
            move_messages(reduction);
        } else {
            (void)pthread_cond_wait(&reduction->wake, &reduction->mutex);
        }
    }
    (void)pthread_mutex_unlock(&reduction->mutex);
    return NULL;
}

static enum status start_thread(struct dist_reduction *reduction, struct error *err)
{
    (void)pthread_mutex_init(&reduction->mutex, NULL);
    (void)pthread_cond_init(&reduction->wake, NULL);
    (void)pthread_cond_init(&reduction->done, NULL);
    const int code = pthread_create(&reduction->thread, NULL, thread_main, reduction);
    if (code != 0) {
        (void)pthread_cond_destroy(&reduction->done);
        (void)pthread_cond_destroy(&reduction->wake);
        (void)pthread_mutex_destroy(&reduction->mutex);
        return error_from_errno(err, code, "start the thread that moves gradients");
    }
    reduction->has_thread = true;
    return STATUS_OK;
}

static void stop_thread(struct dist_reduction *reduction)
{
    (void)pthread_mutex_lock(&reduction->mutex);
    reduction->is_quitting = true;
    (void)pthread_cond_signal(&reduction->wake);
    (void)pthread_mutex_unlock(&reduction->mutex);
    (void)pthread_join(reduction->thread, NULL);
    (void)pthread_cond_destroy(&reduction->done);
    (void)pthread_cond_destroy(&reduction->wake);
    (void)pthread_mutex_destroy(&reduction->mutex);
}

static void lock(struct dist_reduction *reduction)
{
    if (reduction->has_thread) {
        (void)pthread_mutex_lock(&reduction->mutex);
    }
}

static void unlock_and_wake(struct dist_reduction *reduction)
{
    if (reduction->has_thread) {
        (void)pthread_cond_signal(&reduction->wake);
        (void)pthread_mutex_unlock(&reduction->mutex);
    }
}

/* ---- The caller's side ---- */

static enum status plan_slots(struct dist_reduction *reduction, struct error *err)
{
    const size_t world = (size_t)reduction->dist->world;
    const size_t scratch = world * reduction->dist->segment_floats;

    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = &reduction->slots[i];
        slot->packed = sys_malloc(BUCKET_FLOATS * sizeof *slot->packed);
        slot->scratch = sys_malloc(scratch * sizeof *slot->scratch);
        slot->requests = sys_calloc(2 * world, sizeof *slot->requests);
        if (slot->packed == NULL || slot->scratch == NULL || slot->requests == NULL) {
            return error_set(err, STATUS_NO_MEMORY, "no memory for the buckets of gradients");
        }
        /* Touched now, so that no step pays for it. */
        memset(slot->packed, 0, BUCKET_FLOATS * sizeof *slot->packed);
        memset(slot->scratch, 0, scratch * sizeof *slot->scratch);
    }
    return STATUS_OK;
}

enum status dist_reduction_create(struct dist_reduction **out, struct dist *dist, bool with_thread,
                                  size_t range_max, struct error *err)
{
    struct dist_reduction *reduction = sys_calloc(1, sizeof *reduction);
    enum status status = STATUS_OK;

    assert(!with_thread || dist_may_have_thread(dist));
    if (reduction == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a reduction");
    }
    reduction->dist = dist;
    reduction->range_max = range_max;
    reduction->ranges = sys_calloc(range_max, sizeof *reduction->ranges);
    if (reduction->ranges == NULL) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a reduction");
    }
    if (!status && dist->world > 1) {
        status = plan_slots(reduction, err);
    }
    if (!status && with_thread) {
        status = start_thread(reduction, err);
    }
    if (status) {
        dist_reduction_destroy(reduction);
        return status;
    }
    *out = reduction;
    return STATUS_OK;
}

/* The world is about to be taken down, and nobody waits for these messages. */
static void give_up(struct slot *slot)
{
    for (int i = 0; slot->state != SLOT_IDLE && i < slot->posted; i++) {
        if (slot->requests[i] != MPI_REQUEST_NULL) {
            (void)MPI_Cancel(&slot->requests[i]);
            (void)MPI_Request_free(&slot->requests[i]);
        }
    }
}

void dist_reduction_destroy(struct dist_reduction *reduction)
{
    if (reduction == NULL) {
        return;
    }
    if (reduction->has_thread) {
        stop_thread(reduction);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        give_up(&reduction->slots[i]);
        free(reduction->slots[i].packed);
        free(reduction->slots[i].scratch);
        free(reduction->slots[i].requests);
    }
    free(reduction->ranges);
    free(reduction);
}

void dist_reduction_start(struct dist_reduction *reduction, float *values)
{
    lock(reduction);
    assert(!reduction->is_active);
    reduction->values = values;
    reduction->range_count = 0;
    reduction->added_floats = 0;
    reduction->packed_floats = 0;
    reduction->next_slot = 0;
    reduction->is_closed = false;
    reduction->is_done = false;
    reduction->is_active = true;
    reduction->err = (struct error){0};
    unlock_and_wake(reduction);
}

void dist_reduction_add(struct dist_reduction *reduction, size_t first, size_t count)
{
    lock(reduction);
    assert(reduction->is_active && !reduction->is_closed);
    assert(reduction->range_count < reduction->range_max);
    reduction->ranges[reduction->range_count++] = (struct range){.first = first, .count = count};
    reduction->added_floats += count;
    unlock_and_wake(reduction);
}

void dist_reduction_poll(struct dist_reduction *reduction)
{
    if (reduction->has_thread || reduction->dist->world == 1 || reduction->is_done) {
        return;
    }
    const struct view view = view_of(reduction);
    bool moved = true;
    while (moved && !reduction->is_done) {
        moved = false;
        reduction->is_done = look(reduction, &view, &moved, &reduction->err);
    }
}

enum status dist_reduction_finish(struct dist_reduction *reduction, struct error *err)
{
    lock(reduction);
    assert(reduction->is_active);
    reduction->is_closed = true;
    if (reduction->has_thread) {
        (void)pthread_cond_signal(&reduction->wake);
        while (!reduction->is_done) {
            (void)pthread_cond_wait(&reduction->done, &reduction->mutex);
        }
    } else {
        while (reduction->dist->world > 1 && !reduction->is_done) {
            dist_reduction_poll(reduction);
        }
    }
    reduction->is_active = false;
    const enum status status = reduction->err.status;
    if (status) {
        *err = reduction->err;
    }
    unlock_and_wake(reduction);
    return status;
}
