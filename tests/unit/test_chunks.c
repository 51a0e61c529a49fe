#include <math.h>

#include "tests/support/ops.h"

/* Vectors worked out from the definitions, with M = 1, 2, 3, … row by row and r_hat = 4. */
struct vectors {
    int64_t d, k;
    enum chunks_turn turn;
    double x[6], y[10];
    double dy[10], dx[6]; /* dy[0] = 0: not given */
};

static const struct vectors vectors[] = {
    {4,
     6,
     CHUNKS_TURN_NONE,
     {1, 2, 3, 4, 5, 6},
     {30, 70, 110, 150},
     {1, -1, 2, 0.5},
     {20.5, 23, 25.5, 28, 0, 0}},
    {4,
     6,
     CHUNKS_TURN_HALF,
     {1, 2, 3, 4, 5, 6},
     {30, 70, 110, 150},
     {1, -1, 2, 0.5},
     {20.5, 23, 25.5, 28, 0, 0}},
    {6,
     4,
     CHUNKS_TURN_NONE,
     {1, 2, 3, 4},
     {30, 70, 110, 150, 30, 70},
     {1, -1, 2, 0.5, 0, 3},
     {35.5, 41, 46.5, 52}},
    {6,
     6,
     CHUNKS_TURN_HALF,
     {1, 2, 3, 4, 5, 6},
     {30, 70, 110, 150, 36.302009, 94.891197},
     {1, -1, 2, 0.5, 0, 3},
     {19.224284, 46.818803, 25.5, 28, 25.775425, 18.239096}},
    {10,
     6,
     CHUNKS_TURN_HALF,
     {1, 2, 3, 4, 5, 6},
     {30, 70, 110, 150, 36.302009, 94.891197, 153.480386, 212.069574, 30, 70},
     {1, -1, 2, 0.5, 0, 3, 0, 0, 1, 1},
     {25.224284, 54.818803, 35.5, 40, 25.775425, 18.239096}},
    {10,
     6,
     CHUNKS_TURN_NONE,
     {1, 2, 3, 4, 5, 6},
     {30, 70, 110, 150, 28, 84, 140, 196, 30, 70},
     {0},
     {0}},
};

static void assert_near(const double *actual, const double *expected, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!(fabs(actual[i] - expected[i]) < 1e-6)) {
            fail_msg("element %lld is %.9g, not %.9g", (long long)i, actual[i], expected[i]);
        }
    }
}

static void published_vectors_come_out(void **state)
{
    (void)state;
    double m[16];
    for (int i = 0; i < 16; i++) {
        m[i] = i + 1;
    }
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct vectors *c = &vectors[i];
        const struct chunks chunks = {.d = c->d, .k = c->k, .r_hat = 4, .turn = c->turn};
        double y[10] = {0};
        double dx[6] = {0};
        double dm[16] = {0};
        double scratch[16];
        chunks_side_forward_ref(y, scratch, c->x, m, &chunks, 1);
        assert_near(y, c->y, c->d);
        if (c->dy[0] != 0.0) {
            chunks_side_backward_ref(dx, dm, scratch, c->dy, c->x, m, &chunks, 1);
            assert_near(dx, c->dx, c->k);
        }
    }
}

static void the_published_gradient_and_expansion_come_out(void **state)
{
    (void)state;
    static const double expected_dm[16] = {2, 4, 6, 8, 5.580122, 17.939101, 14.242972, 6.179697,
                                           2, 4, 6, 8, 0.5,      1,         1.5,       2};
    static const double row_4[6] = {0.779436, 3.979800, 0, 0, 3.064715, 2.039899};
    const struct vectors *c = &vectors[4];
    struct chunks chunks = {.d = 10, .k = 6, .r_hat = 4, .turn = CHUNKS_TURN_HALF};
    double m[16];
    double e[60];
    double dm[16] = {0};
    double dx[6] = {0};
    double scratch[16];
    for (int i = 0; i < 16; i++) {
        m[i] = i + 1;
    }
    chunks_side_backward_ref(dx, dm, scratch, c->dy, c->x, m, &chunks, 1);
    assert_near(dm, expected_dm, 16);
    chunks.d = 6;
    chunks_expand_ref(e, scratch, m, &chunks);
    assert_near(e + 4 * 6, row_4, 6);
}

