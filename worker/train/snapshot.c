#include "worker/train/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "proto/spec/spec.h"
#include "proto/store/checkpoint.h"
#include "worker/dist/dist.h"
#include "worker/method/learner.h"
#include "worker/ops/backend.h"

static json_t *digest_json(const struct digest *digest)
{
    char hex[DIGEST_HEX_BYTES];

    digest_to_hex(hex, digest);
    return json_string(hex);
}

/* How many processes train is no part of what a run is: it may change from attempt to attempt. */
static json_t *json_copy_without_launch(const json_t *spec)
{
    json_t *copy = json_deep_copy(spec);

    (void)json_object_del(copy, "launch");
    return copy;
}

enum status snapshot_identity(json_t **out, const json_t *spec, const json_t *shape,
                              const json_t *begun_with, const struct corpus *corpus,
                              struct error *err)
{
    struct digest digest;

    json_t *essence = json_copy_without_launch(spec);
    enum status status = essence == NULL
                             ? error_set(err, STATUS_NO_MEMORY, "no memory for the run's identity")
                             : spec_digest(&digest, essence, err);
    json_decref(essence);
    if (status) {
        return status;
    }
    /* jansson counts references in objects that it does not change. */
    *out = json_pack("{s:s, s:O, s:I, s:o, s:o, s:{s:o, s:o, s:o}}", "run", spec_name(spec), "spec",
                     spec, "vocab_size", (json_int_t)corpus->vocab_size, "model",
                     json_pack("{s:O*, s:O*}", "preset", json_object_get(shape, "preset"), "config",
                               json_object_get(shape, "config")),
                     "begun_with", begun_with == NULL ? json_null() : json_deep_copy(begun_with),
                     "digests", "spec", digest_json(&digest), "data", digest_json(&corpus->digest),
                     "tokenizer", digest_json(&corpus->tokenizer_digest));
    return *out == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for the run's identity")
                        : STATUS_OK;
}

enum status snapshot_options(struct learner_options *out, const json_t *meta, struct error *err)
{
    struct train_spec spec;

    enum status status = train_spec_read(&spec, json_object_get(meta, "spec"), err);
    if (!status && !train_spec_read_shape(&spec, json_object_get(meta, "model"))) {
        status = error_set(err, STATUS_CORRUPT, "the checkpoint does not say what its model is");
    }
    if (!status) {
        status =
            learner_options_from_spec(out, &spec, json_get_int(meta, "vocab_size", 0), false, err);
    }
    if (!status) {
        out->purpose = LEARNER_PURPOSE_STATE;
        out->memory_limit_bytes = memory_available_bytes();
    }
    return status;
}

/* --- saving ----------------------------------------------------------------------------------- */

static json_t *describe_group(const json_t *learner_state)
{
    const json_t *method = json_object_get(learner_state, "method");

    const json_t *seed = json_object_get(method, "permutation_seed");

    return json_pack("{s:s?, s:I, s:O?}", "kind", json_get_text(method, "group_kind", NULL),
                     "cycle", (json_int_t)json_get_int(method, "cycle", 0), "permutation_seed",
                     seed != NULL ? seed : json_null());
}

/* What the checkpoint says beside its tensors: the identity, how it was made, where the run is. */
static enum status describe(const struct trainer *trainer, json_t **out, struct error *err)
{
    const struct progress *progress = &trainer->progress;
    const struct backend *backend = trainer->backend;
    json_t *learner = learner_state(trainer->learner);
    json_t *made = json_pack(
        "{s:i, s:I, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:I}", "world", dist_world(trainer->dist),
        "micro", (json_int_t)trainer->spec->batch.micro, "lanes", (int)trainer->lanes.count,
        "threads", backend->threads, "dtype", dtype_name(learner_options(trainer->learner)->dtype),
        "backend", backend->name, "isa", backend->isa, "onednn", backend->gemm_library, "version",
        REMORA_VERSION, "steps", (json_int_t)trainer->steps);
    json_t *position = json_pack(
        "{s:o, s:O, s:{s:i, s:I, s:{s:I}}, s:{s:i, s:I}, s:I, s:o}", "group",
        describe_group(learner), "learner", learner, "rng", "version", RNG_VERSION, "seed",
        (json_int_t)trainer->spec->seed, "counters", "step", (json_int_t)progress->step, "sampler",
        "version", SAMPLER_VERSION, "step", (json_int_t)progress->step, "tokens",
        (json_int_t)progress->tokens, "receipt", digest_json(&progress->receipt));
    json_t *meta = json_copy(trainer->identity);

