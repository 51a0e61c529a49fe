/*
 * bench_ops — speed of every operation at shapes of real models: GFLOP/s of what multiplies
 * matrices, GB/s of what only moves memory (bytes that must move, once each), beside memcpy.
 *
 *     bench_ops [THREADS [DTYPE [NAME]]]     DTYPE: of operands, fp32 or bf16; NAME: only
 * operations whose name contains it
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"
#include "worker/ops/backend.h"

/* Repeated until this long has passed; the fastest repetition counts. */
#define REPEAT_NS 200000000

struct bench {
    struct backend *backend;
    const char *filter;
    enum dtype type; /* of operands */
};

/* What an operation works on: pages that are there, filled with small numbers. */
static float *tensor(const struct bench *bench, int64_t count)
{
    void *data = NULL;
    struct error err;
    if (backend_allocate(bench->backend, &data, (size_t)count * sizeof(float), &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    /* Every half-word is the upper half of a small number, so the whole is one as well. */
    uint16_t *values = data;
    uint32_t state = 12345;
    for (int64_t i = 0; i < 2 * count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = (uint16_t)(0x3C00 | (state >> 16 & 0x80FF));
    }
    return data;
}

/* x[0 … 7]: what the operation reads and writes; extents as each names them. */
struct work {
    float *x[8];
    int64_t count[8];
    uint32_t *tokens;
    int64_t a, b, c, d;
    enum dtype type;
    struct gemm_shape gemm;
    struct attention_shape attention;
};

typedef void bench_fn(struct backend *backend, struct work *work);

static void report(const struct bench *bench, const char *name, double gflop, double gbyte,
                   bench_fn *run, struct work *work)
{
    if (bench->filter != NULL && strstr(name, bench->filter) == NULL) {
        return;
    }
    work->type = bench->type;
    work->gemm.operands = bench->type;
    work->attention.type = bench->type;
    for (int i = 0; i < 8; i++) {
        work->x[i] = work->count[i] == 0 ? NULL : tensor(bench, work->count[i]);
    }
    run(bench->backend, work);

    int64_t best = INT64_MAX;
    const int64_t start = sys_monotonic_ns();
    for (int64_t before = start; before - start < REPEAT_NS;) {
        run(bench->backend, work);
        const int64_t now = sys_monotonic_ns();
        best = now - before < best ? now - before : best;
        before = now;
    }
    const double seconds = (double)best * 1e-9;
    printf("%-44s %9.1f us", name, seconds * 1e6);
    printf(gflop > 0 ? " %8.1f GFLOP/s\n" : " %8.1f GB/s\n", (gflop > 0 ? gflop : gbyte) / seconds);
    for (int i = 0; i < 8; i++) {
        backend_release(bench->backend, work->x[i], (size_t)work->count[i] * sizeof(float));
    }
}

static void run_memcpy(struct backend *backend, struct work *w)
{
    (void)backend;
    memcpy(w->x[0], w->x[1], (size_t)w->count[0] * sizeof(float));
}

static void run_add(struct backend *backend, struct work *w)
{
    backend->op->add(backend, w->x[0], w->x[1], w->x[2], w->count[0]);
}

static void run_sum_squares(struct backend *backend, struct work *w)
{
    double sum;
    backend->op->sum_squares(backend, &sum, w->x[0], w->count[0]);
}

static void run_count(struct backend *backend, struct work *w)
{
    int64_t count;
    backend->op->count_nonzero(backend, &count, w->x[0], w->count[0]);
}

static void run_adamw(struct backend *backend, struct work *w)
{
    static const struct adamw_update update = {
        .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1.0, .step = 10};
    backend->op->adamw_update(backend, w->x[0], w->x[1], w->x[2], w->x[3], w->count[0], &update);
}

static void bench_elementwise(const struct bench *bench)
{
    const int64_t n = (int64_t)1 << 24;
    const double gbyte = (double)n * 4e-9;
    report(bench, "memcpy (1 thread)", 0, 2 * gbyte, run_memcpy, &(struct work){.count = {n, n}});
    report(bench, "add", 0, 3 * gbyte, run_add, &(struct work){.count = {n, n, n}});
    report(bench, "sum_squares", 0, gbyte, run_sum_squares, &(struct work){.count = {n}});
    report(bench, "count_nonzero", 0, gbyte, run_count, &(struct work){.count = {n}});
    report(bench, "adamw_update", 0, 7 * gbyte, run_adamw, &(struct work){.count = {n, n, n, n}});
}

static void run_gemm(struct backend *backend, struct work *w)
{
    backend->op->gemm(backend, w->x[0], w->x[1], w->x[2], &w->gemm);
}

static void bench_gemm(const struct bench *bench)
{
    static const struct {
        int64_t m, n, k;
        const char *transposes;
    } shapes[] = {
        /* llama-9m, 8 x 256 tokens: q|k|v, gate|up, down; dx; dw; adapters (r = 20, 8) */
        {2048, 384, 128, "NT"},
        {2048, 128, 128, "NT"},
        {2048, 704, 128, "NT"},
        {2048, 128, 352, "NT"},
        {2048, 128, 384, "NN"},
        {2048, 352, 128, "NN"},
        {2048, 128, 704, "NN"},
        {384, 128, 2048, "TN+"},
        {128, 352, 2048, "TN+"},
        {72, 72, 2048, "TN+"},
        {98, 98, 2048, "TN+"},
        {45, 45, 2048, "TN+"},
        {256, 4096, 128, "NT"},
        {256, 128, 4096, "NN"},
        {4096, 128, 256, "TN+"},
        /* llama-250m, 4 x 512 tokens */
        {2048, 2560, 768, "NT"},
        {4096, 768, 2560, "NN"},
        {2560, 768, 2048, "TN+"},
        {768, 768, 2048, "TN+"},
        {443, 443, 2048, "TN+"},
        {256, 32000, 768, "NT"},
        {32000, 768, 256, "TN+"},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t m = shapes[i].m;
        const int64_t n = shapes[i].n;
        const int64_t k = shapes[i].k;
        char name[64];
        (void)snprintf(name, sizeof name, "gemm %lld x %lld x %lld %s", (long long)m, (long long)n,
                       (long long)k, shapes[i].transposes);
        report(bench, name, 2e-9 * (double)m * (double)n * (double)k, 0, run_gemm,
               &(struct work){.count = {m * n, m * k, k * n},
                              .gemm = {.m = m,
                                       .n = n,
                                       .k = k,
                                       .transpose_a = shapes[i].transposes[0] == 'T',
                                       .transpose_b = shapes[i].transposes[1] == 'T',
                                       .accumulate = shapes[i].transposes[2] == '+'}});
    }
}

static void run_rmsnorm(struct backend *backend, struct work *w)
{
    backend->op->rmsnorm_forward(backend, w->x[0], w->x[1], NULL, w->x[2], NULL, w->x[3], w->a,
                                 w->b, 1e-6f, w->type);
}

static void run_rmsnorm_backward(struct backend *backend, struct work *w)
{
    backend->op->rmsnorm_backward(backend, w->x[0], w->x[6], w->x[1], w->x[2], w->x[3], w->x[4],
                                  w->x[5], w->a, w->b, true, w->type);
}

static void run_swiglu(struct backend *backend, struct work *w)
{
    backend->op->swiglu_forward(backend, w->x[0], w->x[1], dtype_at(w->x[1], w->b, w->type), w->a,
                                w->b, 2 * w->b, w->type);
}

static void run_swiglu_backward(struct backend *backend, struct work *w)
{
    backend->op->swiglu_backward(backend, w->x[0], dtype_at_mut(w->x[0], w->b, w->type), w->x[1],
                                 w->x[2], dtype_at(w->x[2], w->b, w->type), w->a, w->b, 2 * w->b,
                                 w->type);
}

static void run_rope(struct backend *backend, struct work *w)
{
    backend->op->rope_forward(backend, w->x[0], w->x[1], w->x[2], w->a, w->b, w->c, w->d,
                              3 * w->c * w->d, w->type);
}

static void run_comp(struct backend *backend, struct work *w)
{
    const struct sharing_kind kind = {.columns = (enum sharing_columns)w->d};
    backend->op->sharing_comp(backend, w->x[0], w->x[1], &kind, w->a, w->b, w->c, w->b, w->type);
}

static void run_weight(struct backend *backend, struct work *w)
{
    const struct sharing_term terms[2] = {
        {{.columns = SHARING_COLUMNS_MOD, .rows = SHARING_ROWS_TILE}, w->x[2], w->x[3]},
        {{.columns = SHARING_COLUMNS_BLOCKS, .rows = SHARING_ROWS_INTERLEAVE}, w->x[4], NULL},
    };
    backend->op->sharing_weight(backend, w->x[0], w->x[1], terms, 2, w->a, w->b, w->c);
}

static void run_chunks_comp(struct backend *backend, struct work *w)
{
    const struct chunks chunks = {.d = w->d,
                                  .k = w->b,
                                  .r_hat = w->c,
                                  .turn = CHUNKS_TURN_HALF,
                                  .cosine = w->x[2],
                                  .sine = w->x[3]};
    backend->op->chunks_comp(backend, w->x[0], w->x[1], &chunks, w->a, w->b, w->type);
}

static void run_chunks_weight(struct backend *backend, struct work *w)
{
    const struct chunks chunks = {.d = w->a,
                                  .k = w->b,
                                  .r_hat = w->c,
                                  .turn = CHUNKS_TURN_HALF,
                                  .cosine = w->x[3],
                                  .sine = w->x[4]};
    backend->op->chunks_weight(backend, w->x[0], w->x[1], NULL, w->x[2], &chunks);
}

static void run_normalise_rows(struct backend *backend, struct work *w)
{
    backend->op->normalise_rows(backend, w->x[0], w->x[1], w->x[2], w->a, w->b);
}

/* N tokens of a model with hidden_size C, intermediate_size F, H heads. */
static void bench_layers(const struct bench *bench, int64_t N, int64_t T, int64_t C, int64_t F,
                         int64_t H)
{
    const double values = (double)N * (double)dtype_bytes(bench->type) * 1e-9;
    const int64_t r_hat = C * 9 / 16;
    const int64_t square = r_hat * r_hat;
    printf("-- %lld tokens, C = %lld, F = %lld\n", (long long)N, (long long)C, (long long)F);
    report(bench, "rmsnorm_forward", 0, 2 * (double)C * values, run_rmsnorm,
           &(struct work){.count = {N * C, N, N * C, C}, .a = N, .b = C});
    report(bench, "rmsnorm_backward", 0, 4 * (double)C * values, run_rmsnorm_backward,
           &(struct work){.count = {N * C, C, N * C, N * C, N, C, N * C}, .a = N, .b = C});
    report(bench, "rope_forward", 0, 2 * (double)C * values, run_rope,
           &(struct work){.count = {N * C * 3, T * C / H / 2, T * C / H / 2},
                          .a = N,
                          .b = T,
                          .c = H,
                          .d = C / H});
    report(bench, "swiglu_forward", 0, 3 * (double)F * values, run_swiglu,
           &(struct work){.count = {N * F, N * F * 2}, .a = N, .b = F});
    report(bench, "swiglu_backward", 0, 5 * (double)F * values, run_swiglu_backward,
           &(struct work){.count = {N * F * 2, N * F, N * F * 2}, .a = N, .b = F});
    for (int columns = 0; columns < 2; columns++) {
        report(
            bench, columns == 0 ? "sharing_comp mod" : "sharing_comp blocks", 0,
            (double)(F + r_hat) * values, run_comp,
            &(struct work){.count = {N * r_hat, N * F}, .a = N, .b = F, .c = r_hat, .d = columns});
    }
    report(bench, "sharing_weight, 2 kinds", 0, 2 * (double)(C * F) * 4e-9, run_weight,
           &(struct work){
               .count = {C * F, C * F, square, square, square}, .a = F, .b = C, .c = r_hat});
    const int64_t few = C * 9 / 64 * 2 / 2 * 2; /* even: an r_hat as of r = 8 */
    report(bench, "chunks_comp, rotation", 0, 2 * (double)C * values, run_chunks_comp,
           &(struct work){
               .count = {N * 2 * C, N * C, 2 * C, 2 * C}, .a = N, .b = C, .c = few, .d = F});
    report(
        bench, "chunks_weight, rotation", 0, 2 * (double)(C * F) * 4e-9, run_chunks_weight,
        &(struct work){.count = {C * F, C * F, few * few, 2 * C, 2 * C}, .a = F, .b = C, .c = few});
    report(bench, "normalise_rows", 0, 2 * (double)(C * F) * 4e-9, run_normalise_rows,
           &(struct work){.count = {C * F, F, F}, .a = F, .b = C});
}

static void run_attention(struct backend *backend, struct work *w)
{
    const int64_t C = w->attention.H * w->attention.D;
    backend->op->attention_forward(backend, w->x[0], w->x[1], w->x[2],
                                   dtype_at(w->x[2], C, w->type), dtype_at(w->x[2], 2 * C, w->type),
                                   &w->attention);
}

static void run_attention_backward(struct backend *backend, struct work *w)
{
    const int64_t C = w->attention.H * w->attention.D;
    run_attention(backend, w); /* so that lse fits; its time is in the figure */
    backend->op->attention_backward(
        backend, w->x[3], dtype_at_mut(w->x[3], C, w->type), dtype_at_mut(w->x[3], 2 * C, w->type),
        w->x[4], w->x[2], dtype_at(w->x[2], C, w->type), dtype_at(w->x[2], 2 * C, w->type), w->x[0],
        w->x[1], &w->attention);
}

/* GFLOP/s count the lower triangle only. */
static void bench_attention(const struct bench *bench)
{
    static const int64_t shapes[][4] = {{8, 256, 4, 32}, {8, 256, 8, 48},  {4, 512, 16, 48},
                                        {4, 512, 8, 52}, {1, 2048, 8, 64}, {1, 2048, 4, 128}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t B = shapes[i][0];
        const int64_t T = shapes[i][1];
        const int64_t H = shapes[i][2];
        const int64_t D = shapes[i][3];
        const int64_t n = B * T * H * D;
        const double product = (double)(B * H) * (double)(T * (T + 1) / 2) * 2e-9 * (double)D;
        struct work work = {.count = {n, B * T * H, 3 * n, 3 * n, n},
                            .attention = {.B = B,
                                          .T = T,
                                          .H = H,
                                          .KV = H,
                                          .D = D,
                                          .q_stride = 3 * H * D,
                                          .k_stride = 3 * H * D,
                                          .v_stride = 3 * H * D}};
        char name[64];
        (void)snprintf(name, sizeof name, "attention_forward B%lld T%lld H%lld D%lld", (long long)B,
                       (long long)T, (long long)H, (long long)D);
        report(bench, name, 2 * product, 0, run_attention, &work);
        (void)snprintf(name, sizeof name, "attention forward + backward");
        report(bench, name, 7 * product, 0, run_attention_backward, &work);
    }
}

static void run_head(struct backend *backend, struct work *w)
{
    double loss;
    backend->op->head_loss(backend, &loss, w->x[0], w->x[1], w->tokens, w->a, w->b, w->c, w->type);
}

static void run_head_backward(struct backend *backend, struct work *w)
{
    double loss;
    backend->op->head_loss_backward(backend, &loss, w->x[2], w->x[3], w->x[0], w->x[1], w->tokens,
                                    1e-3f, w->a, w->b, w->c, w->type);
}

static void run_embedding(struct backend *backend, struct work *w)
{
    backend->op->embedding_forward(backend, w->x[0], w->x[1], w->tokens, w->a, w->b);
}

static void run_embedding_backward(struct backend *backend, struct work *w)
{
    backend->op->embedding_backward(backend, w->x[1], w->x[0], w->tokens, w->a, w->b);
}

static void bench_tokens(const struct bench *bench, int64_t N, int64_t C, int64_t V)
{
    struct work work = {
        .count = {N * C, V * C, N * C, V * C},
        .tokens = calloc((size_t)N, sizeof(uint32_t)),
        .a = N,
        .b = C,
        .c = V,
    };
    if (work.tokens == NULL) {
        return;
    }
    for (int64_t n = 0; n < N; n++) {
        work.tokens[n] = (uint32_t)(n * 7919 % V);
    }
    const double product = 2e-9 * (double)N * (double)C * (double)V;
    printf("-- %lld tokens, C = %lld, V = %lld\n", (long long)N, (long long)C, (long long)V);
    report(bench, "embedding_forward", 0, 8e-9 * (double)(N * C), run_embedding, &work);
    report(bench, "embedding_backward", 0, 12e-9 * (double)(N * C), run_embedding_backward, &work);
    report(bench, "head_loss", product, 0, run_head, &work);
    report(bench, "head_loss_backward", 3 * product, 0, run_head_backward, &work);
    free(work.tokens);
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .filter = argc > 3 ? argv[3] : NULL,
        .type = argc > 2 && strcmp(argv[2], "bf16") == 0 ? DTYPE_BF16 : DTYPE_FP32,
    };
    struct error err;
    const int threads = argc > 1 ? atoi(argv[1]) : 2;
    if (backend_cpu_create(&bench.backend, threads, &err)) {
        (void)fprintf(stderr, "bench_ops: %s\n", err.message);
        return status_exit_code(err.status);
    }
    printf("%s, %s, %d threads\n", bench.backend->isa, bench.backend->gemm_library, threads);
    bench_elementwise(&bench);
    bench_gemm(&bench);
    bench_attention(&bench);
    bench_layers(&bench, 2048, 256, 128, 352, 4);
    bench_layers(&bench, 2048, 512, 768, 2560, 16);
    bench_tokens(&bench, 2048, 128, 4096);
    bench_tokens(&bench, 2048, 768, 32000);
    enum status status = backend_finish(bench.backend, &err);
    backend_destroy(bench.backend);
    return status_exit_code(status);
}
