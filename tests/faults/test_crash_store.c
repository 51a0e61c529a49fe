/*
 * A store of checkpoints whose machine loses power: every call of a history with attempts that
 * replace each other, retention and garbage collection is a place to crash, and what was not synced
 * by then is dropped, torn or reordered. Whatever is left, the newest committed checkpoint opens
 * and verifies, nothing else is chosen, and the next attempt goes on from it.
 */
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/rng.h"
#include "proto/store/blob.h"
#include "tests/faults/crash_log.h"
#include "tests/support/checkpoints.h"

#define MARKS_MAX 32
/* Of these, the first are those that the switch in fate_of knows; the rest draw. */
#define FAULTS       12
#define FAULTS_FIXED 7

enum phase { PHASE_CREATE, PHASE_BEGIN, PHASE_COMMIT, PHASE_RETAIN };

/* From the rename on, a crash may find the new state; once the call has returned, it must. */
struct mark {
    size_t rename_index;
    size_t done_index;
    int64_t step; /* what is then resumed from */
};

struct history {
    char folder[PATH_BYTES_MAX]; /* where it happened */
    char crashed[PATH_BYTES_MAX];
    struct crash_log log;
    struct mark marks[MARKS_MAX];
    size_t mark_count;
};

/* The syncs of the store. X(constant, what is synced, start of the path, phase or -1) */
#define SYNC_LIST(X)                                                                \
 X(BLOB, "the data of blobs", "blobs/##/", -1)                                      \
 X(BLOB_FOLDER, "the folder of a blob", "blobs/##", PHASE_COMMIT)                   \
 X(BLOB_FOLDERS, "the folder of these folders", "blobs", PHASE_COMMIT)              \
 X(MANIFEST, "the data of manifests", "manifests/", -1)                             \
 X(MANIFESTS, "the folder of manifests, after a commit", "manifests", PHASE_COMMIT) \
 X(DELETION, "the folder of manifests, before blobs go", "manifests", PHASE_RETAIN) \
 X(GENERATION, "the data of generations", "generations/", -1)                       \
 X(GENERATIONS, "the folder of generations", "generations", PHASE_BEGIN)            \
 X(STORE, "the folder of the store", "", PHASE_CREATE)

enum sync_kind {
#define X(constant, text, path, phase) SYNC_##constant,
    SYNC_LIST(X)
#undef X
        SYNC_NONE
};

/* A crash and what becomes of pending calls there. */
struct crash {
    int fault;
    size_t call_count;
    enum sync_kind without; /* as if the store did not have these syncs */
};

/* Notes that the calls since begin made step the one to resume from. */
static void mark(struct history *history, size_t begin, int64_t step)
{
    const struct crash_log *log = &history->log;
    struct mark *mark = &history->marks[history->mark_count++];
    assert_true(history->mark_count <= MARKS_MAX);
    *mark = (struct mark){.done_index = log->call_count, .step = step};
    for (size_t i = begin; i < log->call_count; i++) {
        const struct crash_call *call = &log->calls[i];
        if (call->entries[1].name != NULL && strncmp(call->path, "blobs/", 6) != 0) {
            mark->rename_index = i;
        }
    }
    assert_true(mark->rename_index >= begin);
}

static struct store *begin(struct history *history, int64_t generation,
                           const struct checkpoint_ref *parent)
{
    struct error err;
    struct store *store = NULL;
    history->log.phase = PHASE_CREATE;
    assert_ok(store_create(&store, history->folder, &err), &err);
    history->log.phase = PHASE_BEGIN;
    size_t first = history->log.call_count;
    assert_ok(store_begin(store, generation, parent, &err), &err);
    mark(history, first, parent == NULL ? -1 : parent->step);
    return store;
}

static struct checkpoint_ref commit(struct history *history, struct store *store, int64_t step)
{
    struct error err;
    struct checkpoint_written written;
    history->log.phase = PHASE_COMMIT;
    size_t first = history->log.call_count;
    assert_ok(test_checkpoint_write(store, step, &written, &err), &err);
    mark(history, first, step);
    return written.ref;
}

static void retain(struct history *history, struct store *store, int keep_last)
{
    struct error err;
    size_t removed = 0;
    history->log.phase = PHASE_RETAIN;
    assert_ok(store_retain(store, keep_last, &removed, &err), &err);
    assert_true(removed > 0);
}

