/* Matrix products: against the reference, and with the same bits at every number of threads. */
#include <stdio.h>

#include "tests/support/ops.h"
#include "worker/ops/gemm_cache.h"

/* fp32 sums of k products: rounding grows with sqrt(k), 2^-24 sqrt(4096) = 4e-6 at the most here.
 */
#define BOUND 4e-6
/* A bf16 result is rounded once more. */
#define BOUND_BF16 4e-3

static void run_product(struct ops_run *run, const void *context)
{
    const struct gemm_shape *shape = context;
    const struct gemm_shape s = gemm_shape_dense(shape);
    struct ops_tensor a = ops_operand(run, (s.transpose_a ? s.k : s.m) * s.lda, 1.0, s.operands);
    struct ops_tensor b = ops_operand(run, (s.transpose_b ? s.n : s.k) * s.ldb, 1.0, s.operands);
    struct ops_tensor c = s.accumulate ? ops_input(run, s.m * s.ldc, 1.0)
                                       : ops_output_operand(run, s.m * s.ldc, s.result);

    run->backend->op->gemm(run->backend, c.data, a.data, b.data, shape);
    if (run->is_compared) {
        gemm_ref(c.ref, a.ref, b.ref, shape);
    }
    ops_check_rows(run, &c, s.n, s.ldc, ops_bound(s.result, BOUND, BOUND_BF16));
    ops_free(&a);
    ops_free(&b);
}

/* fp32, bf16 operands with a result in fp32, and in bf16 where it is not added to. */
static void walk_types(struct gemm_shape shape)
{
    ops_walk_highest(run_product, &shape);
    shape.operands = DTYPE_BF16;
    ops_walk_highest(run_product, &shape);
    shape.result = DTYPE_BF16;
    if (!shape.accumulate) {
        ops_walk_highest(run_product, &shape);
    }
}

static void products_agree_with_the_reference_at_every_shape(void **state)
{
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1},     {1, 7, 5},     {5, 1, 3},     {3, 3, 1},
                                       {2, 1, 64},    {17, 33, 9},   {255, 257, 3}, {256, 256, 8},
                                       {257, 511, 7}, {64, 513, 33}, {31, 2, 300},  {1, 100, 64},
                                       {3, 40, 17},   {513, 1, 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int bits = 0; bits < 16; bits++) {
            struct gemm_shape shape = {.m = sizes[i][0],
                                       .n = sizes[i][1],
                                       .k = sizes[i][2],
                                       .transpose_a = bits & 1,
                                       .transpose_b = bits & 2,
                                       .accumulate = bits & 4};
            if (bits & 8) {
                shape.lda = (shape.transpose_a ? shape.m : shape.k) + 3;
                shape.ldb = (shape.transpose_b ? shape.k : shape.n) + 5;
                shape.ldc = shape.n + 1;
            }
            walk_types(shape);
        }
    }
}

/* Those of llama-9m with micro-batches of 2 x 256 tokens, and the ones that oneDNN is known to
 * split along k where it has several threads. */
static void products_of_training_agree_with_the_reference(void **state)
{
    (void)state;
    static const struct gemm_shape shapes[] = {
        {.m = 512, .n = 384, .k = 128, .transpose_b = true},
        {.m = 512, .n = 704, .k = 128, .transpose_b = true},
        {.m = 512, .n = 128, .k = 352, .transpose_b = true},
        {.m = 512, .n = 128, .k = 704},
        {.m = 384, .n = 128, .k = 512, .transpose_a = true, .accumulate = true},
        {.m = 128, .n = 352, .k = 512, .transpose_a = true, .accumulate = true},
        {.m = 64, .n = 4096, .k = 128, .transpose_b = true},
        {.m = 4096, .n = 128, .k = 64, .transpose_a = true, .accumulate = true},
        {.m = 51, .n = 51, .k = 2048, .transpose_a = true, .accumulate = true},
        {.m = 72, .n = 72, .k = 2048, .transpose_a = true, .accumulate = true},
        {.m = 111, .n = 111, .k = 2048, .transpose_a = true},
        {.m = 443, .n = 443, .k = 256, .transpose_a = true},
        {.m = 768, .n = 8, .k = 4096},
        {.m = 8, .n = 768, .k = 1024},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        walk_types(shapes[i]);
    }
}

static void cuts_cover_the_output_and_are_even(void **state)
{
    (void)state;
    for (int64_t m = 1; m < 40000; m += 1 + m / 7) {
        for (int64_t n = 1; n < 40000; n += 1 + n / 97) {
            const struct gemm_shape shape = {.m = m, .n = n, .k = 64};
            const struct gemm_cut cut = gemm_cut(&shape);
            const int64_t tiles = cut.count_m * cut.count_n;
            int64_t area = 0;
            for (int64_t i = 0; i < tiles; i++) {
                const struct gemm_tile tile = gemm_cut_tile(&cut, &shape, i);
                assert_true(tile.rows >= 1 && tile.row >= 0 && tile.row + tile.rows <= m);
                assert_true(tile.columns >= 1 && tile.column + tile.columns <= n);
                area += tile.rows * tile.columns;
            }
            assert_int_equal(area, m * n);
            assert_true(tiles % 2 == 0 || m * n == 1);
        }
    }
}

static void threads_out_of_range_are_refused(void **state)
{
    (void)state;
    struct backend *backend = NULL;
    struct error err;
    assert_int_equal(backend_cpu_create(&backend, 0, &err), STATUS_LIMIT);
    assert_int_equal(backend_cpu_create(&backend, THREADS_PER_RANK_MAX + 1, &err), STATUS_LIMIT);
    assert_contains(err.message, "257 threads");
    assert_null(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_with_the_reference_at_every_shape),
        cmocka_unit_test(products_of_training_agree_with_the_reference),
        cmocka_unit_test(cuts_cover_the_output_and_are_even),
        cmocka_unit_test(threads_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
