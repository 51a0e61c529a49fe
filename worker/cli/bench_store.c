/*
 * bench_store — what the store's codec makes of a checkpoint, and how fast, on one core.
 *
 * Each chunk is packed and unpacked as a checkpoint's writer and reader do, three times; the least
 * processor time counts, so that other programs on the machine count little.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/store/blob.h"
#include "proto/store/checkpoint.h"
#include "proto/store/checkpoint_path.h"
#include "worker/cli/bench.h"
#include "worker/ops/dtype.h"

#define REPETITIONS 3

/* The rows of the table. X(constant, kind, dtype) */
#define ROW_LIST(X)                  \
 X(WEIGHTS, "weights", F32)          \
 X(WEIGHTS_ROUNDED, "weights", BF16) \
 X(EXP_AVG, "exp_avg", F32)          \
 X(EXP_AVG_SQ, "exp_avg_sq", F32)

enum row_name {
#define X(constant, kind, dtype) ROW_##constant,
    ROW_LIST(X)
#undef X
        ROW_COUNT
};

static const struct {
    const char *kind;
    enum tensor_dtype dtype;
} row_facts[] = {
#define X(constant, kind, dtype) {kind, TENSOR_DTYPE_##dtype},
    ROW_LIST(X)
#undef X
};

/* Sums over all chunks of all tensors of a dtype and kind. */
struct row {
    uint64_t bytes;
    uint64_t stored_bytes; /* of blobs */
    uint64_t zstd_bytes;   /* of one zstd frame a chunk, as many headers beside it */
    double digest_s;
    double compress_s;
    double decompress_s;
};

struct bench {
    struct found_checkpoint found;
    struct blob_coder *coder;
    uint8_t *payload;
    uint8_t *back; /* a chunk */
    struct row rows[ROW_COUNT];
};

static double processor_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void keep_least(double *least, double start_s)
{
    const double took = processor_s() - start_s;
    *least = *least == 0.0 || took < *least ? took : *least;
}

static enum status measure_chunk(struct bench *bench, struct row *row, enum blob_codec wanted,
                                 const uint8_t *data, size_t size, struct error *err)
{
    double digest_s = 0.0;
    double compress_s = 0.0;
    double decompress_s = 0.0;
    enum blob_codec codec = BLOB_CODEC_ZSTD;

    row->zstd_bytes +=
        BLOB_HEADER_BYTES + blob_encode(bench->coder, &codec, bench->payload, data, size);
    size_t payload_bytes = 0;
    for (int i = 0; i < REPETITIONS; i++) {
        struct digest digest;
        double start_s = processor_s();
        digest_of(&digest, data, size);
        keep_least(&digest_s, start_s);
        start_s = processor_s();
        codec = wanted;
        payload_bytes = blob_encode(bench->coder, &codec, bench->payload, data, size);
        keep_least(&compress_s, start_s);
        start_s = processor_s();
        enum status status =
            blob_decode(bench->coder, codec, bench->back, size, bench->payload, payload_bytes, err);
        if (status) {
            return status;
        }
        keep_least(&decompress_s, start_s);
    }
    if (memcmp(bench->back, data, size) != 0) {
        return error_set(err, STATUS_CORRUPT, "a chunk does not come back as it was");
    }
    row->bytes += size;
    row->stored_bytes += BLOB_HEADER_BYTES + payload_bytes;
    row->digest_s += digest_s;
    row->compress_s += compress_s;
    row->decompress_s += decompress_s;
    return STATUS_OK;
}

static enum status measure_data(struct bench *bench, enum row_name name, const void *data,
                                size_t size, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at < size && !status; at += CHUNK_BYTES) {
        const size_t left = size - at;
        status =
            measure_chunk(bench, &bench->rows[name], blob_codec_for(row_facts[name].dtype),
                          (const uint8_t *)data + at, left < CHUNK_BYTES ? left : CHUNK_BYTES, err);
    }
    return status;
}