static int setup(void **state)
{
    struct history *history = calloc(1, sizeof *history);
    assert_non_null(history);
    test_folder_create(history->folder);
    test_folder_create(history->crashed);
    crash_log_start(&history->log, history->folder);
    struct store *first = begin(history, 1, NULL);
    (void)commit(history, first, 0);
    (void)commit(history, first, 100);
    struct checkpoint_ref parent = commit(history, first, 200);
    (void)commit(history, first, 300);
    retain(history, first, 2); /* 100 goes */
    struct store *second = begin(history, 2, &parent);
    (void)commit(history, second, 250);
    retain(history, second, 1); /* 200 and the 300 that is left behind go */
    parent = commit(history, second, 350);
    struct store *third = begin(history, 3, &parent);
    (void)commit(history, third, 400);
    retain(history, third, 1); /* 250 and 350 go */
    crash_log_stop();
    store_close(first);
    store_close(second);
    store_close(third);
    *state = history;
    return 0;
}

static int teardown(void **state)
{
    struct history *history = *state;
    crash_log_deinit(&history->log);
    test_folder_remove(history->folder);
    test_folder_remove(history->crashed);
    free(history);
    return 0;
}

static enum crash_fate drawn_fate(const struct crash *crash, size_t index)
{
    static const enum crash_fate fates[] = {CRASH_FATE_DROPPED, CRASH_FATE_KEPT, CRASH_FATE_TORN};
    uint64_t stream = rng_stream(RNG_PURPOSE_TEST, (uint32_t)crash->fault, (uint32_t)index);
    return fates[rng_below(1, stream, crash->call_count, 3)];
}

static enum crash_fate fate_of(void *context, const struct crash_log *log, size_t index)
{
    const struct crash *crash = context;
    const struct crash_call *call = &log->calls[index];
    const bool is_entry = call->change == CRASH_CHANGE_ENTRY;
    const bool is_blob = strncmp(call->path, "blobs/", 6) == 0;
    const bool is_removal = is_entry && call->entries[0].node < 0 && call->entries[1].name == NULL;
    bool is_kept = false;

    switch (crash->fault) {
    case 0: /* the disk has what was synced */
        break;
    case 1: /* it has all */
        is_kept = true;
        break;
    case 2: /* names, but not what is in the files */
        is_kept = is_entry;
        break;
    case 3: /* names, and half of what is in the files */
        return is_entry ? CRASH_FATE_KEPT : CRASH_FATE_TORN;
    case 4: /* blobs before manifests */
        is_kept = is_blob;
        break;
    case 5: /* manifests before blobs */
        is_kept = !is_blob;
        break;
    case 6: /* blobs that are removed before the manifests that named them */
        is_kept = is_removal && is_blob;
        break;
    default:
        return drawn_fate(crash, index);
    }
    return is_kept ? CRASH_FATE_KEPT : CRASH_FATE_DROPPED;
}

/* A '#' of the pattern is any byte; one that ends in '/' stands for all below. */
static bool path_matches(const char *path, const char *pattern)
{
    size_t i = 0;
    for (; pattern[i] != '\0'; i++) {
        if (path[i] == '\0' || (pattern[i] != '#' && path[i] != pattern[i])) {
            return false;
        }
    }
    return path[i] == '\0' || (i > 0 && pattern[i - 1] == '/');
}

static enum sync_kind sync_kind_of(const struct crash_call *call)
{
#define X(constant, text, pattern, in_phase)                                               \
 if (path_matches(call->path, pattern) && ((in_phase) < 0 || call->phase == (in_phase))) { \
  return SYNC_##constant;                                                                  \
 }
    SYNC_LIST(X)
#undef X
    return SYNC_NONE;
}

static bool sync_counts(void *context, const struct crash_call *call)
{
    const struct crash *crash = context;
    return crash->without == SYNC_NONE || sync_kind_of(call) != crash->without;
}

/* The step to resume from when call_count calls have been made: the one that was committed, or
 * *also, which is being committed. */
static int64_t expected_step(const struct history *history, size_t call_count, int64_t *also)
{
    int64_t step = -1;
    *also = -1;
    for (size_t i = 0; i < history->mark_count; i++) {
        const struct mark *mark = &history->marks[i];
        if (mark->done_index <= call_count) {
            step = mark->step;
            *also = step;
        } else if (mark->rename_index < call_count) {
            *also = mark->step;
        }
    }
    return step;
}

