#include "proto/store/blob_codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "proto/base/limits.h"
#include "proto/base/reader.h"
#include "proto/base/sys.h"
#include "proto/store/blob_planes.h"

#define PLANES_MAX 4
/* Higher levels cost much time and gain a percent. */
#define ZSTD_LEVEL 1
/*
 * Equal runs in an exponent plane are chance, and naming one costs more than its bytes do in an
 * entropy coder. The smallest table that zstd has finds few of them: planes of weights become a
 * tenth smaller, twice as fast. Runs of zeros are found all the same.
 */
#define PLANE_HASH_LOG 6

/* The probe looks at this many pieces, spread over a plane. */
#define PROBE_PIECES      64
#define PROBE_PIECE_BYTES 256

struct blob_coder {
    ZSTD_CCtx *compressor;
    ZSTD_CCtx *plane_compressor;
    ZSTD_DCtx *decompressor;
    uint8_t *planes; /* CHUNK_BYTES */
};

const char *blob_codec_name(enum blob_codec codec)
{
    switch (codec) {
#define X(constant, name, value) \
 case BLOB_CODEC_##constant:     \
  return name;
        BLOB_CODEC_LIST(X)
#undef X
    }
    return "?";
}

bool blob_codec_from_name(enum blob_codec *out, const char *name)
{
#define X(constant, text, value) \
 if (strcmp(name, text) == 0) {  \
  *out = BLOB_CODEC_##constant;  \
  return true;                   \
 }
    BLOB_CODEC_LIST(X)
#undef X
    return false;
}

bool blob_codec_from_number(enum blob_codec *out, uint16_t number)
{
#define X(constant, text, value) \
 if (number == (value)) {        \
  *out = BLOB_CODEC_##constant;  \
  return true;                   \
 }
    BLOB_CODEC_LIST(X)
#undef X
    return false;
}

enum blob_codec blob_codec_for(enum tensor_dtype dtype)
{
    switch (dtype) {
    case TENSOR_DTYPE_F32:
        return BLOB_CODEC_PLANES32;
    case TENSOR_DTYPE_F16:
    case TENSOR_DTYPE_BF16:
        return BLOB_CODEC_PLANES16;
    case TENSOR_DTYPE_F64:
    case TENSOR_DTYPE_I64:
    case TENSOR_DTYPE_I32:
    case TENSOR_DTYPE_I16:
    case TENSOR_DTYPE_I8:
    case TENSOR_DTYPE_U8:
    case TENSOR_DTYPE_BOOL:
        break;
    }
    return BLOB_CODEC_ZSTD;
}

static size_t plane_count_of(enum blob_codec codec)
{
    return codec == BLOB_CODEC_PLANES32 ? 4 : codec == BLOB_CODEC_PLANES16 ? 2 : 0;
}

static bool set(ZSTD_CCtx *compressor, ZSTD_cParameter parameter, int value)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(compressor, parameter, value));
}

enum status blob_coder_create(struct blob_coder **out, struct error *err)
{
    struct blob_coder *coder = sys_calloc(1, sizeof *coder);
    if (coder == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "blobs: out of memory");
    }
    coder->compressor = ZSTD_createCCtx();
    coder->plane_compressor = ZSTD_createCCtx();
    coder->decompressor = ZSTD_createDCtx();
    coder->planes = sys_malloc(CHUNK_BYTES);
    if (coder->compressor == NULL || coder->plane_compressor == NULL ||
        coder->decompressor == NULL || coder->planes == NULL ||
        !set(coder->compressor, ZSTD_c_compressionLevel, ZSTD_LEVEL) ||
        !set(coder->plane_compressor, ZSTD_c_compressionLevel, ZSTD_LEVEL) ||
        !set(coder->plane_compressor, ZSTD_c_hashLog, PLANE_HASH_LOG)) {
        blob_coder_destroy(coder);
        return error_set(err, STATUS_NO_MEMORY, "blobs: out of memory");
    }
    *out = coder;
    return STATUS_OK;
}