    if (meta != NULL && position != NULL) {
        json_set_real(position, "loss", progress->loss);
        json_set_real(position, "seconds", trainer_seconds(trainer));
        (void)json_object_set_new(position, "end", json_string(run_end_name(progress->end)));
        (void)json_object_set_new(position, "guard", guard_state(&trainer->guard));
        (void)json_object_set_new(position, "patience", patience_state(&progress->patience));
    }
    bool is_whole = meta != NULL && json_object_update(meta, made) == 0 &&
                    json_object_update(meta, position) == 0;
    json_decref(learner);
    json_decref(made);
    json_decref(position);
    if (!is_whole) {
        json_decref(meta);
        return error_set(err, STATUS_NO_MEMORY, "no memory for the description of a checkpoint");
    }
    *out = meta;
    return STATUS_OK;
}

static struct tensor_shape shape_of(const struct learner_tensor *tensor)
{
    struct tensor_shape shape = {.dims = tensor->dimensions};

    for (int i = 0; i < tensor->dimensions; i++) {
        shape.extents[i] = tensor->shape[i];
    }
    return shape;
}

static bool is_root(const struct trainer *trainer)
{
    return dist_rank(trainer->dist) == 0;
}

/* Room for a whole tensor that is trained: the gradients are done with between steps. */
static float *borrow_gradients(const struct trainer *trainer)
{
    int64_t count = 0;

    return learner_grads(trainer->learner, &count);
}

/* Rank 0 gets the parts of a tensor from those that have them; *whole is all of it there. */
static enum status collect_tensor(const struct trainer *trainer, int64_t index,
                                  const struct learner_tensor *tensor, const float **whole,
                                  struct error *err)
{
    float *room = borrow_gradients(trainer);
    enum status status = STATUS_OK;

    *whole = tensor->data;
    if (index < learner_params(trainer->learner)->count ||
        learner_params(trainer->learner)->shard_world == 1) {
        return STATUS_OK;
    }
    if (is_root(trainer) && tensor->count > 0) {
        memcpy(room + tensor->first, tensor->data, (size_t)tensor->count * sizeof *room);
    }
    for (int rank = 1; rank < dist_world(trainer->dist) && !status; rank++) {
        int64_t first = 0;
        int64_t count = 0;
        learner_tensor_slice(trainer->learner, index, rank, &first, &count);
        float *part = is_root(trainer) ? room + first : tensor->data;
        status = dist_move(trainer->dist, part, (size_t)count, rank, 0, err);
    }
    *whole = room;
    return status;
}

/* Rank 0 writes, unless it has failed before: the others send what they have either way. */
static enum status write_tensors(const struct trainer *trainer, struct checkpoint_writer *writer,
                                 enum status status, struct error *err)
{
    for (int64_t i = 0; i < learner_tensor_count(trainer->learner); i++) {
        struct learner_tensor tensor = learner_tensor(trainer->learner, i);
        struct tensor_shape shape = shape_of(&tensor);
        const float *whole = NULL;
        enum status moved = collect_tensor(trainer, i, &tensor, &whole, status ? NULL : err);

        if (moved) {
            return status ? status : moved;
        }
        if (is_root(trainer) && !status) {
            status =
                checkpoint_writer_tensor(writer, tensor.name, TENSOR_DTYPE_F32, &shape, whole, err);
        }
    }
    return status;
}