/* Whether every checkpoint that could be chosen is whole. */
static bool all_verify(struct store *store)
{
    struct error err;
    struct arena arena = {0};
    struct store_entry *entries = NULL;
    size_t count = 0;
    bool all = true;
    assert_ok(store_list(store, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count && all; i++) {
        struct checkpoint *checkpoint = NULL;
        if (!entries[i].is_fenced) {
            all = entries[i].problem.status == STATUS_OK &&
                  checkpoint_open_ref(&checkpoint, store, &entries[i].ref, &err) == STATUS_OK &&
                  checkpoint_verify(checkpoint, &err) == STATUS_OK;
        }
        checkpoint_close(checkpoint);
    }
    arena_deinit(&arena);
    return all;
}

/* The step that a new process chooses, every byte of it verified; -1: none, -2: something that is
 * there does not verify. */
static int64_t newest_step(struct history *history, struct checkpoint_ref *ref)
{
    struct error err;
    struct store *store = NULL;
    struct checkpoint *checkpoint = NULL;
    int64_t step = -1;
    if (store_open(&store, history->crashed, &err) == STATUS_NOT_FOUND) {
        return -1;
    }
    assert_non_null(store);
    if (checkpoint_open_newest(&checkpoint, store, NULL, NULL, &err) == STATUS_OK) {
        test_checkpoint_assert(checkpoint);
        *ref = *checkpoint_ref_of(checkpoint);
        step = ref->step;
    }
    checkpoint_close(checkpoint);
    if (!all_verify(store)) {
        step = -2;
    }
    store_close(store);
    return step;
}

/* The next attempt, over whatever blobs and temporary files the crash has left. */
static void go_on(struct history *history, const struct checkpoint_ref *parent)
{
    struct error err;
    struct store *store = NULL;
    struct checkpoint_written written;
    struct checkpoint_ref ref;
    const int64_t step = parent == NULL ? 0 : parent->step + 50;
    assert_ok(store_create(&store, history->crashed, &err), &err);
    assert_ok(store_begin(store, store_generation(store) + 1, parent, &err), &err);
    assert_ok(test_checkpoint_write(store, step, &written, &err), &err);
    assert_ok(store_retain(store, 1, NULL, &err), &err);
    store_close(store);
    assert_int_equal(newest_step(history, &ref), step);
}

/* Whether that crash loses nothing. */
static bool survives(struct history *history, struct crash *crash)
{
    struct error err;
    struct checkpoint_ref ref;
    int64_t also = -1;
    assert_ok(folder_remove(history->crashed, &err), &err);
    assert_ok(folder_create(history->crashed, 0700, &err), &err);
    crash_log_replay(&history->log, history->crashed, crash->call_count, fate_of, sync_counts,
                     crash);
    const int64_t expected = expected_step(history, crash->call_count, &also);
    const int64_t found = newest_step(history, &ref);
    if (found != expected && found != also) {
        if (crash->without == SYNC_NONE) {
            print_error("fault %d after %zu calls: step %lld, %lld or %lld expected\n",
                        crash->fault, crash->call_count, (long long)found, (long long)expected,
                        (long long)also);
        }
        return false;
    }
    if (crash->without == SYNC_NONE) {
        go_on(history, found < 0 ? NULL : &ref);
    }
    return true;
}

static void a_crash_after_any_call_loses_nothing(void **state)
{
    struct history *history = *state;
    size_t count = history->log.call_count;
    for (size_t calls = 0; calls <= count; calls++) {
        for (int fault = 0; fault < FAULTS; fault++) {
            struct crash crash = {fault, calls, SYNC_NONE};
            assert_true(survives(history, &crash));
        }
    }
    print_message("%zu calls, %zu crashes\n", count, (count + 1) * FAULTS);
}

/* The same history by a store that leaves out a kind of sync: some crash shows it. */
static void no_sync_can_be_left_out(void **state)
{
    static const char *const names[] = {
#define X(constant, text, path, phase) text,
        SYNC_LIST(X)
#undef X
    };
    struct history *history = *state;
    for (enum sync_kind kind = SYNC_BLOB; kind < SYNC_NONE; kind++) {
        size_t calls = 0;
        bool is_lost = false;
        for (; calls <= history->log.call_count && !is_lost; calls++) {
            for (int fault = 0; fault < FAULTS_FIXED && !is_lost; fault++) {
                struct crash crash = {fault, calls, kind};
                is_lost = !survives(history, &crash);
            }
        }
        print_message("without a sync of %s: a crash after %zu calls shows it\n", names[kind],
                      calls - 1);
        assert_true(is_lost);
    }
}

/* A run from the start until the process dies, or to its end. */
static void live(const char *folder)
{
    struct error err;
    struct store *store = NULL;
    struct checkpoint_written written;
    if (store_create(&store, folder, &err) || store_begin(store, 1, NULL, &err) ||
        test_checkpoint_write(store, 0, &written, &err) ||
        test_checkpoint_write(store, 100, &written, &err) ||
        test_checkpoint_write(store, 200, &written, &err)) {
        goto done;
    }
    (void)!store_retain(store, 1, NULL, &err);
done:
    store_close(store);
}

/* The next attempt in the folder that a killed one left; the step that it has committed. */
static int64_t take_over(const char *folder)
{
    struct error err;
    struct store *store = NULL;
    struct checkpoint *checkpoint = NULL;
    struct checkpoint_ref ref = {.step = -50};
    struct checkpoint_written written;
    assert_ok(store_create(&store, folder, &err), &err);
    if (checkpoint_open_newest(&checkpoint, store, NULL, NULL, &err) == STATUS_OK) {
        ref = *checkpoint_ref_of(checkpoint);
    }
    checkpoint_close(checkpoint);
    assert_ok(store_begin(store, store_generation(store) + 1, ref.step < 0 ? NULL : &ref, &err),
              &err);
    assert_ok(test_checkpoint_write(store, ref.step + 50, &written, &err), &err);
    store_close(store);
    return ref.step + 50;
}

/* What the killed process did not sync is not lost by the next one relying on it. */
static void a_process_is_killed_and_then_the_machine_crashes(void **state)
{
    struct history *history = *state;
    struct error err;
    size_t deaths = 0;
    for (bool is_over = false; !is_over; deaths++) {
        crash_log_deinit(&history->log);
        assert_ok(folder_remove(history->folder, &err), &err);
        assert_ok(folder_create(history->folder, 0700, &err), &err);
        crash_log_start(&history->log, history->folder);
        history->log.dies_after = deaths + 1;
        live(history->folder);
        is_over = history->log.call_count < deaths + 1;
        history->log.dies_after = 0;
        const int64_t step = take_over(history->folder);
        crash_log_stop();
        for (int fault = 0; fault < FAULTS_FIXED; fault++) {
            struct checkpoint_ref ref;
            struct crash crash = {fault, history->log.call_count, SYNC_NONE};
            assert_ok(folder_remove(history->crashed, &err), &err);
            assert_ok(folder_create(history->crashed, 0700, &err), &err);
            crash_log_replay(&history->log, history->crashed, crash.call_count, fate_of, NULL,
                             &crash);
            assert_int_equal(newest_step(history, &ref), step);
        }
    }
    print_message("%zu deaths\n", deaths);
    assert_true(deaths > 50);
}

/* As above where the two have nothing in common but the first digits of a digest. */
static void a_folder_that_a_killed_process_made_is_made_durable(void **state)
{
    struct history *history = *state;
    struct error err;
    struct blob_facts facts;
    struct blob_folder *blobs = NULL;
    uint32_t content[2] = {1, 1};
    struct digest digests[2];
    char back[sizeof content[0]];
    digest_of(&digests[0], &content[0], sizeof content[0]);
    do {
        content[1]++;
        digest_of(&digests[1], &content[1], sizeof content[1]);
    } while (digests[0].bytes[0] != digests[1].bytes[0]);
    crash_log_deinit(&history->log);
    assert_ok(folder_remove(history->folder, &err), &err);
    assert_ok(folder_create(history->folder, 0700, &err), &err);
    crash_log_start(&history->log, history->folder);
    for (int i = 0; i < 2; i++) {
        assert_ok(blob_folder_create(&blobs, history->folder, &err), &err);
        assert_ok(blob_write(blobs, &digests[i], BLOB_CODEC_RAW, &content[i], sizeof content[i],
                             &facts, &err),
                  &err);
        if (i == 1) {
            assert_ok(blob_folders_sync(blobs, &err), &err);
        }
        blob_folder_destroy(blobs);
    }
    crash_log_stop();
    struct crash crash = {0, history->log.call_count, SYNC_NONE};
    crash_log_replay(&history->log, history->crashed, crash.call_count, fate_of, NULL, &crash);
    assert_ok(blob_folder_create(&blobs, history->crashed, &err), &err);
    assert_ok(blob_read(blobs, &digests[1], back, sizeof back, NULL, &err), &err);
    blob_folder_destroy(blobs);
}

int main(void)
{
    /* Thousands of small folders, none of which has to outlive this process. */
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_crash_after_any_call_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(no_sync_can_be_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_process_is_killed_and_then_the_machine_crashes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_a_killed_process_made_is_made_durable, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
