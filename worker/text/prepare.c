#include "worker/text/prepare.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "proto/shards/shard_set.h"
#include "proto/shards/shard_writer.h"
#include "worker/text/encoder.h"
#include "worker/text/importer.h"
#include "worker/text/input.h"
#include "worker/text/prepare_json.h"
#include "worker/text/sample.h"
#include "worker/text/staging.h"
#include "worker/text/stream.h"
#include "worker/text/tokenizer.h"

#define MODEL_NAME      "tokenizer.model"
#define MODEL_BYTES_MAX (64 * MIB)
#define TELL_NS         100000000 /* between two calls of the progress function */
#define DIGEST_BLOCK    (1 * MIB)

struct preparation {
    const struct prepare_options *options;
    struct prepare_report *report;
    struct input_list inputs;
    struct staging staging;
    struct bytes model; /* bytes of the tokenizer's file; empty while one is to be trained */
    struct tokenizer *tokenizer;
    struct encoder *encoder;
    struct shard_writer *train;
    struct shard_writer *validation; /* NULL: none */
    struct sample *sample;
    struct digest_stream *digest;
    uint64_t validation_below; /* keys of the validation side */
    uint64_t key_min;          /* of all documents, for the message when one side is empty */

    struct prepare_progress progress;
    int64_t tell_next_ns;
    const struct stream *stream; /* the open file */
    int64_t bytes_before;        /* of the files before it */
};

static void tell(struct preparation *work, bool is_due)
{
    if (!work->options->progress) {
        return;
    }
    int64_t now_ns = sys_monotonic_ns();
    if (!is_due && now_ns < work->tell_next_ns) {
        return;
    }
    work->tell_next_ns = now_ns + TELL_NS;
    if (work->stream) {
        work->progress.bytes_done = work->bytes_before + stream_bytes_read(work->stream);
    }
    work->options->progress(work->options->context, &work->progress);
}

static void begin_phase(struct preparation *work, enum prepare_phase phase)
{
    work->progress = (struct prepare_progress){.phase = phase, .bytes_total = work->inputs.bytes};
    tell(work, true);
}

static void notice(void *context, const char *text)
{
    const struct preparation *work = context;
    if (work->options->notice) {
        work->options->notice(work->options->context, text);
    }
}

static enum status bad_option(struct error *err, const char *field, const char *what)
{
    (void)error_set(err, STATUS_INVALID, "%s: %s", field, what);
    error_set_field(err, "%s", field);
    return STATUS_INVALID;
}

static enum status check_options(const struct prepare_options *options, struct error *err)
{
    if (options->input_count == 0) {
        return bad_option(err, "inputs", "none are given");
    }
    if (!options->output || !*options->output) {
        return bad_option(err, "output", "a folder is needed");
    }
    if (!(options->validation_fraction >= 0 && options->validation_fraction < 1)) {
        return bad_option(err, "validation_fraction", "must be in 0 … 1, without 1");
    }
    if (!options->tokenizer_path &&
        (options->vocab_size < TOKENIZER_VOCAB_SIZE_MIN || options->vocab_size > VOCAB_SIZE_MAX)) {
        (void)error_set(err, STATUS_INVALID, "tokenizer.train: %u is not in %d … %d",
                        options->vocab_size, TOKENIZER_VOCAB_SIZE_MIN, VOCAB_SIZE_MAX);
        error_set_field(err, "tokenizer.train");
        return STATUS_INVALID;
    }
    return STATUS_OK;
}

static enum status digest_input(struct preparation *work, struct input_file *file,
                                struct digest_stream *digest, char *block, struct error *err)
{
    int fd = sys_open(file->path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return error_from_errno(err, errno, "'%s'", file->path);
    }
    ssize_t got = 0;
    while ((got = sys_read(fd, block, DIGEST_BLOCK)) > 0) {
        digest_stream_update(digest, block, (size_t)got);
        work->progress.bytes_done += got;
        tell(work, false);
    }
    enum status status =
        got < 0 ? error_from_errno(err, errno, "'%s': read", file->path) : STATUS_OK;
    digest_stream_finish(digest, &file->digest);
    (void)close(fd);
    return status;
}

