#include <math.h>

#include "proto/base/limits.h"
#include "proto/base/rng.h"
#include "proto/store/blob_codec.h"
#include "proto/store/blob_planes.h"
#include "tests/support/test.h"

/* Bytes on both sides of what is decoded, to see a write beside it. */
#define MARGIN 16
#define MARK   0xa5

struct fixture {
    struct blob_coder *coder;
    uint8_t *data;    /* CHUNK_BYTES and a byte: content may start at odd addresses */
    uint8_t *payload; /* blob_encode_bound(CHUNK_BYTES) */
    uint8_t *back;    /* CHUNK_BYTES and two margins */
};

static int setup(void **state)
{
    struct error err;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_ok(blob_coder_create(&fixture->coder, &err), &err);
    fixture->data = malloc(CHUNK_BYTES + 1);
    fixture->payload = malloc(blob_encode_bound(CHUNK_BYTES));
    fixture->back = malloc(CHUNK_BYTES + 2 * MARGIN);
    assert_non_null(fixture->data);
    assert_non_null(fixture->payload);
    assert_non_null(fixture->back);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    blob_coder_destroy(fixture->coder);
    free(fixture->data);
    free(fixture->payload);
    free(fixture->back);
    free(fixture);
    return 0;
}

/* Encodes and decodes data[size]; the codec that was used, and the bytes of the payload. */
static enum blob_codec round_trip(struct fixture *fixture, enum blob_codec wanted,
                                  const uint8_t *data, size_t size, size_t *payload_bytes)
{
    struct error err;
    enum blob_codec codec = wanted;
    *payload_bytes = blob_encode(fixture->coder, &codec, fixture->payload, data, size);
    assert_true(codec == wanted || codec == BLOB_CODEC_RAW);
    assert_true(*payload_bytes <= size);
    memset(fixture->back, MARK, size + 2 * MARGIN);
    assert_ok(blob_decode(fixture->coder, codec, fixture->back + MARGIN, size, fixture->payload,
                          *payload_bytes, &err),
              &err);
    assert_memory_equal(fixture->back + MARGIN, data, size);
    for (size_t i = 0; i < MARGIN; i++) {
        assert_int_equal(fixture->back[i], MARK);
        assert_int_equal(fixture->back[MARGIN + size + i], MARK);
    }
    return codec;
}

static void every_codec_round_trips(struct fixture *fixture, const uint8_t *data, size_t size)
{
    size_t payload_bytes = 0;
#define X(constant, name, value) \
 (void)round_trip(fixture, BLOB_CODEC_##constant, data, size, &payload_bytes);
    BLOB_CODEC_LIST(X)
#undef X
}

static void planes_are_exponent_then_mantissa_with_the_sign_last(void **state)
{
    (void)state;
    static const uint8_t bf16[] = {0x80, 0xbf, 0x01, 0x00};                /* -1, denormal */
    static const uint8_t fp32[] = {0x56, 0x34, 0xc0, 0x3f, 0, 0, 0, 0x80}; /* 1.5…, -0 */
    uint8_t planes[4][2];
    uint8_t *const out[4] = {planes[0], planes[1], planes[2], planes[3]};
    blob_planes_split16(out, bf16, 2);
    assert_memory_equal(planes[0], ((uint8_t[]){0x7f, 0x00}), 2);
    assert_memory_equal(planes[1], ((uint8_t[]){0x01, 0x02}), 2);
    blob_planes_split32(out, fp32, 2);
    assert_memory_equal(planes[0], ((uint8_t[]){0x7f, 0x00}), 2);
    assert_memory_equal(planes[1], ((uint8_t[]){0x80, 0x00}), 2);
    assert_memory_equal(planes[2], ((uint8_t[]){0x68, 0x00}), 2);
    assert_memory_equal(planes[3], ((uint8_t[]){0xac, 0x01}), 2);
}

static void every_number_of_16_bits_comes_back(void **state)
{
    struct fixture *fixture = *state;
    size_t payload_bytes = 0;
    const size_t size = 2 << 16;
    for (uint32_t i = 0; i < 1 << 16; i++) {
        fixture->data[2 * i] = (uint8_t)i;
        fixture->data[2 * i + 1] = (uint8_t)(i >> 8);
    }
    assert_int_equal(round_trip(fixture, BLOB_CODEC_PLANES16, fixture->data, size, &payload_bytes),
                     BLOB_CODEC_PLANES16);
    every_codec_round_trips(fixture, fixture->data, size);
}

/* Zeros, denormals, infinities and NaN with any payload, quiet and signalling, of either sign. */
static void odd_numbers_of_32_bits_come_back(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t starts[] = {0x00000000, 0x00000001, 0x007fffff, 0x00800000,
                                      0x3f800000, 0x7f7fffff, 0x7f800000, 0x7f800001,
                                      0x7fbfffff, 0x7fc00000, 0x7fffffff};
    const size_t start_count = sizeof starts / sizeof starts[0];
    const size_t count = 64 * start_count;
    size_t payload_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = starts[i % start_count];
        bits |= i % 2 ? 0x80000000 : 0;
        bits ^= i % 3 == 0 ? (uint32_t)rng_u64(1, 3, i) & 0x003fffff : 0;
        memcpy(fixture->data + 4 * i, &bits, sizeof bits);
    }
    assert_int_equal(
        round_trip(fixture, BLOB_CODEC_PLANES32, fixture->data, 4 * count, &payload_bytes),
        BLOB_CODEC_PLANES32);
    every_codec_round_trips(fixture, fixture->data, 4 * count);
}

