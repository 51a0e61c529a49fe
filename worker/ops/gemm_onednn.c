#include "worker/ops/gemm_onednn.h"

#include <assert.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <oneapi/dnnl/dnnl_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"
#include "worker/ops/gemm_onednn_matmul.h"
#include "worker/ops/memory.h"

/* Our side of what a parallel region's thread needs: executing on one stream, or with one
 * scratchpad, from two threads is not allowed. */
struct engine_thread {
    dnnl_stream_t stream;
    struct memory scratch; /* as large as the largest that a kernel asked for */
    struct memory wide;    /* the same, for operands that are widened */
};

struct gemm_engine {
    dnnl_engine_t engine;
    int threads;
    char library[96];
    struct engine_thread thread[];
};

enum { ARGUMENT_A, ARGUMENT_B, ARGUMENT_C, ARGUMENT_SCRATCH, ARGUMENT_COUNT };

static const struct {
    int name;
    dnnl_query_t query;
} arguments[ARGUMENT_COUNT] = {
    [ARGUMENT_A] = {DNNL_ARG_SRC, dnnl_query_src_md},
    [ARGUMENT_B] = {DNNL_ARG_WEIGHTS, dnnl_query_weights_md},
    [ARGUMENT_C] = {DNNL_ARG_DST, dnnl_query_dst_md},
    [ARGUMENT_SCRATCH] = {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md},
};

struct kernel_thread {
    dnnl_memory_t memory[ARGUMENT_COUNT];
};

struct gemm_kernel {
    struct gemm_engine *engine;
    struct gemm_kernel *wide; /* in fp32, of dense operands; NULL where oneDNN takes ours */
    struct gemm_shape shape;
    dnnl_primitive_t primitive;
    int argument_count; /* without ARGUMENT_SCRATCH where the kernel needs none */
    struct kernel_thread thread[];
};

static enum status error_from_dnnl(struct error *err, dnnl_status_t status, const char *what)
{
    enum status code = status == dnnl_out_of_memory   ? STATUS_NO_MEMORY
                       : status == dnnl_unimplemented ? STATUS_UNSUPPORTED
                                                      : STATUS_IO;
    return error_set(err, code, "oneDNN: %s: %s", what, dnnl_status2str(status));
}

enum cpu_level gemm_engine_level(void)
{
    /* Each set of instructions includes the bits of those below it. */
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core) {
        return CPU_LEVEL_AVX512;
    }
    return (isa & dnnl_cpu_isa_avx2) == dnnl_cpu_isa_avx2 ? CPU_LEVEL_AVX2 : CPU_LEVEL_BASELINE;
}

bool gemm_engine_has_bf16(void)
{
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

enum status gemm_engine_create(struct gemm_engine **out, int threads, struct error *err)
{
    assert(threads >= 1);
    struct gemm_engine *engine =
        sys_calloc(1, sizeof *engine + (size_t)threads * sizeof engine->thread[0]);
    if (engine == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "gemm: no memory for an engine");
    }
    engine->threads = threads;

    dnnl_status_t status = dnnl_engine_create(&engine->engine, dnnl_cpu, 0);
    for (int i = 0; i < threads && status == dnnl_success; i++) {
        status = dnnl_stream_create(&engine->thread[i].stream, engine->engine,
                                    dnnl_stream_default_flags);
    }
    if (status != dnnl_success) {
        gemm_engine_destroy(engine);
        return error_from_dnnl(err, status, "engine");
    }

    const dnnl_version_t *version = dnnl_version();
    const char *isa = dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa());
    static const char prefix[] = "cpu_isa_";
    if (strncmp(isa, prefix, sizeof prefix - 1) == 0) {
        isa += sizeof prefix - 1;
    }
    (void)snprintf(engine->library, sizeof engine->library, "oneDNN %d.%d.%d %s", version->major,
                   version->minor, version->patch, isa);
    *out = engine;
    return STATUS_OK;
}