static enum status record_saved(struct trainer *trainer, const struct checkpoint_written *written,
                                double ms, struct error *err)
{
    json_t *fields = json_pack(
        "{s:s+, s:I, s:I, s:I, s:o}", "path", trainer->folder.path, "/checkpoints", "bytes",
        (json_int_t)written->logical_bytes, "stored_bytes", (json_int_t)written->stored_bytes,
        "new_bytes", (json_int_t)written->new_bytes, "digest", digest_json(&written->ref.digest));

    json_set_real(fields, "ms", ms);
    log_info("step %" PRId64 "  checkpoint, %.1f of %.1f MiB stored in %.0f ms",
             trainer->progress.step, (double)written->stored_bytes / (double)MIB,
             (double)written->logical_bytes / (double)MIB, ms);
    return records_append(&trainer->records, "checkpoint", trainer->progress.step, fields, err);
}

/* Rank 0's part after the tensors. */
static enum status commit(struct trainer *trainer, struct checkpoint_writer *writer,
                          int64_t start_ns, struct error *err)
{
    struct checkpoint_written written;

    enum status status = checkpoint_writer_commit(writer, &written, err);
    if (!status) {
        double ms = (double)(sys_monotonic_ns() - start_ns) * 1e-6;
        status = record_saved(trainer, &written, ms, err);
    }
    if (!status) {
        status = store_retain(trainer->store, (int)trainer->spec->checkpoint.keep_last, NULL, err);
    }
    return status;
}

enum status snapshot_save(struct trainer *trainer, enum status ready, struct error *err)
{
    struct checkpoint_writer *writer = NULL;
    int64_t start_ns = sys_monotonic_ns();
    json_t *meta = NULL;

    enum status status = ready;
    if (is_root(trainer) && !status) {
        status = describe(trainer, &meta, err);
    }
    if (is_root(trainer) && !status) {
        status =
            checkpoint_writer_begin(&writer, trainer->store, trainer->progress.step, meta, err);
    }
    status = write_tensors(trainer, writer, status, err);
    if (is_root(trainer) && !status) {
        status = commit(trainer, writer, start_ns, err);
        writer = NULL; /* the commit took it */
    }
    checkpoint_writer_destroy(writer);
    json_decref(meta);
    return status;
}

/* --- loading ---------------------------------------------------------------------------------- */

/* A resumed run is the same run: same spec, same data, same tokenizer. */
static enum status check_identity(const struct trainer *trainer, const json_t *meta,
                                  struct error *err)
{
    static const struct {
        const char *key;
        const char *what;
        const char *field;
    } parts[] = {
        {"spec", "spec", ""},
        {"data", "training or validation data", "data"},
        {"tokenizer", "tokenizer", "model.tokenizer"},
    };
    const json_t *ours = json_object_get(trainer->identity, "digests");
    const json_t *theirs = json_object_get(meta, "digests");

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *now = json_get_text(ours, parts[i].key, "");
        const char *then = json_get_text(theirs, parts[i].key, "nothing");
        if (strcmp(now, then) == 0) {
            continue;
        }
        (void)error_set(err, STATUS_CONFLICT,
                        "the %s is not that of the run's checkpoints: %.12s… now, %.12s… then",
                        parts[i].what, now, then);
        error_set_field(err, "%s", parts[i].field);
        error_set_hint(err, "bring it back, or train in another folder");
        return STATUS_CONFLICT;
    }
    return STATUS_OK;
}

static enum status load_progress(struct trainer *trainer, int64_t step, const json_t *meta,
                                 struct error *err)
{
    struct progress *progress = &trainer->progress;

    progress->step = step;
    progress->tokens = json_get_int(meta, "tokens", -1);
    progress->loss = json_get_real(meta, "loss", 0.0);
    progress->seconds = json_get_real(meta, "seconds", -1.0);
    if (step > trainer->steps || progress->tokens < 0 || !(progress->seconds >= 0.0) ||
        !run_end_from_name(&progress->end, json_get_text(meta, "end", "?")) ||
        !digest_from_hex(&progress->receipt, json_get_text(meta, "receipt", ""))) {
        return error_set(err, STATUS_CORRUPT, "its account of the run is not whole");
    }
    enum status status =
        patience_set_state(&progress->patience, json_object_get(meta, "patience"), err);
    if (!status) {
        status = guard_set_state(&trainer->guard, json_object_get(meta, "guard"), err);
    }
    return status ? status
                  : learner_set_state(trainer->learner, json_object_get(meta, "learner"), err);
}