/* Noise, then bytes of which a third is noise. Lengths without a multiple of any number's. */
static void bytes_of_every_length_come_back(void **state)
{
    struct fixture *fixture = *state;
    static const size_t long_sizes[] = {4095,
                                        4096,
                                        4097,
                                        8190,
                                        8192,
                                        8195,
                                        16383,
                                        65537,
                                        1000003,
                                        CHUNK_BYTES - 3,
                                        CHUNK_BYTES - 1,
                                        CHUNK_BYTES};
    for (int kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i <= CHUNK_BYTES; i++) {
            bool is_noise = kind == 0 || i % 3 == 0;
            fixture->data[i] = is_noise ? (uint8_t)rng_u64(1, 4, i) : (uint8_t)(i % 5);
        }
        for (size_t size = 0; size <= 600; size++) {
            every_codec_round_trips(fixture, fixture->data + size % 2, size);
        }
        for (size_t i = 0; i < sizeof long_sizes / sizeof long_sizes[0]; i++) {
            every_codec_round_trips(fixture, fixture->data + (i + 1) % 2, long_sizes[i]);
        }
    }
}

static void every_dtype_has_a_codec_that_brings_it_back(void **state)
{
    struct fixture *fixture = *state;
    size_t payload_bytes = 0;
    for (size_t i = 0; i < 80000; i++) {
        fixture->data[i] = i % 4 == 3 ? (uint8_t)(i % 9) : (uint8_t)rng_u64(1, 5, i);
    }
#define X(constant, name, bytes)                                                          \
 (void)round_trip(fixture, blob_codec_for(TENSOR_DTYPE_##constant), fixture->data, 80000, \
                  &payload_bytes);
    TENSOR_DTYPE_LIST(X)
#undef X
    assert_int_equal(blob_codec_for(TENSOR_DTYPE_F32), BLOB_CODEC_PLANES32);
    assert_int_equal(blob_codec_for(TENSOR_DTYPE_BF16), BLOB_CODEC_PLANES16);
}

/* Normal numbers as weights are: what planes gain, and what zstd by itself does not. */
static void planes_gain_more_than_zstd_alone(void **state)
{
    struct fixture *fixture = *state;
    size_t planes = 0;
    size_t whole = 0;
    const size_t count = CHUNK_BYTES / 4;
    for (size_t i = 0; i < count; i++) {
        double u = 1.0 - rng_uniform(1, 6, 2 * i);
        double v = rng_uniform(1, 6, 2 * i + 1);
        float x = (float)(0.02 * sqrt(-2.0 * log(u)) * cos(2.0 * acos(-1.0) * v));
        memcpy(fixture->data + 4 * i, &x, sizeof x);
    }
    (void)round_trip(fixture, BLOB_CODEC_PLANES32, fixture->data, 4 * count, &planes);
    (void)round_trip(fixture, BLOB_CODEC_ZSTD, fixture->data, 4 * count, &whole);
    assert_true((double)planes * 1.17 < 4.0 * (double)count);
    assert_true((double)planes * 1.05 < (double)whole);
    for (size_t i = 0; i < count; i++) {
        memmove(fixture->data + 2 * i, fixture->data + 4 * i + 2, 2);
    }
    (void)round_trip(fixture, BLOB_CODEC_PLANES16, fixture->data, 2 * count, &planes);
    (void)round_trip(fixture, BLOB_CODEC_ZSTD, fixture->data, 2 * count, &whole);
    assert_true((double)planes * 1.45 < 2.0 * (double)count);
    assert_true((double)planes * 1.05 < (double)whole);
}

static void noise_is_stored_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    size_t payload_bytes = 0;
    for (size_t i = 0; i < CHUNK_BYTES; i++) {
        fixture->data[i] = (uint8_t)rng_u64(1, 7, i);
    }
#define X(constant, name, value)                                                             \
 assert_int_equal(                                                                           \
     round_trip(fixture, BLOB_CODEC_##constant, fixture->data, CHUNK_BYTES, &payload_bytes), \
     BLOB_CODEC_RAW);
    BLOB_CODEC_LIST(X)
#undef X
}

static void a_payload_of_another_length_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    const size_t size = 4003;
    for (size_t i = 0; i < size; i++) {
        fixture->data[i] = i % 4 == 3 ? (uint8_t)(60 + i % 5) : (uint8_t)rng_u64(1, 8, i);
    }
    for (enum blob_codec codec = BLOB_CODEC_RAW; codec <= BLOB_CODEC_PLANES32; codec++) {
        enum blob_codec used = codec;
        size_t bytes = blob_encode(fixture->coder, &used, fixture->payload, fixture->data, size);
        if (used != codec) {
            continue;
        }
        for (size_t cut = 0; cut <= bytes + 1; cut++) {
            uint8_t *copy = malloc(cut + 1); /* where sanitizers see a byte too far */
            assert_non_null(copy);
            memcpy(copy, fixture->payload, cut <= bytes ? cut : bytes);
            copy[cut] = 0;
            enum status status =
                blob_decode(fixture->coder, codec, fixture->back, size, copy, cut, &err);
            assert_int_equal(status, cut == bytes ? STATUS_OK : STATUS_CORRUPT);
            free(copy);
        }
        assert_int_equal(blob_decode(fixture->coder, codec, fixture->back, size - 1,
                                     fixture->payload, bytes, &err),
                         STATUS_CORRUPT);
    }
}

