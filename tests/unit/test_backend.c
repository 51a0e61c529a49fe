/* The backend around the operations: levels, failures that stick, memory. */
#include <errno.h>

#include "proto/base/sys.h"
#include "tests/support/ops.h"

static void the_level_is_what_the_environment_allows(void **state)
{
    (void)state;
    const char *limit = getenv("DNNL_MAX_CPU_ISA");
    const enum cpu_level level = cpu_level_detect();
    assert_true(cpu_level_supported(level));
    if (limit != NULL && strcmp(limit, "SSE41") == 0) {
        assert_int_equal(level, CPU_LEVEL_BASELINE);
    }
    if (limit != NULL && strcmp(limit, "AVX2") == 0) {
        assert_true(level <= CPU_LEVEL_AVX2);
    }
    if (limit == NULL && cpu_level_supported(CPU_LEVEL_AVX512)) {
        assert_int_equal(level, CPU_LEVEL_AVX512);
    }
    assert_string_equal(cpu_level_name(CPU_LEVEL_AVX2), "avx2");
}

static void a_backend_says_what_it_runs_on(void **state)
{
    (void)state;
    struct backend *backend;
    struct error err;
    assert_ok(backend_cpu_create(&backend, 2, &err), &err);
    assert_string_equal(backend->name, "cpu");
    assert_string_equal(backend->isa, cpu_level_name(cpu_level_detect()));
    assert_contains(backend->gemm_library, "oneDNN ");
    assert_int_equal(backend->threads, 2);
    backend_destroy(backend);
    backend_destroy(NULL);
}

static int refuse_memory(void *context, const struct sys_event *event)
{
    (void)context;
    return event->call == SYS_CALL_ALLOC || event->call == SYS_CALL_MMAP ? ENOMEM : 0;
}

static void the_first_failure_sticks(void **state)
{
    (void)state;
    struct backend *backend;
    struct error err;
    float c = 0.0f;
    double sum = -1.0;
    const float x[2] = {3.0f, 4.0f};
    assert_ok(backend_cpu_create(&backend, 1, &err), &err);
    sys_set_hook(refuse_memory, NULL);
    backend->op->gemm(backend, &c, x, x, &(struct gemm_shape){.m = 1, .n = 1, .k = 2});
    sys_set_hook(NULL, NULL);
    backend->op->sum_squares(backend, &sum, x, 2);
    assert_true(sum == 25.0); /* later operations still may run */
    assert_int_equal(backend_finish(backend, &err), STATUS_NO_MEMORY);
    assert_contains(err.message, "no memory");
    assert_int_equal(backend_finish(backend, NULL), STATUS_NO_MEMORY);
    backend_destroy(backend);
}

static enum status make_and_use(void *context, struct error *err)
{
    (void)context;
    struct backend *backend = NULL;
    float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    float y[8];
    float rstd[2];
    void *memory = NULL;

    enum status status = backend_cpu_create(&backend, 2, err);
    if (status) {
        return status;
    }
    const struct backend_table *op = backend->op;
    op->gemm(backend, y, x, x, &(struct gemm_shape){.m = 2, .n = 2, .k = 4, .transpose_b = true});
    op->rmsnorm_forward(backend, y, rstd, NULL, x, NULL, x, 2, 4, 1e-6f, DTYPE_FP32);
    op->rmsnorm_backward(backend, y, NULL, rstd, x, x, rstd, x, 2, 1, false, DTYPE_FP32);
    op->attention_forward(backend, y, rstd, x, x, x,
                          &(struct attention_shape){.B = 1, .T = 2, .H = 1, .KV = 1, .D = 4});
    status = backend_allocate(backend, &memory, 100, err);
    if (status == STATUS_OK) {
        status = backend_finish(backend, err);
        backend_release(backend, memory, 100);
    }
    backend_destroy(backend);
    return status;
}

static void expect_no_memory(void *context, enum status status, const struct error *err)
{
    (void)context;
    assert_int_equal(status, STATUS_NO_MEMORY);
    assert_true(err->message[0] != '\0');
}

static void failing_allocations_are_reported_and_leak_nothing(void **state)
{
    (void)state;
    test_fail_each_call(make_and_use, expect_no_memory, NULL);
}

static void memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 4096, (4 * MIB) + 12};
    struct backend *backend;
    struct error err;
    assert_ok(backend_cpu_create(&backend, 1, &err), &err);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *memory = NULL;
        assert_ok(backend_allocate(backend, &memory, sizes[i], &err), &err);
        assert_int_equal((uintptr_t)memory % 64, 0);
        for (size_t j = 0; j < sizes[i]; j++) {
            assert_int_equal(((const unsigned char *)memory)[j], 0);
        }
        backend_release(backend, memory, sizes[i]);
    }
    backend_destroy(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_level_is_what_the_environment_allows),
        cmocka_unit_test(a_backend_says_what_it_runs_on),
        cmocka_unit_test(the_first_failure_sticks),
        cmocka_unit_test(failing_allocations_are_reported_and_leak_nothing),
        cmocka_unit_test(memory_is_zeroed_and_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
