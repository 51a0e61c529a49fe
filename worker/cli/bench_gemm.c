#include <inttypes.h>
#include <stdio.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/rng.h"
#include "proto/base/sys.h"
#include "worker/cli/bench.h"
#include "worker/ops/backend.h"

/* Large enough for the kernels' full speed, small enough for a product in milliseconds. */
#define BENCH_SIDE 512

struct bench {
    struct backend *backend;
    float *a, *b, *c;
};

static size_t matrix_bytes(void)
{
    return (size_t)BENCH_SIDE * BENCH_SIDE * sizeof(float);
}

static enum status init(struct bench *bench, int threads, struct error *err)
{
    enum status status = backend_cpu_create(&bench->backend, threads, err);
    float **const matrices[] = {&bench->a, &bench->b, &bench->c};

    for (size_t i = 0; i < 3 && !status; i++) {
        void *memory = NULL;
        status = backend_allocate(bench->backend, &memory, matrix_bytes(), err);
        *matrices[i] = memory;
    }
    for (int64_t i = 0; i < BENCH_SIDE * BENCH_SIDE && !status; i++) {
        uint64_t stream = rng_stream(RNG_PURPOSE_TEST, 0, 0);
        bench->a[i] = (float)rng_uniform(1, stream, (uint64_t)i);
        bench->b[i] = (float)rng_uniform(2, stream, (uint64_t)i);
    }
    return status;
}

static void deinit(struct bench *bench)
{
    if (bench->backend == NULL) {
        return;
    }
    backend_release(bench->backend, bench->a, matrix_bytes());
    backend_release(bench->backend, bench->b, matrix_bytes());
    backend_release(bench->backend, bench->c, matrix_bytes());
    backend_destroy(bench->backend);
}

/* Products a bᵀ for that many seconds; the rate of all of them, in GFLOP/s. */
static enum status run(struct bench *bench, double seconds, double *gflops, int64_t *products,
                       struct error *err)
{
    const struct gemm_shape shape = {
        .m = BENCH_SIDE, .n = BENCH_SIDE, .k = BENCH_SIDE, .transpose_b = true};
    const double flops = 2.0 * BENCH_SIDE * BENCH_SIDE * (double)BENCH_SIDE;
    int64_t start_ns = 0;
    int64_t now_ns = 0;

    /* The first product prepares the kernel and is not counted. */
    bench->backend->op->gemm(bench->backend, bench->c, bench->a, bench->b, &shape);
    start_ns = sys_monotonic_ns();
    *products = 0;
    do {
        bench->backend->op->gemm(bench->backend, bench->c, bench->a, bench->b, &shape);
        *products += 1;
        now_ns = sys_monotonic_ns();
    } while ((double)(now_ns - start_ns) < seconds * 1e9);
    *gflops = flops * (double)*products / (double)(now_ns - start_ns);
    return backend_finish(bench->backend, err);
}

static enum status print_gemm(const struct bench *bench, double gflops, int64_t products,
                              bool as_json, struct error *err)
{
    struct bytes text = {0};
    json_t *object = NULL;
    enum status status = STATUS_OK;

    if (!as_json) {
        (void)printf("gemm fp32 %dx%dx%d: %.0f GFLOP/s on %d threads (%s, %s), %" PRId64
                     " products\n",
                     BENCH_SIDE, BENCH_SIDE, BENCH_SIDE, gflops, bench->backend->threads,
                     bench->backend->isa, bench->backend->gemm_library, products);
        return STATUS_OK;
    }
    object = json_pack("{s:I, s:i, s:s, s:s, s:I}", "gflops", (json_int_t)gflops, "threads",
                       bench->backend->threads, "isa", bench->backend->isa, "library",
                       bench->backend->gemm_library, "products", (json_int_t)products);
    json_canonical(&text, object);
    status = bytes_status(&text, "result", err);
    if (!status) {
        (void)printf("%s\n", text.data);
    }
    json_decref(object);
    bytes_deinit(&text);
    return status;
}

enum status bench_gemm(const struct command_line *line, struct error *err)
{
    struct bench bench = {0};
    long long seconds = 0;
    long long threads = 0;
    double gflops = 0.0;
    int64_t products = 0;

    enum status status = command_int(line, "seconds", 1, 3600, 1, &seconds, err);
    if (!status) {
        status = command_int(line, "threads", 1, THREADS_PER_RANK_MAX, bench_core_count(), &threads,
                             err);
    }
    if (!status) {
        status = init(&bench, (int)threads, err);
    }
    if (!status) {
        status = run(&bench, (double)seconds, &gflops, &products, err);
    }
    if (!status) {
        status = print_gemm(&bench, gflops, products, command_flag(line, "json"), err);
    }
    deinit(&bench);
    return status;
}