/* whole[elements] <- the tensor as the checkpoint has it. */
static enum status read_tensor(struct checkpoint *checkpoint, const struct learner_tensor *tensor,
                               float *whole, struct error *err)
{
    const struct tensor_shape shape = shape_of(tensor);
    const struct tensor_info *info = checkpoint_find(checkpoint, tensor->name);

    if (info == NULL || info->dtype != TENSOR_DTYPE_F32 ||
        !tensor_shape_equal(&info->shape, &shape)) {
        return error_set(err, STATUS_CORRUPT, "tensor '%s' is %s", tensor->name,
                         info == NULL ? "not there" : "of another type or shape");
    }
    return checkpoint_read_tensor(checkpoint, tensor->name, whole, info->bytes, err);
}

/* The first count of the learner's tensors. */
static enum status read_tensors(struct learner *learner, struct checkpoint *checkpoint,
                                int64_t count, struct error *err)
{
    for (int64_t i = 0; i < count; i++) {
        struct learner_tensor tensor = learner_tensor(learner, i);
        enum status status = read_tensor(checkpoint, &tensor, tensor.data, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status snapshot_read_tensors(struct learner *learner, struct checkpoint *checkpoint,
                                  struct error *err)
{
    return read_tensors(learner, checkpoint, learner_tensor_count(learner), err);
}

enum status snapshot_read_values(struct learner *learner, struct checkpoint *checkpoint,
                                 struct error *err)
{
    return read_tensors(learner, checkpoint, learner_params(learner)->count, err);
}

static void on_skipped(void *context, int64_t step, int64_t generation, const struct error *why)
{
    struct trainer *trainer = context;
    char message[ERROR_MESSAGE_BYTES + 64];

    (void)snprintf(message, sizeof message,
                   "skipped the checkpoint of step %" PRId64 ", attempt %" PRId64 ": %s", step,
                   generation, why->message);
    (void)!trainer_record_warning(trainer, message, NULL);
}

static enum status load_from(struct trainer *trainer, struct checkpoint *checkpoint,
                             struct error *err)
{
    const json_t *meta = checkpoint_meta(checkpoint);
    int64_t step = checkpoint_ref_of(checkpoint)->step;

    enum status status = check_identity(trainer, meta, err);
    if (!status) { /* says which tensors there are */
        status = load_progress(trainer, step, meta, err);
    }
    if (!status) {
        /* Moments that ranks share are read in snapshot_share. */
        status = learner_params(trainer->learner)->shard_world > 1
                     ? snapshot_read_values(trainer->learner, checkpoint, err)
                     : snapshot_read_tensors(trainer->learner, checkpoint, err);
    }
    if (status) {
        return error_wrap(err, "checkpoint '%s'", checkpoint_path(checkpoint));
    }
    return STATUS_OK;
}

/* Before the first step a receipt stands for what the run is. */
static enum status first_receipt(struct trainer *trainer, struct error *err)
{
    struct bytes text = {0};

    json_canonical(&text, json_object_get(trainer->identity, "digests"));
    enum status status = bytes_status(&text, "the run's identity", err);
    if (!status) {
        digest_of(&trainer->progress.receipt, text.data, text.size);
    }
    bytes_deinit(&text);
    return status;
}

enum status snapshot_load(struct trainer *trainer, struct error *err)
{
    struct checkpoint *checkpoint = NULL;

    enum status status =
        checkpoint_open_newest(&checkpoint, trainer->store, on_skipped, trainer, err);
    if (status == STATUS_OK) {
        trainer->progress.is_resumed = true;
        status = load_from(trainer, checkpoint, err);
    } else if (status == STATUS_NOT_FOUND) {
        status = first_receipt(trainer, err);
    }
    if (!status) {
        status = store_begin(trainer->store, trainer->records.attempt,
                             checkpoint == NULL ? NULL : checkpoint_ref_of(checkpoint), err);
    }
    trainer->resumed_from = checkpoint;
    return status;
}

/* The first count of the learner's tensors. */
static enum status share_tensors(struct trainer *trainer, int64_t count, struct error *err)
{
    for (int64_t i = 0; i < count; i++) {
        struct learner_tensor tensor = learner_tensor(trainer->learner, i);
        enum status status = dist_broadcast(trainer->dist, tensor.data,
                                            (size_t)tensor.elements * sizeof(float), 0, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

/* Every rank gets its part of a tensor that rank 0 reads. */
static enum status share_moment(struct trainer *trainer, int64_t index, struct error *err)
{
    const struct learner_tensor tensor = learner_tensor(trainer->learner, index);
    float *room = borrow_gradients(trainer);
    enum status status = STATUS_OK;

    if (is_root(trainer)) {
        status = read_tensor(trainer->resumed_from, &tensor, room, err);
        if (!status && tensor.count > 0) {
            memcpy(tensor.data, room + tensor.first, (size_t)tensor.count * sizeof *room);
        }
    }
    for (int rank = 1; rank < dist_world(trainer->dist) && !status; rank++) {
        int64_t first = 0;
        int64_t count = 0;
        learner_tensor_slice(trainer->learner, index, rank, &first, &count);
        float *part = is_root(trainer) ? room + first : tensor.data;
        status = dist_move(trainer->dist, part, (size_t)count, 0, rank, err);
    }
    return status;
}

static enum status share_learner(struct trainer *trainer, struct error *err)
{
    const struct param_table *params = learner_params(trainer->learner);
    const int64_t count = learner_tensor_count(trainer->learner);

    if (params->shard_world == 1) {
        return share_tensors(trainer, count, err);
    }
    enum status status = share_tensors(trainer, params->count, err);
    for (int64_t i = params->count; i < count && !status; i++) {
        status = share_moment(trainer, i, err);
    }
    return status;
}

/* Takes over what rank 0 has in share_state. */
static enum status take_state(struct trainer *trainer, const char *text, size_t size,
                              struct error *err)
{
    json_t *state = NULL;

    enum status status = json_parse(&state, text, size, "the run's state", err);
    if (!status) {
        status = guard_set_state(&trainer->guard, json_object_get(state, "guard"), err);
    }
    if (!status) {
        status = learner_set_state(trainer->learner, json_object_get(state, "learner"), err);
    }
    json_decref(state);
    return status;
}

/* The scalars of the state of learner and guard, as the text of their JSON. */
static enum status share_state(struct trainer *trainer, struct error *err)
{
    const bool is_first = is_root(trainer);
    struct bytes text = {0};
    json_t *state = is_first ? json_pack("{s:o, s:o}", "learner", learner_state(trainer->learner),
                                         "guard", guard_state(&trainer->guard))
                             : NULL;
    uint64_t size = 0;
    enum status status = STATUS_OK;

    if (is_first) {
        json_canonical(&text, state);
        size = text.size;
        status = bytes_status(&text, "the run's state", err);
    }
    if (!status) {
        status = dist_broadcast(trainer->dist, &size, sizeof size, 0, err);
    }
    if (!status && !is_first && !bytes_reserve(&text, size)) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the run's state");
    }
    if (!status) {
        status = dist_broadcast(trainer->dist, text.data, size, 0, err);
    }
    if (!status && !is_first) {
        status = take_state(trainer, text.data, size, err);
    }
    json_decref(state);
    bytes_deinit(&text);
    return status;
}

enum status snapshot_share(struct trainer *trainer, struct error *err)
{
    enum status status =
        dist_broadcast(trainer->dist, &trainer->progress, sizeof trainer->progress, 0, err);

    if (!status && trainer->progress.is_resumed) {
        status = share_state(trainer, err); /* says which tensors there are */
        status = status ? status : share_learner(trainer, err);
        learner_write_weights(trainer->learner);
    } else if (!status && trainer->spec->model.from != NULL) {
        status = share_tensors(trainer, learner_params(trainer->learner)->count, err);
        learner_choose_rounding(trainer->learner);
        learner_write_weights(trainer->learner);
    }
    checkpoint_close(trainer->resumed_from);
    trainer->resumed_from = NULL;
    return status ? status : backend_finish(trainer->backend, err);
}
