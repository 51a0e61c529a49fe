#include "worker/train/run.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"
#include "proto/spec/spec.h"
#include "proto/store/checkpoint.h"
#include "proto/store/store.h"
#include "worker/dist/dist.h"
#include "worker/method/learner.h"
#include "worker/ops/backend.h"
#include "worker/train/origin.h"
#include "worker/train/overlap.h"
#include "worker/train/process.h"
#include "worker/train/snapshot.h"
#include "worker/train/sources.h"

/* Everything an attempt owns; freed by run_deinit, whatever of it there is. */
struct run {
    const struct run_options *options;
    struct dist *dist;
    json_t *spec_json;
    json_t *identity;
    struct train_spec spec;
    struct origin origin;
    struct source_paths paths;
    struct corpus corpus;
    struct trainer trainer;
};

static bool is_root(const struct run *run)
{
    return dist_rank(run->dist) == 0;
}

/* --- phase 1: the spec ------------------------------------------------------------------------ */

/* path[PATH_BYTES_MAX] */
static enum status folder_path(const struct run *run, char *path, struct error *err)
{
    return run->options->folder != NULL ? path_printf(path, err, "%s", run->options->folder)
                                        : path_printf(path, err, "runs/%s", run->spec.name);
}

static enum status read_spec(struct run *run, struct error *err)
{
    char folder[PATH_BYTES_MAX];

    enum status status = spec_load(&run->spec_json, run->options->spec_path,
                                   run->options->overrides, run->options->override_count, err);

    if (status) {
        return status;
    }
    if (spec_kind(run->spec_json) != SPEC_KIND_TRAIN) {
        (void)error_set(err, STATUS_INVALID, "'%s' is not a spec of kind train",
                        run->options->spec_path);
        error_set_field(err, "kind");
        return STATUS_INVALID;
    }
    status = train_spec_read(&run->spec, run->spec_json, err);
    if (!status) {
        status = lanes_init(&run->trainer.lanes, &run->spec, dist_rank(run->dist),
                            dist_world(run->dist), err);
    }
    if (!status) {
        status = folder_path(run, folder, err);
    }
    if (!status) {
        status = origin_open(&run->origin, &run->spec, folder, err);
    }
    if (!status) {
        status = source_paths_init(&run->paths, &run->spec, run->options->cache, err);
    }
    if (!status && run->options->cpus != NULL) {
        status = process_bind(run->options->cpus, dist_local_rank(run->dist),
                              (int)run->spec.launch.threads_per_rank, err);
    }
    return status;
}

/* --- phase 2: the run folder and prepared data, rank 0 ---------------------------------------- */

/* What the daemon recorded beside the spec at submit, or NULL. */
static enum status read_submitted_inputs(const struct run *run, json_t **out, struct error *err)
{
    const char *slash = strrchr(run->options->spec_path, '/');
    int size = slash == NULL ? 1 : (int)(slash - run->options->spec_path);
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    *out = NULL;
    enum status status = path_printf(path, err, "%.*s/inputs.json", size,
                                     slash == NULL ? "." : run->options->spec_path);
    if (status || !file_exists(path)) {
        return status;
    }
    status = file_read(&text, path, MANIFEST_BYTES_MAX, err);
    if (!status) {
        status = json_parse(out, text.data, text.size, path, err);
    }
    bytes_deinit(&text);
    return status;
}

static enum status open_folder(struct run *run, struct error *err)
{
    char path[PATH_BYTES_MAX];
    json_t *submitted = NULL;

    enum status status = folder_path(run, path, err);
    if (!status) {
        status = read_submitted_inputs(run, &submitted, err);
    }
    if (!status) {
        status = run_folder_open(&run->trainer.folder, path, err);
    }
    if (!status) {
        status = run_folder_set_spec(&run->trainer.folder, run->spec_json, err);
    }
    if (!status) {
        status = run_folder_check_inputs(&run->trainer.folder, run->spec_json, submitted, err);
    }
    json_decref(submitted);
    return status;
}

static enum status prepare(struct run *run, struct error *err)
{
    enum status status = sources_prepare(&run->paths, &run->spec, err);

    return status ? status : open_folder(run, err);
}

/* --- phase 3: the data, the model and its memory ---------------------------------------------- */

static enum status plan_steps(struct run *run, struct error *err)
{
    struct trainer *trainer = &run->trainer;

    enum status status = train_spec_steps(&trainer->steps, &run->spec, run->corpus.sequences, err);
    return status ? status
                  : schedule_from_spec(&trainer->schedule, &run->spec, trainer->steps, err);
}

static enum status open_data(struct run *run, struct error *err)
{
    json_t *begun_with = NULL;

    enum status status = corpus_open(&run->corpus, &run->spec, &run->paths, err);