static enum status digest_inputs(struct preparation *work, struct error *err)
{
    struct digest_stream *digest = NULL;
    char *block = sys_malloc(DIGEST_BLOCK);
    if (!block) {
        return error_set(err, STATUS_NO_MEMORY, "digests of the inputs: out of memory");
    }
    enum status status = digest_stream_create(&digest, err);
    begin_phase(work, PREPARE_PHASE_DIGEST);
    for (size_t i = 0; !status && i < work->inputs.count; i++) {
        status = digest_input(work, &work->inputs.files[i], digest, block, err);
    }
    digest_stream_destroy(digest);
    free(block);
    return status;
}

/* Gives every document of every file to take. */
static enum status import_all(struct preparation *work, document_fn *take, bool is_telling_drops,
                              struct document_counts *counts, struct error *err)
{
    const struct importer_options options = {.format = work->options->format,
                                             .text_field = work->options->text_field};
    struct document_sink sink = {
        .take = take, .notice = is_telling_drops ? notice : NULL, .context = work};
    enum status status = STATUS_OK;

    work->bytes_before = 0;
    for (size_t i = 0; !status && i < work->inputs.count; i++) {
        const struct input_file *file = &work->inputs.files[i];
        struct stream *stream = NULL;
        status = stream_open(&stream, file->path, err);
        if (status) {
            break;
        }
        work->stream = stream;
        status = importer_run_stream(stream, file->path, &options, &sink, err);
        work->stream = NULL;
        work->bytes_before += stream_bytes_read(stream);
        stream_close(stream);
    }
    *counts = sink.counts;
    return status;
}

/* What decides where a document belongs, see prepare.h. */
static uint64_t key_of(struct preparation *work, const struct document *document)
{
    uint8_t seed[8];
    struct digest digest;
    uint64_t key = 0;
    for (int i = 0; i < 8; i++) {
        seed[i] = (uint8_t)(work->options->seed >> (8 * i));
    }
    digest_stream_update(work->digest, seed, sizeof seed);
    digest_stream_update(work->digest, document->text, document->size);
    digest_stream_finish(work->digest, &digest);
    for (int i = 0; i < 8; i++) {
        key |= (uint64_t)digest.bytes[i] << (8 * i);
    }
    return key;
}

static enum status take_for_sample(void *context, const struct document *document,
                                   struct error *err)
{
    struct preparation *work = context;
    uint64_t key = key_of(work, document);

    work->progress.documents++;
    tell(work, false);
    if (key < work->validation_below) {
        return STATUS_OK;
    }
    return sample_offer(work->sample, key, document->text, document->size, err);
}

static enum status train_vocabulary(struct preparation *work, struct error *err)
{
    const struct tokenizer_sample *texts = NULL;
    size_t count = 0;
    struct document_counts counts;

    enum status status = sample_create(&work->sample, PREPARE_SAMPLE_BYTES, err);
    if (status) {
        return status;
    }
    begin_phase(work, PREPARE_PHASE_SAMPLE);
    status = import_all(work, take_for_sample, false, &counts, err);
    if (status) {
        return status;
    }
    status = sample_finish(work->sample, &texts, &count, err);
    if (status) {
        return status;
    }
    if (count == 0) {
        return error_set(err, STATUS_INVALID, "there is no document to train a vocabulary on");
    }
    begin_phase(work, PREPARE_PHASE_TRAIN);
    status = tokenizer_train(&work->model, texts, count, work->options->vocab_size, err);
    if (status) {
        error_set_field(err, "tokenizer.train");
    }
    sample_destroy(work->sample);
    work->sample = NULL;
    return status;
}

static void tell_vocabulary(struct preparation *work)
{
    char text[160];
    uint32_t vocab_size = tokenizer_vocab_size(work->tokenizer);
    if (!work->options->tokenizer_path && vocab_size < work->options->vocab_size) {
        (void)snprintf(text, sizeof text,
                       "vocabulary lowered from %u to %u: the corpus has no more pieces",
                       work->options->vocab_size, vocab_size);
        notice(work, text);
    }
}

/* Leaves a tokenizer loaded and its file in the staging folder. */
static enum status make_tokenizer(struct preparation *work, struct error *err)
{
    char path[PATH_BYTES_MAX];
    const char *name = work->options->tokenizer_path;
    enum status status = STATUS_OK;