void gemm_engine_destroy(struct gemm_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    for (int i = 0; i < engine->threads; i++) {
        if (engine->thread[i].stream != NULL) {
            (void)dnnl_stream_destroy(engine->thread[i].stream);
        }
        memory_deinit(&engine->thread[i].scratch);
        memory_deinit(&engine->thread[i].wide);
    }
    if (engine->engine != NULL) {
        (void)dnnl_engine_destroy(engine->engine);
    }
    free(engine);
}

const char *gemm_engine_library(const struct gemm_engine *engine)
{
    return engine->library;
}

size_t gemm_engine_scratch_bytes(const struct gemm_engine *engine)
{
    size_t total = 0;
    for (int i = 0; i < engine->threads; i++) {
        total += engine->thread[i].scratch.size + engine->thread[i].wide.size;
    }
    return total;
}

/* Gives every thread at least size bytes of scratch memory. */
static bool reserve_scratch(struct gemm_engine *engine, size_t size)
{
    for (int i = 0; i < engine->threads; i++) {
        if (!memory_reserve(&engine->thread[i].scratch, size)) {
            return false;
        }
    }
    return true;
}

/* The primitive itself and what its threads execute it with. */
static dnnl_status_t kernel_fill(struct gemm_kernel *kernel, const struct gemm_shape *shape)
{
    struct gemm_engine *engine = kernel->engine;
    dnnl_primitive_desc_t desc = NULL;

    dnnl_status_t status = gemm_onednn_describe(&desc, engine->engine, shape);
    if (status != dnnl_success) {
        return status;
    }
    status = dnnl_primitive_create(&kernel->primitive, desc);
    size_t scratch_size =
        dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
    kernel->argument_count = scratch_size == 0 ? ARGUMENT_SCRATCH : ARGUMENT_COUNT;
    if (status == dnnl_success && !reserve_scratch(engine, scratch_size)) {
        status = dnnl_out_of_memory;
    }
    for (int i = 0; i < engine->threads && status == dnnl_success; i++) {
        for (int j = 0; j < kernel->argument_count && status == dnnl_success; j++) {
            status = dnnl_memory_create(&kernel->thread[i].memory[j],
                                        dnnl_primitive_desc_query_md(desc, arguments[j].query, 0),
                                        engine->engine, DNNL_MEMORY_NONE);
        }
    }
    (void)dnnl_primitive_desc_destroy(desc);
    return status;
}

/* Elements of a stored operand or result of that many rows, gaps between them left out. */
static int64_t wide_elements(const struct gemm_shape *s)
{
    return s->m * s->k + s->k * s->n + (s->result == DTYPE_BF16 ? s->m * s->n : 0);
}

/* The kernel that multiplies widened operands, which lie dense. */
static enum status create_wide(struct gemm_kernel *kernel, struct error *err)
{
    struct gemm_engine *engine = kernel->engine;
    const struct gemm_shape *s = &kernel->shape;
    struct gemm_shape wide = *s;
    wide.operands = DTYPE_FP32;
    wide.result = DTYPE_FP32;
    wide.lda = s->transpose_a ? s->m : s->k;
    wide.ldb = s->transpose_b ? s->k : s->n;
    wide.ldc = s->result == DTYPE_BF16 ? s->n : s->ldc;

    const size_t size = (size_t)wide_elements(s) * sizeof(float);
    for (int i = 0; i < engine->threads; i++) {
        if (!memory_reserve(&engine->thread[i].wide, size)) {
            return error_set(err, STATUS_NO_MEMORY, "gemm: no memory for wide operands");
        }
    }
    return gemm_kernel_create(&kernel->wide, engine, &wide, err);
}