    if (!status) {
        status = plan_steps(run, err);
    }
    if (!status) {
        status = origin_widen_vocabulary(&run->origin, &run->corpus, err);
    }
    if (!status) {
        status = origin_describe(&run->origin, &begun_with, err);
    }
    if (!status) {
        status = snapshot_identity(&run->identity, run->spec_json,
                                   origin_shape(&run->origin, run->spec_json), begun_with,
                                   &run->corpus, err);
        run->trainer.identity = run->identity;
    }
    json_decref(begun_with);
    return status;
}

/* auto is what it was at the first attempt, and what rank 0 has: operands of one type in a run. */
static enum status pin_dtype(struct run *run, enum dtype *dtype, struct error *err)
{
    char pinned[16] = "";

    if (run->spec.compute.dtype != COMPUTE_DTYPE_AUTO) {
        return STATUS_OK;
    }
    if (is_root(run)) {
        /* What cannot be read is told when the pins are compared. */
        if (run_folder_pinned(&run->trainer.folder, "dtype", pinned, sizeof pinned, err) ||
            pinned[0] == '\0') {
            (void)snprintf(pinned, sizeof pinned, "%s", dtype_name(*dtype));
        }
    }
    enum status status = dist_broadcast(run->dist, pinned, sizeof pinned, 0, err);
    if (!status) {
        *dtype = strcmp(pinned, dtype_name(DTYPE_BF16)) == 0 ? DTYPE_BF16 : DTYPE_FP32;
    }
    return status;
}

static enum status build_learner(struct run *run, struct error *err)
{
    struct learner_options options;
    struct trainer *trainer = &run->trainer;
    size_t available = memory_available_bytes();

    /* All ranks of the host have looked before the first one takes its share. */
    enum status status = dist_barrier(run->dist, err);
    if (!status) {
        status = backend_cpu_create(&trainer->backend, (int)run->spec.launch.threads_per_rank, err);
    }
    if (!status) {
        status = learner_options_from_spec(&options, &run->spec, run->corpus.vocab_size,
                                           trainer->backend->has_bf16, err);
    }
    if (!status) {
        status = origin_check(&run->origin, &options.config, &run->corpus, err);
    }
    if (!status) {
        options.lanes = trainer->lanes.own;
        options.shard_rank = run->spec.launch.zero == 1 ? dist_rank(run->dist) : 0;
        options.shard_world = run->spec.launch.zero == 1 ? dist_world(run->dist) : 1;
        options.memory_limit_bytes = available / (size_t)dist_local_world(run->dist);
        status = pin_dtype(run, &options.dtype, err);
    }
    if (!status) {
        status = learner_create(&trainer->learner, &options, trainer->backend, err);
    }
    if (status) {
        return status;
    }
    status = overlap_create(&trainer->overlap, run->dist, trainer->learner, &run->spec, err);
    if (status) {
        return status;
    }
    status = guard_init(&trainer->guard, &run->spec, err);
    if (status) {
        return status;
    }
    size_t row = (size_t)run->corpus.sequence_length + 1;
    trainer->tokens = sys_calloc((size_t)run->spec.batch.micro * row, sizeof *trainer->tokens);
    if (trainer->tokens == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a micro-batch of tokens");
    }
    return STATUS_OK;
}

/* --- phase 4: the state to go on from, rank 0 ------------------------------------------------- */

static json_t *describe_pins(const struct run *run)
{
    const struct backend *backend = run->trainer.backend;

    /* Without lanes their number is that of ranks. */
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:i}", "backend", backend->name, "dtype",
                     dtype_name(learner_options(run->trainer.learner)->dtype), "isa", backend->isa,
                     "gemm_library", backend->gemm_library,
                     run->spec.compute.deterministic == COMPUTE_DETERMINISTIC_RUN ? "world"
                                                                                  : "lanes",
                     (json_int_t)run->trainer.lanes.count, "micro",
                     (json_int_t)run->spec.batch.micro, "sampler_version", SAMPLER_VERSION);
}

/* Notes what this attempt does otherwise than the first: allowed, but no longer bit for bit. */
static enum status compare_pins(struct run *run, struct error *err)
{
    struct bytes differences = {0};
    struct bytes message = {0};
    json_t *pins = describe_pins(run);

    enum status status =
        pins == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for the record of choices")
                     : run_folder_pin(&run->trainer.folder, pins, &differences, err);
    if (!status && differences.size > 2) {
        bytes_printf(&message, "not bit-comparable with the first attempt: %.*s",
                     (int)differences.size - 2, differences.data);
        status = bytes_status(&message, "a warning", err);
        if (!status) {
            status = trainer_record_warning(&run->trainer, message.data, err);
        }
    }
    bytes_deinit(&message);
    bytes_deinit(&differences);
    json_decref(pins);
    return status;
}