/* a_1 of [5, 6, 1, 2], read through matrices that pick one element each. */
static void both_pairings_turn_as_published(void **state)
{
    (void)state;
    static const double x[6] = {1, 2, 3, 4, 5, 6};
    static const double expected[2][4] = {{1.860041, 5.979700, 4.747657, 2.059899},
                                          {-2.347314, 7.449169, 0.979950, 2.009900}};
    for (int pairing = 0; pairing < 2; pairing++) {
        const struct chunks chunks = {.d = 8,
                                      .k = 6,
                                      .r_hat = 4,
                                      .turn = pairing == 0 ? CHUNKS_TURN_HALF
                                                           : CHUNKS_TURN_INTERLEAVED};
        double identity[16] = {0};
        double y[8] = {0};
        double scratch[8];
        for (int i = 0; i < 4; i++) {
            identity[5 * i] = 1.0;
        }
        chunks_side_forward_ref(y, scratch, x, identity, &chunks, 1);
        assert_near(y, x, 4);
        assert_near(y + 4, expected[pairing], 4);
    }
}

/* With fold, every input reaches an output. */
static void fold_reads_every_input(void **state)
{
    (void)state;
    for (int fold = 0; fold < 2; fold++) {
        const struct chunks chunks = {
            .d = 9, .k = 31, .r_hat = 4, .turn = CHUNKS_TURN_HALF, .fold = fold == 1};
        double *m = ops_random(1, 16, 1.0);
        double *e = calloc(9 * 31, sizeof *e);
        double scratch[4];
        int64_t unread = 0;
        chunks_expand_ref(e, scratch, m, &chunks);
        for (int64_t j = 0; j < 31; j++) {
            double column = 0.0;
            for (int64_t o = 0; o < 9; o++) {
                column += fabs(e[o * 31 + j]);
            }
            unread += column == 0.0;
        }
        assert_int_equal(unread, fold == 1 ? 0 : 31 - 12);
        assert_int_equal(chunks_used(&chunks), 3);
        free(m);
        free(e);
    }
}

/* Divisible or not; k below, equal to and above d; r_hat at its bounds and as of llama-9m. */
static const int64_t sizes[][4] = {{1, 2, 2, 2},       {2, 5, 7, 2},       {3, 7, 5, 4},
                                   {4, 16, 16, 16},    {3, 33, 65, 16},    {2, 40, 120, 8},
                                   {5, 384, 128, 72},  {70, 128, 128, 46}, {65, 128, 352, 62},
                                   {64, 352, 128, 62}, {3, 50, 300, 10},   {2, 300, 50, 10}};

/* Every combination of turn, padding and fold. */
enum { FORMS = 12 };

struct form {
    int64_t N;
    struct chunks chunks;
    enum dtype type; /* of operands */
};

static struct form form_at(size_t size, int form)
{
    return (struct form){.N = sizes[size][0],
                         .chunks = {.d = sizes[size][1],
                                    .k = sizes[size][2],
                                    .r_hat = sizes[size][3],
                                    .turn = (enum chunks_turn)(form % 3),
                                    .zero_pad = form / 3 % 2 == 1,
                                    .fold = form / 6 == 1}};
}