enum status gemm_kernel_create(struct gemm_kernel **out, struct gemm_engine *engine,
                               const struct gemm_shape *shape, struct error *err)
{
    struct gemm_kernel *kernel =
        sys_calloc(1, sizeof *kernel + (size_t)engine->threads * sizeof kernel->thread[0]);
    if (kernel == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "gemm: no memory for a kernel");
    }
    kernel->engine = engine;
    kernel->shape = *shape;
    if (shape->operands == DTYPE_BF16 && !gemm_engine_has_bf16()) {
        enum status wide = create_wide(kernel, err);
        if (wide) {
            free(kernel);
            return wide;
        }
        *out = kernel;
        return STATUS_OK;
    }

    /* A primitive is made for as many threads as OpenMP would use where it is made. */
    int threads_before = omp_get_max_threads();
    omp_set_num_threads(1);
    dnnl_status_t status = kernel_fill(kernel, shape);
    omp_set_num_threads(threads_before);
    if (status != dnnl_success) {
        gemm_kernel_destroy(kernel);
        return error_from_dnnl(err, status, "matmul");
    }
    *out = kernel;
    return STATUS_OK;
}

void gemm_kernel_destroy(struct gemm_kernel *kernel)
{
    if (kernel == NULL) {
        return;
    }
    for (int i = 0; i < kernel->engine->threads; i++) {
        for (int j = 0; j < ARGUMENT_COUNT; j++) {
            if (kernel->thread[i].memory[j] != NULL) {
                (void)dnnl_memory_destroy(kernel->thread[i].memory[j]);
            }
        }
    }
    gemm_kernel_destroy(kernel->wide);
    if (kernel->primitive != NULL) {
        (void)dnnl_primitive_destroy(kernel->primitive);
    }
    free(kernel);
}

/* out[rows,columns] <- x, whose rows are ld apart. */
static float *widen(float *out, const uint16_t *x, int64_t rows, int64_t columns, int64_t ld)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            out[i * columns + j] = bf16_widen(x[i * ld + j]);
        }
    }
    return out + rows * columns;
}

static bool run_wide(struct gemm_kernel *kernel, int thread, void *c, const uint16_t *a,
                     const uint16_t *b)
{
    const struct gemm_shape *s = &kernel->shape;
    float *wide_a = kernel->engine->thread[thread].wide.data;
    float *wide_b = s->transpose_a ? widen(wide_a, a, s->k, s->m, s->lda)
                                   : widen(wide_a, a, s->m, s->k, s->lda);
    float *wide_c = s->transpose_b ? widen(wide_b, b, s->n, s->k, s->ldb)
                                   : widen(wide_b, b, s->k, s->n, s->ldb);
    if (s->result == DTYPE_FP32) {
        return gemm_kernel_run(kernel->wide, thread, c, wide_a, wide_b);
    }
    if (!gemm_kernel_run(kernel->wide, thread, wide_c, wide_a, wide_b)) {
        return false;
    }
    for (int64_t i = 0; i < s->m; i++) {
        for (int64_t j = 0; j < s->n; j++) {
            ((uint16_t *)c)[i * s->ldc + j] = bf16_round(wide_c[i * s->n + j]);
        }
    }
    return true;
}

bool gemm_kernel_run(struct gemm_kernel *kernel, int thread, void *c, const void *a, const void *b)
{
    if (kernel->wide != NULL) {
        return run_wide(kernel, thread, c, a, b);
    }
    struct engine_thread *own = &kernel->engine->thread[thread];
    struct kernel_thread *objects = &kernel->thread[thread];
    /* oneDNN takes inputs as void * and does not write to them. */
    void *handles[ARGUMENT_COUNT] = {
        [ARGUMENT_A] = (void *)(uintptr_t)a,
        [ARGUMENT_B] = (void *)(uintptr_t)b,
        [ARGUMENT_C] = c,
        [ARGUMENT_SCRATCH] = own->scratch.data,
    };
    dnnl_exec_arg_t args[ARGUMENT_COUNT];

    /* Where the region has one thread oneDNN does not see that it is inside of one; the setting
     * ends with the region. */
    omp_set_num_threads(1);
    for (int j = 0; j < kernel->argument_count; j++) {
        if (dnnl_memory_set_data_handle(objects->memory[j], handles[j]) != dnnl_success) {
            return false;
        }
        args[j] = (dnnl_exec_arg_t){arguments[j].name, objects->memory[j]};
    }
    return dnnl_primitive_execute(kernel->primitive, own->stream, kernel->argument_count, args) ==
           dnnl_success;
}
