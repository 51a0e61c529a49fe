#include "tests/support/checkpoints.h"

#include "proto/base/json.h"
#include "proto/base/rng.h"

static const char digest_text[] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

json_t *test_checkpoint_meta(int64_t step)
{
    json_t *meta =
        json_pack("{s:s, s:{s:s, s:s, s:s}, s:i, s:i, s:i, s:s, s:s, s:s, s:{s:s, s:i, s:n},"
                  " s:{s:i, s:i, s:{}}, s:{s:i, s:I}, s:s}",
                  "run", "test", "digests", "spec", digest_text, "data", digest_text, "tokenizer",
                  digest_text, "world", 2, "micro", 8, "lanes", 2, "dtype", "fp32", "isa", "avx2",
                  "onednn", "2.6.0", "group", "kind", "mod_tile", "cycle", 1, "permutation_seed",
                  "rng", "version", 1, "seed", 0, "counters", "sampler", "version", 1, "step",
                  (json_int_t)step, "receipt", digest_text);
    assert_non_null(meta);
    return meta;
}

static void fill(float *out, size_t count, uint64_t state)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = (float)rng_uniform(state, rng_stream(RNG_PURPOSE_TEST, 0, 0), i);
    }
}

enum status test_checkpoint_write(struct store *store, int64_t step, struct checkpoint_written *out,
                                  struct error *err)
{
    static float frozen[TEST_FROZEN_COUNT];
    static float moving[TEST_MOVING_COUNT];
    const struct tensor_shape frozen_shape = {2, {30, 100}};
    const struct tensor_shape moving_shape = {1, {TEST_MOVING_COUNT}};
    const struct tensor_shape empty_shape = {1, {0}};
    struct checkpoint_writer *writer = NULL;

    fill(frozen, TEST_FROZEN_COUNT, 0);
    fill(moving, TEST_MOVING_COUNT, (uint64_t)step + 1);
    json_t *meta = test_checkpoint_meta(step);
    enum status status = checkpoint_writer_begin(&writer, store, step, meta, err);
    json_decref(meta);
    if (status) {
        return status;
    }
    status =
        checkpoint_writer_tensor(writer, "frozen", TENSOR_DTYPE_F32, &frozen_shape, frozen, err);
    if (status == STATUS_OK) {
        status = checkpoint_writer_tensor(writer, "moving", TENSOR_DTYPE_F32, &moving_shape, moving,
                                          err);
    }
    if (status == STATUS_OK) {
        status =
            checkpoint_writer_tensor(writer, "empty", TENSOR_DTYPE_F32, &empty_shape, NULL, err);
    }
    if (status) {
        checkpoint_writer_destroy(writer);
        return status;
    }
    return checkpoint_writer_commit(writer, out, err);
}

void test_checkpoint_assert(struct checkpoint *checkpoint)
{
    struct error err;
    float expected[TEST_FROZEN_COUNT];
    float found[TEST_FROZEN_COUNT];
    int64_t step = checkpoint_ref_of(checkpoint)->step;

    assert_int_equal(checkpoint_tensor_count(checkpoint), 3);
    fill(expected, TEST_FROZEN_COUNT, 0);
    assert_ok(checkpoint_read_tensor(checkpoint, "frozen", found, sizeof found, &err), &err);
    assert_memory_equal(found, expected, sizeof found);
    fill(expected, TEST_MOVING_COUNT, (uint64_t)step + 1);
    size_t moving_bytes = TEST_MOVING_COUNT * sizeof(float);
    assert_ok(checkpoint_read_tensor(checkpoint, "moving", found, moving_bytes, &err), &err);
    assert_memory_equal(found, expected, moving_bytes);
    assert_ok(checkpoint_read_tensor(checkpoint, "empty", NULL, 0, &err), &err);
    const json_t *sampler = json_object_get(checkpoint_meta(checkpoint), "sampler");
    assert_int_equal(json_get_int(sampler, "step", -1), step);
}