static void planes_that_lie_about_their_lengths_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    /* 8 bytes are two numbers of 32 bits: four planes of 2 bytes, all raw. */
    uint8_t payload[24] = {2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    assert_ok(blob_decode(fixture->coder, BLOB_CODEC_PLANES32, fixture->back, 8, payload,
                          sizeof payload, &err),
              &err);
    static const uint32_t lies[] = {0, 1, 3, 8, 9, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
            uint8_t copy[sizeof payload];
            memcpy(copy, payload, sizeof copy);
            for (size_t b = 0; b < 4; b++) {
                copy[4 * k + b] = (uint8_t)(lies[i] >> (8 * b));
            }
            assert_int_equal(blob_decode(fixture->coder, BLOB_CODEC_PLANES32, fixture->back, 8,
                                         copy, sizeof copy, &err),
                             STATUS_CORRUPT);
            assert_true(err.message[0] != '\0');
        }
    }
    /* All there, but one plane has a byte more than there are numbers. */
    uint8_t longer[sizeof payload + 1] = {0};
    memcpy(longer, payload, sizeof payload);
    longer[0] = 3;
    assert_int_equal(blob_decode(fixture->coder, BLOB_CODEC_PLANES32, fixture->back, 8, longer,
                                 sizeof longer, &err),
                     STATUS_CORRUPT);
    assert_contains(err.message, "plane 0 has 3 bytes, 2 at most");
}

static void names_and_numbers_of_codecs_agree(void **state)
{
    (void)state;
    enum blob_codec codec = BLOB_CODEC_RAW;
#define X(constant, name, value)                                         \
 assert_true(blob_codec_from_name(&codec, name) && codec == (value));    \
 assert_true(blob_codec_from_number(&codec, value) && codec == (value)); \
 assert_string_equal(blob_codec_name(BLOB_CODEC_##constant), name);
    BLOB_CODEC_LIST(X)
#undef X
    assert_false(blob_codec_from_name(&codec, "planes64"));
    assert_false(blob_codec_from_number(&codec, 4));
    assert_false(blob_codec_from_number(&codec, 0xffff));
}

#define CODEC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CODEC_TEST(planes_are_exponent_then_mantissa_with_the_sign_last),
        CODEC_TEST(every_number_of_16_bits_comes_back),
        CODEC_TEST(odd_numbers_of_32_bits_come_back),
        CODEC_TEST(bytes_of_every_length_come_back),
        CODEC_TEST(every_dtype_has_a_codec_that_brings_it_back),
        CODEC_TEST(planes_gain_more_than_zstd_alone),
        CODEC_TEST(noise_is_stored_as_it_is),
        CODEC_TEST(a_payload_of_another_length_is_refused),
        CODEC_TEST(planes_that_lie_about_their_lengths_are_refused),
        CODEC_TEST(names_and_numbers_of_codecs_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