void blob_coder_destroy(struct blob_coder *coder)
{
    if (coder == NULL) {
        return;
    }
    (void)ZSTD_freeCCtx(coder->compressor);
    (void)ZSTD_freeCCtx(coder->plane_compressor);
    (void)ZSTD_freeDCtx(coder->decompressor);
    free(coder->planes);
    free(coder);
}

size_t blob_encode_bound(size_t size)
{
    size_t planes = PLANES_MAX * (sizeof(uint32_t) + ZSTD_compressBound(size / PLANES_MAX + 1));
    size_t whole = ZSTD_compressBound(size);
    return planes > whole ? planes : whole;
}

/*
 * Whether the bytes of a plane are uneven enough for an entropy coder to gain more than a percent,
 * judged by a sample. The probability that two of its n bytes are equal is (1 + c) / 256 with c = 0
 * for noise, where the entropy is short of 8 bits by about c / (2 ln 2).
 */
static bool is_compressible(const uint8_t *plane, size_t size)
{
    uint32_t counts[256] = {0};
    uint64_t pairs = 0;
    const size_t step = size / PROBE_PIECES;
    if (step < PROBE_PIECE_BYTES) {
        return true; /* quicker tried than judged */
    }
    for (size_t piece = 0; piece < PROBE_PIECES; piece++) {
        for (size_t i = 0; i < PROBE_PIECE_BYTES; i++) {
            counts[plane[piece * step + i]]++;
        }
    }
    for (size_t i = 0; i < 256; i++) {
        pairs += (uint64_t)counts[i] * (counts[i] - (counts[i] > 0 ? 1U : 0U));
    }
    const uint64_t n = (uint64_t)PROBE_PIECES * PROBE_PIECE_BYTES;
    return pairs * 256 * 10 > n * (n - 1) * 11; /* c > 0.1 */
}

/* One plane into payload, which has room for its zstd frame; the bytes stored. */
static size_t encode_plane(struct blob_coder *coder, uint8_t *payload, size_t room,
                           const uint8_t *plane, size_t size)
{
    if (is_compressible(plane, size)) {
        size_t stored = ZSTD_compress2(coder->plane_compressor, payload, room, plane, size);
        if (!ZSTD_isError(stored) && stored < size) {
            return stored;
        }
    }
    memcpy(payload, plane, size);
    return size;
}

/* The planes of the coder's memory. */
static void find_planes(uint8_t *planes[PLANES_MAX], struct blob_coder *coder, size_t plane_count,
                        size_t count)
{
    for (size_t k = 0; k < plane_count; k++) {
        planes[k] = coder->planes + k * count;
    }
}

static size_t encode_planes(struct blob_coder *coder, size_t plane_count, uint8_t *payload,
                            const uint8_t *data, size_t size)
{
    uint8_t *planes[PLANES_MAX] = {0};
    const size_t count = size / plane_count;
    const size_t tail = size % plane_count;
    size_t at = plane_count * sizeof(uint32_t);

    find_planes(planes, coder, plane_count, count);
    if (plane_count == 4) {
        blob_planes_split32(planes, data, count);
    } else {
        blob_planes_split16(planes, data, count);
    }
    for (size_t k = 0; k < plane_count; k++) {
        size_t stored =
            encode_plane(coder, payload + at, ZSTD_compressBound(count), planes[k], count);
        for (size_t i = 0; i < sizeof(uint32_t); i++) {
            payload[k * sizeof(uint32_t) + i] = (uint8_t)(stored >> (8 * i));
        }
        at += stored;
    }
    memcpy(payload + at, data + size - tail, tail);
    return at + tail;
}

size_t blob_encode(struct blob_coder *coder, enum blob_codec *codec, uint8_t *payload,
                   const void *data, size_t size)
{
    size_t payload_bytes = size;
    const size_t plane_count = plane_count_of(*codec);

    assert(size <= CHUNK_BYTES);
    if (plane_count > 0) {
        payload_bytes = encode_planes(coder, plane_count, payload, data, size);
    } else if (*codec == BLOB_CODEC_ZSTD) {
        payload_bytes =
            ZSTD_compress2(coder->compressor, payload, blob_encode_bound(size), data, size);
    }
    if (ZSTD_isError(payload_bytes) || payload_bytes >= size) {
        *codec = BLOB_CODEC_RAW;
        memcpy(payload, data, size);
        payload_bytes = size;
    }
    return payload_bytes;
}