static void references_are_adjoint_and_agree_with_the_expansion(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int j = 0; j < FORMS; j++) {
            const struct chunks chunks = form_at(i, j).chunks;
            const int64_t square = chunks.r_hat * chunks.r_hat;
            double *x = ops_random(1, chunks.k, 1.0);
            double *dy = ops_random(2, chunks.d, 1.0);
            double *m = ops_random(3, square, 1.0);
            double *e = calloc((size_t)(chunks.d * chunks.k), sizeof *e);
            double *y = calloc((size_t)chunks.d, sizeof *y);
            double *dm = calloc((size_t)square, sizeof *dm);
            double *dx = calloc((size_t)chunks.k, sizeof *dx);
            double *scratch = calloc((size_t)(4 * chunks.r_hat), sizeof *scratch);

            chunks_side_forward_ref(y, scratch, x, m, &chunks, 1);
            chunks_expand_ref(e, scratch, m, &chunks);
            for (int64_t o = 0; o < chunks.d; o++) {
                assert_true(fabs(y[o] - ops_dot(e + o * chunks.k, x, chunks.k)) <= 1e-10);
            }
            chunks_side_backward_ref(dx, dm, scratch, dy, x, m, &chunks, 1);
            const double value = ops_dot(dy, y, chunks.d);
            assert_true(fabs(ops_dot(dm, m, square) - value) <= 1e-9 * (1 + fabs(value)));
            assert_true(fabs(ops_dot(dx, x, chunks.k) - value) <= 1e-9 * (1 + fabs(value)));
            free(x);
            free(dy);
            free(m);
            free(e);
            free(y);
            free(dm);
            free(dx);
            free(scratch);
        }
    }
}

/* The tables of angles; the caller frees them. */
static void take_angles(struct chunks *chunks, float **memory)
{
    const int64_t half = chunks_in(chunks) * (chunks->r_hat / 2);
    *memory = calloc((size_t)(2 * half), sizeof **memory);
    assert_non_null(*memory);
    chunks_angles(*memory, *memory + half, chunks_in(chunks), chunks->r_hat);
    chunks->cosine = *memory;
    chunks->sine = *memory + half;
}

/* dM from z and u, chunk by chunk, is that of the reference. */
static void run_gradient(struct ops_run *run, const void *context)
{
    const struct form *form = context;
    struct chunks chunks = form->chunks;
    const int64_t r_hat = chunks.r_hat;
    const int64_t rows = form->N * chunks_used(&chunks);
    const enum dtype type = form->type;
    struct ops_tensor x = ops_operand(run, form->N * chunks.k, 1.0, type);
    struct ops_tensor dy = ops_operand(run, form->N * chunks.d, 1.0, type);
    struct ops_tensor z = ops_output_operand(run, rows * r_hat, type);
    struct ops_tensor u = ops_output_operand(run, rows * 2 * r_hat, type);
    struct ops_tensor dm = ops_output(run, r_hat * r_hat);
    float *angles = NULL;
    const struct gemm_shape shape = {
        .m = r_hat, .n = r_hat, .k = rows, .lda = 2 * r_hat, .transpose_a = true, .operands = type};

    take_angles(&chunks, &angles);
    void *second = dtype_at_mut(u.data, r_hat, type);
    run->backend->op->chunks_comp(run->backend, z.data, x.data, &chunks, form->N, chunks.k, type);
    run->backend->op->chunks_decomp_t(run->backend, second, dy.data, &chunks, form->N, chunks.d,
                                      2 * r_hat, type);
    run->backend->op->gemm(run->backend, dm.fast, second, z.data, &shape);

    double *m = calloc((size_t)(r_hat * r_hat), sizeof *m);
    double *dx = calloc((size_t)(form->N * chunks.k), sizeof *dx);
    double *scratch = calloc((size_t)(4 * r_hat), sizeof *scratch);
    if (run->is_compared) {
        chunks_side_backward_ref(dx, dm.ref, scratch, dy.ref, x.ref, m, &chunks, form->N);
    }
    ops_check(run, &dm, ops_bound(type, 2e-6, 8e-3));
    free(m);
    free(dx);
    free(scratch);
    free(angles);
    ops_free(&x);
    ops_free(&dy);
    ops_free(&z);
    ops_free(&u);
}

