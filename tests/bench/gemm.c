/*
 * remora-bench-gemm — how fast this machine multiplies matrices when nothing else is asked of it:
 * oneDNN as it comes, on whole products with all its threads, and no code of the worker. It is the
 * measure that 'remora-worker bench' holds its steps to.
 *
 *     remora-bench-gemm THREADS
 *
 * Standard input has a line per product, "m n k ta tb accumulate bf16 bf16_result batch", then any
 * number of lines "run REPETITIONS". Each of these is answered by the best time of every product so
 * far, in nanoseconds on a line each; a repetition is measured once another has warmed it up.
 */
#include <inttypes.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PRODUCTS_MAX 64
enum { A, B, C, SCRATCH, ARGUMENT_COUNT };

struct product {
    int64_t m, n, k, batch;
    int transpose_a, transpose_b, accumulate, bf16, bf16_result;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[ARGUMENT_COUNT];
    size_t bytes[ARGUMENT_COUNT];
    int64_t best_ns;
};

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "remora-bench-gemm: %s\n", what);
    exit(1);
}

static void check(dnnl_status_t status, const char *what)
{
    if (status != dnnl_success) {
        die(what);
    }
}

/* op(x) of every product of the batch, [batch,rows,columns], stored dense. */
struct matrix {
    dnnl_dims_t dims, strides;
    dnnl_data_type_t type;
};

static struct matrix matrix(int64_t batch, int64_t rows, int64_t columns, int transpose, int bf16)
{
    return (struct matrix){
        .dims = {batch, rows, columns},
        .strides = {rows * columns, transpose ? 1 : columns, transpose ? rows : 1},
        .type = bf16 ? dnnl_bf16 : dnnl_f32,
    };
}

static dnnl_primitive_attr_t attributes(const struct product *p)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t post_ops = NULL;

    check(dnnl_primitive_attr_create(&attr), "attributes");
    check(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), "scratch");
    if (p->accumulate) {
        check(dnnl_post_ops_create(&post_ops), "post-operations");
#if DNNL_VERSION_MAJOR >= 3
        check(dnnl_post_ops_append_sum(post_ops, 1.0f, 0, dnnl_data_type_undef), "sum");
#else
        check(dnnl_post_ops_append_sum(post_ops, 1.0f), "sum");
#endif
        check(dnnl_primitive_attr_set_post_ops(attr, post_ops), "post-operations");
        (void)dnnl_post_ops_destroy(post_ops);
    }
    return attr;
}

#if DNNL_VERSION_MAJOR >= 3
static dnnl_primitive_desc_t describe(dnnl_engine_t engine, const struct matrix x[3],
                                      dnnl_primitive_attr_t attr)
{
    dnnl_memory_desc_t desc[3];
    dnnl_primitive_desc_t out = NULL;

    for (int i = 0; i < 3; i++) {
        check(dnnl_memory_desc_create_with_strides(&desc[i], 3, x[i].dims, x[i].type, x[i].strides),
              "matrix");
    }
    check(dnnl_matmul_primitive_desc_create(&out, engine, desc[A], desc[B], NULL, desc[C], attr),
          "matmul");
    return out;
}
#else
static dnnl_primitive_desc_t describe(dnnl_engine_t engine, const struct matrix x[3],
                                      dnnl_primitive_attr_t attr)
{
    dnnl_memory_desc_t desc[3];
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_t out = NULL;

    for (int i = 0; i < 3; i++) {
        check(dnnl_memory_desc_init_by_strides(&desc[i], 3, x[i].dims, x[i].type, x[i].strides),
              "matrix");
    }
    check(dnnl_matmul_desc_init(&matmul, &desc[A], &desc[B], NULL, &desc[C]), "matmul");
    check(dnnl_primitive_desc_create(&out, &matmul, attr, engine, NULL), "matmul");
    return out;
}
#endif