static enum status warn_of_slow_dtype(struct run *run, struct error *err)
{
    if (learner_options(run->trainer.learner)->dtype != DTYPE_BF16 ||
        run->trainer.backend->has_bf16) {
        return STATUS_OK;
    }
    return trainer_record_warning(
        &run->trainer,
        "compute.dtype bf16: this processor has no instructions for it (AVX512-BF16 or AMX), so its "
        "operands are multiplied in fp32; fp32 would be faster here",
        err);
}

static enum status open_reporter(struct run *run, struct error *err)
{
    const struct run_options *options = run->options;
    struct reporter_options reporter = {
        .socket_path = options->socket_path,
        .token_path = options->token_path,
        .job = options->job,
        .attempt = options->attempt,
        .records = &run->trainer.records,
    };

    if (options->socket_path == NULL) {
        return STATUS_OK;
    }
    return reporter_create(&run->trainer.reporter, &reporter, err);
}

/* The attempt's number: the next one of this store unless the daemon counts. */
static int number_of_attempt(const struct run *run)
{
    return run->options->attempt > 0 ? run->options->attempt
                                     : (int)store_generation(run->trainer.store) + 1;
}

static enum status open_state(struct run *run, struct error *err)
{
    struct trainer *trainer = &run->trainer;
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/checkpoints", trainer->folder.path);
    if (!status) {
        status = store_create(&trainer->store, path, err);
    }
    if (!status) {
        status = records_open(&trainer->records, trainer->folder.path, number_of_attempt(run), err);
    }
    if (!status) {
        status = open_reporter(run, err);
    }
    if (!status) {
        status = run_folder_keep_tokenizer(&trainer->folder, run->paths.tokenizer, err);
    }
    if (!status) {
        status = compare_pins(run, err);
    }
    if (!status) {
        status = warn_of_slow_dtype(run, err);
    }
    if (!status) {
        status = snapshot_load(trainer, err);
    }
    if (!status && !trainer->progress.is_resumed && run->spec.model.from != NULL) {
        status = origin_load(&run->origin, trainer->learner, trainer->backend, err);
    }
    return status ? status : trainer_record_start(trainer, err);
}

/* --- all of it -------------------------------------------------------------------------------- */

typedef enum status phase_fn(struct run *run, struct error *err);

static enum status run_phases(struct run *run, struct run_result *result, struct error *err)
{
    static const struct {
        phase_fn *run;
        bool root_only;
    } phases[] = {
        {read_spec, false},     {prepare, true},    {open_data, false},
        {build_learner, false}, {open_state, true},
    };

    result->together = true;
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        enum status status = STATUS_OK;
        if (is_root(run) || !phases[i].root_only) {
            status = phases[i].run(run, err);
        }
        status = dist_agree(run->dist, status, &result->speaker, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status execute(struct run *run, struct run_result *result, struct error *err)
{
    enum status status = run_phases(run, result, err);

    if (!status) {
        result->together = false;
        status = snapshot_share(&run->trainer, err);
    }
    if (!status) {
        status = trainer_run(&run->trainer, &result->outcome, &result->together, err);
    }
    if (status && is_root(run) && run->trainer.records.fd >= 0) {
        trainer_record_error(&run->trainer, err, result->speaker);
    }
    return status;
}

static void run_deinit(struct run *run)
{
    struct trainer *trainer = &run->trainer;

    reporter_destroy(trainer->reporter);
    records_close(&trainer->records);
    checkpoint_close(trainer->resumed_from);
    store_close(trainer->store);
    free(trainer->tokens);
    guard_deinit(&trainer->guard);
    overlap_destroy(trainer->overlap);
    learner_destroy(trainer->learner);
    backend_destroy(trainer->backend);
    run_folder_close(&trainer->folder);
    corpus_close(&run->corpus);
    source_paths_deinit(&run->paths);
    origin_close(&run->origin);
    json_decref(run->identity);
    json_decref(run->spec_json);
}

enum status run_train(struct dist *dist, const struct run_options *options,
                      struct run_result *result, struct error *err)
{
    struct run *run = sys_calloc(1, sizeof *run);

    assert(options->attempt >= 0);
    *result = (struct run_result){.together = false};
    if (run == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a run");
    }
    run->options = options;
    run->dist = dist;
    run->trainer = (struct trainer){
        .dist = dist,
        .spec = &run->spec,
        .corpus = &run->corpus,
        .progress = {.patience = PATIENCE_FRESH},
        .folder = RUN_FOLDER_EMPTY,
        .records = {.fd = -1},
    };
    enum status status = execute(run, result, err);
    run_deinit(run);
    free(run);
    return status;
}