    if (!name) {
        name = MODEL_NAME;
        status = train_vocabulary(work, err);
    }
    if (!status) {
        status =
            tokenizer_load_bytes(&work->tokenizer, work->model.data, work->model.size, name, err);
    }
    if (!status) {
        tell_vocabulary(work);
        status = path_printf(path, err, "%s/%s", work->staging.folder, MODEL_NAME);
    }
    if (!status) {
        status = file_write(path, work->model.data, work->model.size, 0666, err);
    }
    if (!status) {
        status = encoder_create(&work->encoder, work->tokenizer, err);
    }
    return status;
}

static enum status take_for_shards(void *context, const struct document *document,
                                   struct error *err)
{
    struct preparation *work = context;
    const struct token_list *tokens = NULL;
    uint64_t key = key_of(work, document);
    bool is_validation = key < work->validation_below;
    struct shard_writer *writer = is_validation ? work->validation : work->train;

    work->key_min = key < work->key_min ? key : work->key_min;
    work->report->text_bytes += (int64_t)document->size;
    enum status status =
        encoder_encode(work->encoder, document->text, document->size, &tokens, err);
    if (!status) {
        status = shard_writer_append(writer, tokens->tokens, (int64_t)tokens->count, err);
    }
    if (!status) {
        status = shard_writer_end_document(writer, err);
    }
    if (status) {
        return status;
    }
    work->progress.documents++;
    work->progress.tokens += (int64_t)tokens->count + 1;
    tell(work, false);
    return STATUS_OK;
}

static enum status open_writer(struct preparation *work, const char *name,
                               struct shard_writer **out, struct error *err)
{
    char folder[PATH_BYTES_MAX];
    const struct shard_writer_options options = {
        .vocab_size = tokenizer_vocab_size(work->tokenizer),
        .eos_id = tokenizer_eos_id(work->tokenizer),
        .tokenizer_digest = *tokenizer_digest(work->tokenizer),
    };
    enum status status = path_printf(folder, err, "%s/%s", work->staging.folder, name);
    return status ? status : shard_writer_create(out, folder, &options, err);
}

/* A side without documents is of no use to anyone: say what would help. */
static enum status check_sides(const struct preparation *work, struct error *err)
{
    double fraction = work->options->validation_fraction;
    long long documents = (long long)work->report->counts.documents;
    if (documents == 0) {
        return error_set(err, STATUS_INVALID, "the inputs hold no document with text");
    }
    if (work->report->train.documents == 0) {
        (void)error_set(err, STATUS_INVALID,
                        "all %lld documents fall into validation with a fraction of %g", documents,
                        fraction);
        error_set_hint(err, "lower the validation fraction, or give more documents");
    } else if (work->validation && work->report->validation.documents == 0) {
        (void)error_set(err, STATUS_INVALID,
                        "none of %lld documents falls into validation with a fraction of %g",
                        documents, fraction);
        error_set_hint(err, "a fraction of %.3f takes the first one; 0 does without validation",
                       ceil(ldexp((double)work->key_min, -64) * 1000 + 0.5) / 1000);
    } else {
        return STATUS_OK;
    }
    error_set_field(err, "validation_fraction");
    return STATUS_INVALID;
}

static enum status tokenise(struct preparation *work, struct error *err)
{
    struct prepare_report *report = work->report;
    int64_t start_ns = sys_monotonic_ns();

    enum status status = open_writer(work, "train", &work->train, err);
    if (!status && work->options->validation_fraction > 0) {
        status = open_writer(work, "validation", &work->validation, err);
    }
    if (status) {
        return status;
    }
    work->key_min = UINT64_MAX;
    begin_phase(work, PREPARE_PHASE_TOKENISE);
    status = import_all(work, take_for_shards, true, &report->counts, err);
    if (status) {
        return status;
    }
    report->train.documents = shard_writer_document_count(work->train);
    report->train.tokens = shard_writer_token_count(work->train);
    if (work->validation) {
        report->validation.documents = shard_writer_document_count(work->validation);
        report->validation.tokens = shard_writer_token_count(work->validation);
    }
    status = check_sides(work, err);
    if (!status) {
        status = shard_writer_finish(work->train, &report->train.digest, err);
    }
    if (!status && work->validation) {
        status = shard_writer_finish(work->validation, &report->validation.digest, err);
    }
    work->progress.bytes_done = work->progress.bytes_total;
    tell(work, true);
    report->tokenise_s = (double)(sys_monotonic_ns() - start_ns) / 1e9;
    return status;
}