static void make(struct product *p, dnnl_engine_t engine)
{
    static const dnnl_query_t queries[ARGUMENT_COUNT] = {
        dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md, dnnl_query_scratchpad_md};
    const struct matrix x[3] = {
        [A] = matrix(p->batch, p->m, p->k, p->transpose_a, p->bf16),
        [B] = matrix(p->batch, p->k, p->n, p->transpose_b, p->bf16),
        [C] = matrix(p->batch, p->m, p->n, 0, p->bf16_result),
    };
    dnnl_primitive_attr_t attr = attributes(p);
    dnnl_primitive_desc_t desc = describe(engine, x, attr);

    check(dnnl_primitive_create(&p->primitive, desc), "primitive");
    for (int i = 0; i < ARGUMENT_COUNT; i++) {
        p->bytes[i] = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, queries[i], 0));
        check(dnnl_memory_create(&p->memory[i], dnnl_primitive_desc_query_md(desc, queries[i], 0),
                                 engine, DNNL_MEMORY_NONE),
              "memory");
    }
    (void)dnnl_primitive_desc_destroy(desc);
    (void)dnnl_primitive_attr_destroy(attr);
    p->best_ns = INT64_MAX;
}

/* Memory for the largest of each argument; the products take turns. */
static void allocate(struct product *products, int count)
{
    for (int i = 0; i < ARGUMENT_COUNT; i++) {
        size_t size = 64;
        for (int j = 0; j < count; j++) {
            size = products[j].bytes[i] > size ? products[j].bytes[i] : size;
        }
        uint16_t *data =
            mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED) {
            die("no memory");
        }
        (void)madvise(data, size, MADV_HUGEPAGE);
        for (size_t e = 0; e < size / sizeof *data; e++) {
            /* Every half-word is the upper half of a small number, so any type is. */
            data[e] = (uint16_t)(0x3C00 + e * 40503 % 256);
        }
        for (int j = 0; j < count; j++) {
            check(dnnl_memory_set_data_handle(products[j].memory[i], data), "memory");
        }
    }
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

static void measure(struct product *p, dnnl_stream_t stream, int repetitions)
{
    const dnnl_exec_arg_t arguments[ARGUMENT_COUNT] = {
        {DNNL_ARG_SRC, p->memory[A]},
        {DNNL_ARG_WEIGHTS, p->memory[B]},
        {DNNL_ARG_DST, p->memory[C]},
        {DNNL_ARG_SCRATCHPAD, p->memory[SCRATCH]},
    };
    for (int i = 0; i <= repetitions; i++) {
        const int64_t start = now_ns();
        check(dnnl_primitive_execute(p->primitive, stream, ARGUMENT_COUNT, arguments), "execute");
        check(dnnl_stream_wait(stream), "wait");
        const int64_t took = now_ns() - start;
        if (i > 0 && took < p->best_ns) {
            p->best_ns = took;
        }
    }
}

int main(int argc, char **argv)
{
    static struct product products[PRODUCTS_MAX];
    char line[256];
    int count = 0;
    int repetitions = 0;
    dnnl_engine_t engine = NULL;
    dnnl_stream_t stream = NULL;

    if (argc != 2 || atoi(argv[1]) < 1) {
        die("usage: remora-bench-gemm THREADS");
    }
    omp_set_num_threads(atoi(argv[1]));
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct product p = {0};
        if (sscanf(line, "run %d", &repetitions) == 1) {
            if (products[0].memory[A] != NULL && products[0].best_ns == INT64_MAX) {
                allocate(products, count);
            }
            for (int i = 0; i < count; i++) {
                measure(&products[i], stream, repetitions);
                (void)printf("%" PRId64 "\n", products[i].best_ns);
            }
            (void)fflush(stdout);
            continue;
        }
        if (sscanf(line, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %d %d %d %d %d %" SCNd64, &p.m, &p.n,
                   &p.k, &p.transpose_a, &p.transpose_b, &p.accumulate, &p.bf16, &p.bf16_result,
                   &p.batch) != 9 ||
            count == PRODUCTS_MAX) {
            die("not a product");
        }
        make(&p, engine);
        products[count++] = p;
    }
    return 0;
}