static bool ends_with(const char *name, const char *suffix)
{
    const size_t length = strlen(name);
    const size_t suffix_length = strlen(suffix);
    return length >= suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static enum status measure_weights(struct bench *bench, float *data, size_t count,
                                   struct error *err)
{
    enum status status = measure_data(bench, ROW_WEIGHTS, data, count * sizeof *data, err);
    uint8_t *rounded = (uint8_t *)data; /* from the front on, in place */
    for (size_t i = 0; i < count; i++) {
        const uint16_t number = bf16_round(data[i]);
        memcpy(rounded + i * sizeof number, &number, sizeof number);
    }
    return status
               ? status
               : measure_data(bench, ROW_WEIGHTS_ROUNDED, rounded, count * sizeof(uint16_t), err);
}

static enum status measure_tensor(struct bench *bench, const struct tensor_info *info,
                                  struct error *err)
{
    if (info->dtype != TENSOR_DTYPE_F32 || info->bytes == 0) {
        return STATUS_OK; /* all that trains is fp32 */
    }
    float *data = sys_malloc(info->bytes);
    if (data == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for tensor '%s'", info->name);
    }
    enum status status =
        checkpoint_read_tensor(bench->found.checkpoint, info->name, data, info->bytes, err);
    if (status) {
        goto done;
    }
    if (ends_with(info->name, ".exp_avg")) {
        status = measure_data(bench, ROW_EXP_AVG, data, info->bytes, err);
    } else if (ends_with(info->name, ".exp_avg_sq")) {
        status = measure_data(bench, ROW_EXP_AVG_SQ, data, info->bytes, err);
    } else {
        status = measure_weights(bench, data, info->bytes / sizeof *data, err);
    }
done:
    free(data);
    return status;
}

static enum status measure(struct bench *bench, struct error *err)
{
    enum status status = blob_coder_create(&bench->coder, err);
    if (status) {
        return status;
    }
    bench->payload = sys_malloc(blob_encode_bound(CHUNK_BYTES));
    bench->back = sys_malloc(CHUNK_BYTES);
    if (bench->payload == NULL || bench->back == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for chunks");
    }
    for (size_t i = 0; i < checkpoint_tensor_count(bench->found.checkpoint) && !status; i++) {
        status = measure_tensor(bench, checkpoint_tensor(bench->found.checkpoint, i), err);
    }
    return status;
}

static double rate(uint64_t bytes, double seconds)
{
    return seconds > 0.0 ? (double)bytes / seconds / 1e6 : 0.0;
}

static json_t *row_json(enum row_name name, const struct row *row)
{
    return json_pack(
        "{s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "dtype",
        row_facts[name].dtype == TENSOR_DTYPE_F32 ? "fp32" : "bf16", "kind", row_facts[name].kind,
        "bytes", (json_int_t)row->bytes, "stored_bytes", (json_int_t)row->stored_bytes, "ratio",
        (double)row->bytes / (double)row->stored_bytes, "zstd_ratio",
        (double)row->bytes / (double)row->zstd_bytes, "compress_mb_per_s",
        rate(row->bytes, row->compress_s), "decompress_mb_per_s",
        rate(row->bytes, row->decompress_s), "digest_mb_per_s", rate(row->bytes, row->digest_s),
        "load_mb_per_s", rate(row->bytes, row->decompress_s + row->digest_s));
}

static json_t *rows_json(const struct bench *bench)
{
    json_t *rows = json_array();
    for (enum row_name name = ROW_WEIGHTS; name < ROW_COUNT; name++) {
        const struct row *row = &bench->rows[name];
        if (row->bytes > 0 && json_array_append_new(rows, row_json(name, row)) != 0) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

static void print_text(const json_t *rows, const char *path)
{
    size_t i = 0;
    const json_t *row = NULL;
    (void)printf("%s\n\n| kind | dtype | MB | ratio | zstd alone | compress MB/s | decompress MB/s "
                 "| digest MB/s | load MB/s |\n"
                 "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
                 path);
    json_array_foreach(rows, i, row)
    {
        (void)printf("| %s | %s | %.1f | %.3f | %.3f | %.0f | %.0f | %.0f | %.0f |\n",
                     json_get_text(row, "kind", ""), json_get_text(row, "dtype", ""),
                     (double)json_get_int(row, "bytes", 0) / 1e6,
                     json_number_value(json_object_get(row, "ratio")),
                     json_number_value(json_object_get(row, "zstd_ratio")),
                     json_number_value(json_object_get(row, "compress_mb_per_s")),
                     json_number_value(json_object_get(row, "decompress_mb_per_s")),
                     json_number_value(json_object_get(row, "digest_mb_per_s")),
                     json_number_value(json_object_get(row, "load_mb_per_s")));
    }
}

static enum status print(const struct bench *bench, bool as_json, struct error *err)
{
    struct bytes text = {0};
    enum status status = STATUS_OK;
    const char *path = checkpoint_path(bench->found.checkpoint);
    json_t *rows = rows_json(bench);

    if (rows == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the result");
    }
    if (as_json) {
        json_t *object = json_pack("{s:s, s:O}", "checkpoint", path, "rows", rows);
        json_canonical(&text, object);
        status = bytes_status(&text, "result", err);
        if (!status) {
            (void)printf("%s\n", text.data);
        }
        json_decref(object);
    } else {
        print_text(rows, path);
    }
    json_decref(rows);
    bytes_deinit(&text);
    return status;
}

enum status bench_store(const struct command_line *line, struct error *err)
{
    const char *path = command_text(line, "checkpoint", NULL);
    if (path == NULL) {
        enum status status = error_set(err, STATUS_INVALID,
                                       "what compresses how well depends on the numbers: the "
                                       "store is measured with a checkpoint of a trained model");
        error_set_hint(err, "--checkpoint RUN, RUN@STEP or a manifest's path");
        return status;
    }
    struct bench *bench = sys_calloc(1, sizeof *bench);
    if (bench == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a benchmark");
    }
    enum status status = checkpoint_path_open(&bench->found, path, err);
    if (!status) {
        status = measure(bench, err);
    }
    if (!status) {
        status = print(bench, command_flag(line, "json"), err);
    }
    found_checkpoint_close(&bench->found);
    blob_coder_destroy(bench->coder);
    free(bench->payload);
    free(bench->back);
    free(bench);
    return status;
}