static bool is_set(const char *output, const char *name, int64_t tokens,
                   const struct digest *expected)
{
    char folder[PATH_BYTES_MAX];
    struct digest digest;
    struct error ignored;
    if (tokens == 0) {
        return true;
    }
    return path_printf(folder, &ignored, "%s/%s", output, name) == STATUS_OK &&
           shard_set_digest_of(&digest, folder, &ignored) == STATUS_OK &&
           digest_equal(&digest, expected);
}

/* True when the output is what this preparation would make; *out is then its report. */
static bool stands(const struct preparation *work, struct prepare_report *out)
{
    const char *output = work->options->output;
    char path[PATH_BYTES_MAX];
    struct digest model;
    struct error ignored;
    return prepare_json_read(out, output, &ignored) == STATUS_OK &&
           digest_equal(&out->key, &work->report->key) &&
           path_printf(path, &ignored, "%s/%s", output, MODEL_NAME) == STATUS_OK &&
           digest_of_file(&model, path, &ignored) == STATUS_OK &&
           digest_equal(&model, &out->tokenizer_digest) &&
           is_set(output, "train", out->train.tokens, &out->train.digest) &&
           is_set(output, "validation", out->validation.tokens, &out->validation.digest);
}

/* Builds all in the staging folder and moves it into place. tokenizer is the digest of the given
 * one or NULL. */
static enum status build(struct preparation *work, const struct digest *tokenizer,
                         struct error *err)
{
    struct prepare_report *report = work->report;

    enum status status = staging_open(&work->staging, work->options->output, PREPARE_JSON, err);
    if (!status) {
        status = make_tokenizer(work, err);
    }
    if (status) {
        return status;
    }
    report->vocab_size = tokenizer_vocab_size(work->tokenizer);
    report->eos_id = tokenizer_eos_id(work->tokenizer);
    report->tokenizer_digest = *tokenizer_digest(work->tokenizer);
    status = tokenise(work, err);
    if (!status) {
        status = input_list_check_unchanged(&work->inputs, err);
    }
    if (!status) {
        status = prepare_json_write(work->staging.folder, work->options, tokenizer, &work->inputs,
                                    report, err);
    }
    return status ? status : staging_commit(&work->staging, err);
}

static enum status prepare(struct preparation *work, struct error *err)
{
    const struct prepare_options *options = work->options;
    struct digest digest;
    const struct digest *tokenizer = NULL;

    enum status status = input_list_fill(&work->inputs, options->inputs, options->input_count, err);
    if (!status && options->tokenizer_path) {
        status = file_read(&work->model, options->tokenizer_path, MODEL_BYTES_MAX, err);
        if (status) {
            (void)error_wrap(err, "tokenizer");
            error_set_field(err, "tokenizer");
            return status;
        }
        digest_of(&digest, work->model.data, work->model.size);
        tokenizer = &digest;
    }
    if (!status) {
        status = digest_stream_create(&work->digest, err);
    }
    if (!status) {
        status = digest_inputs(work, err);
    }
    if (!status) {
        status = prepare_key(&work->report->key, options, tokenizer, &work->inputs, err);
    }
    if (status) {
        return status;
    }
    work->report->file_count = (int64_t)work->inputs.count;
    work->report->input_bytes = work->inputs.bytes;
    struct prepare_report standing;
    if (stands(work, &standing)) {
        *work->report = standing;
        work->report->is_cached = true;
        return STATUS_OK;
    }
    return build(work, tokenizer, err);
}

static void release(struct preparation *work)
{
    sample_destroy(work->sample);
    shard_writer_destroy(work->train);
    shard_writer_destroy(work->validation);
    encoder_destroy(work->encoder);
    tokenizer_destroy(work->tokenizer);
    digest_stream_destroy(work->digest);
    bytes_deinit(&work->model);
    input_list_deinit(&work->inputs);
    staging_close(&work->staging);
}

enum status prepare_run(const struct prepare_options *options, struct prepare_report *report,
                        struct error *err)
{
    int64_t start_ns = sys_monotonic_ns();
    struct prepare_options filled = *options;
    struct preparation work = {.options = &filled, .report = report};

    *report = (struct prepare_report){0};
    if (!filled.text_field) {
        filled.text_field = "text";
    }
    enum status status = check_options(&filled, err);
    if (!status) {
        work.validation_below = (uint64_t)ldexp(filled.validation_fraction, 64);
        status = prepare(&work, err);
    }
    release(&work);
    report->total_s = (double)(sys_monotonic_ns() - start_ns) / 1e9;
    return status;
}