static void run_weight(struct ops_run *run, const void *context)
{
    const struct form *form = context;
    struct chunks chunks = form->chunks;
    const int64_t elements = chunks.d * chunks.k;
    const int64_t square = chunks.r_hat * chunks.r_hat;
    struct ops_tensor w0 = ops_input(run, elements, 1.0);
    struct ops_tensor sum = ops_input(run, square, 0.5);
    struct ops_tensor adapter = ops_input(run, square, 0.5);
    struct ops_tensor w = ops_output(run, elements);
    float *before = malloc((size_t)elements * sizeof *before);
    float *angles = NULL;

    take_angles(&chunks, &angles);
    run->backend->op->chunks_weight(run->backend, w.fast, w0.fast, sum.fast, adapter.fast, &chunks);
    memcpy(before, w.fast, (size_t)elements * sizeof *before);
    if (run->is_compared) {
        double *t = calloc((size_t)(square + chunks.r_hat), sizeof *t);
        for (int64_t i = 0; i < square; i++) {
            t[i] = sum.ref[i] + adapter.ref[i];
        }
        chunks_expand_ref(w.ref, t + square, t, &chunks);
        for (int64_t i = 0; i < elements; i++) {
            w.ref[i] += w0.ref[i];
        }
        free(t);
    }
    ops_check(run, &w, 1e-6);

    /* A merge: S := fl(S + M), M := 0. Not a bit changes, in place or not. */
    run->backend->op->add(run->backend, sum.fast, sum.fast, adapter.fast, square);
    run->backend->op->zero(run->backend, adapter.fast, square);
    run->backend->op->chunks_weight(run->backend, w0.fast, w0.fast, sum.fast, adapter.fast,
                                    &chunks);
    assert_memory_equal(before, w0.fast, (size_t)elements * sizeof *before);
    free(before);
    free(angles);
    ops_free(&w0);
    ops_free(&sum);
    ops_free(&adapter);
}

static void kernels_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int j = 0; j < FORMS; j++) {
            struct form form = form_at(i, j);
            ops_walk(run_gradient, &form);
            ops_walk(run_weight, &form);
            form.type = DTYPE_BF16;
            ops_walk(run_gradient, &form);
        }
    }
}

enum { N = 2, D = 7, K = 17, R_HAT = 4 };

struct problem {
    double x[N * K], m[R_HAT * R_HAT], dy[N * D];
    struct chunks chunks;
};

static double loss(void *context)
{
    struct problem *p = context;
    double y[N * D] = {0};
    double scratch[2 * R_HAT];
    chunks_side_forward_ref(y, scratch, p->x, p->m, &p->chunks, N);
    return ops_dot(y, p->dy, N * D);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    for (int j = 0; j < FORMS; j++) {
        struct problem p = {.chunks = form_at(0, j).chunks};
        double dx[N * K] = {0};
        double dm[R_HAT * R_HAT] = {0};
        double scratch[4 * R_HAT];
        double *values = ops_random(1, N * K + R_HAT * R_HAT + N * D, 1.0);
        memcpy(&p, values, offsetof(struct problem, chunks));
        p.chunks.d = D;
        p.chunks.k = K;
        p.chunks.r_hat = R_HAT;
        chunks_side_backward_ref(dx, dm, scratch, p.dy, p.x, p.m, &p.chunks, N);
        ops_check_gradient(dx, p.x, N * K, loss, &p, 1e-6);
        ops_check_gradient(dm, p.m, R_HAT * R_HAT, loss, &p, 1e-6);
        free(values);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_come_out),
        cmocka_unit_test(the_published_gradient_and_expansion_come_out),
        cmocka_unit_test(both_pairings_turn_as_published),
        cmocka_unit_test(fold_reads_every_input),
        cmocka_unit_test(references_are_adjoint_and_agree_with_the_expansion),
        cmocka_unit_test(kernels_agree_with_the_reference),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