static enum status decode_frame(struct blob_coder *coder, void *dst, size_t size,
                                const uint8_t *frame, size_t frame_bytes, struct error *err)
{
    size_t got = ZSTD_decompressDCtx(coder->decompressor, dst, size, frame, frame_bytes);
    if (ZSTD_isError(got)) {
        return error_set(err, STATUS_CORRUPT, "does not decompress: %s", ZSTD_getErrorName(got));
    }
    if (got != size) {
        return error_set(err, STATUS_CORRUPT, "decompresses to %zu bytes, %zu expected", got, size);
    }
    return STATUS_OK;
}

/* Finds each plane: in the payload, or unpacked into the coder's memory. */
static enum status decode_planes(struct blob_coder *coder, const uint8_t *planes[PLANES_MAX],
                                 size_t plane_count, size_t count, struct reader *lengths,
                                 struct reader *payload, struct error *err)
{
    uint8_t *unpacked[PLANES_MAX] = {0};
    find_planes(unpacked, coder, plane_count, count);
    for (size_t k = 0; k < plane_count; k++) {
        const size_t stored = reader_u32(lengths);
        const uint8_t *bytes = reader_raw(payload, stored);
        if (bytes == NULL || stored > count) {
            return error_set(err, STATUS_CORRUPT, "plane %zu has %zu bytes, %zu at most", k, stored,
                             count);
        }
        planes[k] = bytes;
        if (stored < count) {
            enum status status = decode_frame(coder, unpacked[k], count, bytes, stored, err);
            if (status) {
                return error_wrap(err, "plane %zu", k);
            }
            planes[k] = unpacked[k];
        }
    }
    return STATUS_OK;
}

static enum status join(struct blob_coder *coder, size_t plane_count, uint8_t *dst, size_t size,
                        const uint8_t *payload, size_t payload_bytes, struct error *err)
{
    const uint8_t *planes[PLANES_MAX] = {0};
    const size_t count = size / plane_count;
    const size_t tail = size % plane_count;
    struct reader lengths = reader_over(payload, payload_bytes);
    struct reader rest = reader_over(payload, payload_bytes);

    if (reader_raw(&rest, plane_count * sizeof(uint32_t)) == NULL) {
        return error_set(err, STATUS_CORRUPT, "%zu bytes are no planes", payload_bytes);
    }
    enum status status = decode_planes(coder, planes, plane_count, count, &lengths, &rest, err);
    if (status) {
        return status;
    }
    const uint8_t *last = reader_raw(&rest, tail);
    if (!reader_finished(&rest)) {
        return error_set(err, STATUS_CORRUPT, "%zu bytes are not what its planes say",
                         payload_bytes);
    }
    if (plane_count == 4) {
        blob_planes_join32(dst, planes, count);
    } else {
        blob_planes_join16(dst, planes, count);
    }
    memcpy(dst + size - tail, last, tail);
    return STATUS_OK;
}

enum status blob_decode(struct blob_coder *coder, enum blob_codec codec, void *dst, size_t size,
                        const uint8_t *payload, size_t payload_bytes, struct error *err)
{
    assert(size <= CHUNK_BYTES);
    switch (codec) {
    case BLOB_CODEC_PLANES16:
    case BLOB_CODEC_PLANES32:
        return join(coder, plane_count_of(codec), dst, size, payload, payload_bytes, err);
    case BLOB_CODEC_ZSTD:
        return decode_frame(coder, dst, size, payload, payload_bytes, err);
    case BLOB_CODEC_RAW:
        break;
    }
    if (payload_bytes != size) {
        return error_set(err, STATUS_CORRUPT, "%zu raw bytes, %zu expected", payload_bytes, size);
    }
    memcpy(dst, payload, size);
    return STATUS_OK;
}
