#include <math.h>

#include "tests/support/ops.h"

/* MoRA's types 1 to 4, then with zeros for padding, then type 1 with permuted places. */
enum { TYPES = 4, KINDS = 7, PERMUTED = 6 };
static const struct sharing_kind kinds[KINDS] = {
    {.columns = SHARING_COLUMNS_MOD, .rows = SHARING_ROWS_TILE},
    {.columns = SHARING_COLUMNS_BLOCKS, .rows = SHARING_ROWS_INTERLEAVE},
    {.columns = SHARING_COLUMNS_BLOCKS, .rows = SHARING_ROWS_TILE},
    {.columns = SHARING_COLUMNS_MOD, .rows = SHARING_ROWS_INTERLEAVE},
    {.columns = SHARING_COLUMNS_MOD, .rows = SHARING_ROWS_TILE, .zero_pad = true},
    {.columns = SHARING_COLUMNS_MOD, .rows = SHARING_ROWS_INTERLEAVE, .zero_pad = true},
    {.columns = SHARING_COLUMNS_MOD, .rows = SHARING_ROWS_TILE, .zero_pad = true},
};

static int32_t *permutation(int64_t n, uint64_t seed)
{
    int32_t *order = malloc((size_t)n * sizeof *order);
    assert_non_null(order);
    for (int64_t i = 0; i < n; i++) {
        const int64_t other =
            (int64_t)((seed * 2654435761U + (uint64_t)(i * i)) % (uint64_t)(i + 1));
        order[i] = order[other];
        order[other] = (int32_t)i;
    }
    return order;
}

/* The j-th kind for a d × k layer; kind_free gives back what it holds. */
static struct sharing_kind kind_at(size_t j, int64_t d, int64_t k)
{
    struct sharing_kind kind = kinds[j];
    if (j == PERMUTED) {
        kind.column_order = permutation(k, 3);
        kind.row_order = permutation(d, 5);
    }
    return kind;
}

static void kind_free(const struct sharing_kind *kind)
{
    free((void *)(uintptr_t)kind->column_order);
    free((void *)(uintptr_t)kind->row_order);
}

/* Results worked out from the definitions, with M = 1, 2, 3, … row by row. */
struct vectors {
    int64_t d, k, r_hat;
    int type; /* index in kinds */
    double x[7], z[4], y[6];
    double dy[6], dx[6]; /* dy[0] = 0: not given */
};

static const struct vectors vectors[] = {
    {4,
     6,
     4,
     0,
     {1, 2, 3, 4, 5, 6},
     {6, 8, 4, 6},
     {58, 154, 250, 346},
     {1, -1, 2, 0.5},
     {46, 51, 25.5, 28, 20.5, 23}},
    {4,
     6,
     4,
     3,
     {1, 2, 3, 4, 5, 6},
     {6, 8, 4, 6},
     {58, 154, 250, 346},
     {1, -1, 2, 0.5},
     {46, 51, 25.5, 28, 20.5, 23}},
    {4,
     6,
     4,
     1,
     {1, 2, 3, 4, 5, 6},
     {3, 7, 5, 6},
     {56, 140, 224, 308},
     {1, -1, 2, 0.5},
     {20.5, 20.5, 23, 23, 25.5, 28}},
    {4,
     6,
     4,
     2,
     {1, 2, 3, 4, 5, 6},
     {3, 7, 5, 6},
     {56, 140, 224, 308},
     {1, -1, 2, 0.5},
     {20.5, 20.5, 23, 23, 25.5, 28}},
    {6,
     4,
     4,
     0,
     {1, 2, 3, 4},
     {1, 2, 3, 4},
     {30, 70, 110, 150, 30, 70},
     {1, -1, 2, 0.5, 0, 3},
     {35.5, 41, 46.5, 52}},
    {6,
     4,
     4,
     2,
     {1, 2, 3, 4},
     {1, 2, 3, 4},
     {30, 70, 110, 150, 30, 70},
     {1, -1, 2, 0.5, 0, 3},
     {35.5, 41, 46.5, 52}},
    {6,
     4,
     4,
     1,
     {1, 2, 3, 4},
     {1, 2, 3, 4},
     {30, 30, 70, 70, 110, 150},
     {1, -1, 2, 0.5, 0, 3},
     {51.5, 57, 62.5, 68}},
    {6,
     4,
     4,
     3,
     {1, 2, 3, 4},
     {1, 2, 3, 4},
     {30, 30, 70, 70, 110, 150},
     {1, -1, 2, 0.5, 0, 3},
     {51.5, 57, 62.5, 68}},
    {5, 7, 3, 0, {1, 2, 3, 4, 5, 6, 7}, {12, 8, 11}, {61, 154, 247, 61, 154}, {0}, {0}},
    {5, 7, 3, 1, {1, 2, 3, 4, 5, 6, 7}, {6, 9, 13}, {63, 63, 147, 147, 231}, {0}, {0}},
    {5, 7, 3, 2, {1, 2, 3, 4, 5, 6, 7}, {6, 9, 13}, {63, 147, 231, 63, 147}, {0}, {0}},
    {5, 7, 3, 3, {1, 2, 3, 4, 5, 6, 7}, {12, 8, 11}, {61, 61, 154, 154, 247}, {0}, {0}},
    {4,
     6,
     4,
     4,
     {1, 2, 3, 4, 5, 6},
     {6, 8, 3, 4},
     {47, 131, 215, 299},
     {1, -1, 2, 0.5},
     {20.5, 23, 25.5, 28, 20.5, 23}},
    {5, 7, 3, 4, {1, 2, 3, 4, 5, 6, 7}, {12, 7, 9}, {53, 137, 221, 53, 137}, {0}, {0}},
};

static void published_vectors_come_out(void **state)
{
    (void)state;
    double m[16];
    for (int i = 0; i < 16; i++) {
        m[i] = i + 1;
    }
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        const struct vectors *c = &vectors[i];
        const struct sharing_kind kind = kinds[c->type];
        double z[4];
        double y[6] = {0};
        double dx[7] = {0};
        double dm[16] = {0};
        double scratch[32];
        sharing_comp_ref(z, c->x, &kind, 1, c->k, c->r_hat);
        assert_memory_equal(z, c->z, (size_t)c->r_hat * sizeof *z);
        sharing_side_forward_ref(y, scratch, c->x, m, &kind, 1, c->d, c->k, c->r_hat);
        assert_memory_equal(y, c->y, (size_t)c->d * sizeof *y);
        if (c->dy[0] != 0.0) {
            sharing_side_backward_ref(dx, dm, scratch, c->dy, c->x, m, &kind, 1, c->d, c->k,
                                      c->r_hat);
            assert_memory_equal(dx, c->dx, (size_t)c->k * sizeof *dx);
        }
    }
}

static void published_expansions_come_out(void **state)
{
    (void)state;
    static const double type1[24] = {4,  6,  3,  4,  1, 2,  12, 14, 7,  8,  5,  6,
                                     20, 22, 11, 12, 9, 10, 28, 30, 15, 16, 13, 14};
    static const double type2[24] = {1, 1, 2,  2,  3,  4,  5,  5,  6,  6,  7,  8,
                                     9, 9, 10, 10, 11, 12, 13, 13, 14, 14, 15, 16};
    double m[16];
    double e[24];
    for (int i = 0; i < 16; i++) {
        m[i] = i + 1;
    }
    sharing_expand_ref(e, m, &kinds[0], 4, 6, 4);
    assert_memory_equal(e, type1, sizeof e);
    sharing_expand_ref(e, m, &kinds[1], 4, 6, 4);
    assert_memory_equal(e, type2, sizeof e);
}

struct shape {
    int64_t N, d, k, r_hat;
    struct sharing_kind kind;
    enum dtype type;
};

/* Divisible or not, k below, equal to and above d, r_hat at its bounds, and those of llama-9m at
 * r = 20 and 8. */
static const int64_t sizes[][4] = {{1, 1, 1, 1},        {2, 5, 7, 3},       {3, 7, 5, 5},
                                   {4, 16, 16, 1},      {3, 33, 65, 17},    {2, 40, 120, 8},
                                   {5, 384, 128, 72},   {70, 128, 128, 51}, {65, 128, 352, 98},
                                   {64, 200, 128, 128}, {2, 96, 256, 91},   {3, 50, 300, 9}};

/* The operators' defining properties hold in the references. */
static void references_are_adjoint_and_agree_with_the_expansion(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < KINDS; j++) {
            const int64_t d = sizes[i][1];
            const int64_t k = sizes[i][2];
            const int64_t r_hat = sizes[i][3];
            double *x = ops_random(1, k, 1.0);
            double *dy = ops_random(2, d, 1.0);
            double *m = ops_random(3, r_hat * r_hat, 1.0);
            double *e = ops_random(4, d * k, 1.0);
            double *y = calloc((size_t)d, sizeof *y);
            double *expected = calloc((size_t)d, sizeof *y);
            double *dm = calloc((size_t)(r_hat * r_hat), sizeof *dm);
            double *dx = calloc((size_t)k, sizeof *dx);
            double *scratch = calloc((size_t)(3 * r_hat + k), sizeof *scratch);
            const struct sharing_kind kind = kind_at(j, d, k);

            sharing_side_forward_ref(y, scratch, x, m, &kind, 1, d, k, r_hat);
            sharing_expand_ref(e, m, &kind, d, k, r_hat);
            for (int64_t o = 0; o < d; o++) {
                expected[o] = ops_dot(e + o * k, x, k);
                assert_true(fabs(y[o] - expected[o]) <= 1e-10);
            }
            /* <dy, E(M) x> is linear in M and in x: its gradients give it back. */
            sharing_side_backward_ref(dx, dm, scratch, dy, x, m, &kind, 1, d, k, r_hat);
            const double value = ops_dot(dy, y, d);
            assert_true(fabs(ops_dot(dm, m, r_hat * r_hat) - value) <= 1e-9 * (1 + fabs(value)));
            assert_true(fabs(ops_dot(dx, x, k) - value) <= 1e-9 * (1 + fabs(value)));
            free(x);
            free(dy);
            free(m);
            free(e);
            free(y);
            free(expected);
            free(dm);
            free(dx);
            free(scratch);
            kind_free(&kind);
        }
    }
}

/* D^T G C == U^T Z, with D and C as the matrices of decomp and comp: what makes W_eff's gradient
 * that of M. */
static void the_gradient_of_m_is_that_of_the_weight_between_both_operators(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < KINDS; j++) {
            const int64_t d = sizes[i][1];
            const int64_t k = sizes[i][2];
            const int64_t r_hat = sizes[i][3];
            const struct sharing_kind kind = kind_at(j, d, k);
            double *x = ops_random(1, k, 1.0);
            double *dy = ops_random(2, d, 1.0);
            double *m = ops_random(3, r_hat * r_hat, 1.0);
            double *e = ops_random(4, d * k, 1.0);
            double *dm = calloc((size_t)(r_hat * r_hat), sizeof *dm);
            double *dx = calloc((size_t)k, sizeof *dx);
            double *scratch = calloc((size_t)(3 * r_hat + k), sizeof *scratch);
            double inner = 0.0;

            sharing_side_backward_ref(dx, dm, scratch, dy, x, m, &kind, 1, d, k, r_hat);
            sharing_expand_ref(e, m, &kind, d, k, r_hat);
            for (int64_t o = 0; o < d; o++) {
                inner += dy[o] * ops_dot(e + o * k, x, k);
            }
            assert_true(fabs(ops_dot(dm, m, r_hat * r_hat) - inner) <= 1e-9 * (1.0 + fabs(inner)));
            free(x);
            free(dy);
            free(m);
            free(e);
            free(dm);
            free(dx);
            free(scratch);
            kind_free(&kind);
        }
    }
}

static void every_group_has_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < KINDS; j++) {
            const int64_t d = sizes[i][1];
            const int64_t k = sizes[i][2];
            const int64_t r_hat = sizes[i][3];
            const struct sharing_kind kind = kind_at(j, d, k);
            double *ones = calloc((size_t)(d > k ? d : k), sizeof *ones);
            double *sums = calloc((size_t)r_hat, sizeof *sums);
            for (int64_t n = 0; n < (d > k ? d : k); n++) {
                ones[n] = 1.0;
            }
            sharing_comp_ref(sums, ones, &kind, 1, k, r_hat);
            for (int64_t g = 0; g < r_hat; g++) {
                assert_true(sums[g] >= 1.0);
            }
            sharing_decomp_t_ref(sums, ones, &kind, 1, d, r_hat);
            for (int64_t g = 0; g < r_hat; g++) {
                assert_true(sums[g] >= 1.0);
            }
            free(ones);
            free(sums);
            kind_free(&kind);
        }
    }
}

/* Rows of x, gap elements apart. */
static struct ops_tensor spread(struct ops_run *run, const struct ops_tensor *x, int64_t rows,
                                int64_t width, int64_t gap)
{
    struct ops_tensor wide = ops_output_operand(run, rows * (width + gap), x->type);
    for (int64_t n = 0; n < rows; n++) {
        memcpy(dtype_at_mut(wide.data, n * (width + gap), x->type),
               dtype_at(x->data, n * width, x->type), (size_t)width * dtype_bytes(x->type));
    }
    return wide;
}

static void run_compressions(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    for (int64_t gap = 0; gap < 8; gap += 7) {
        struct ops_tensor x = ops_operand(run, s->N * s->k, 1.0, s->type);
        struct ops_tensor dy = ops_operand(run, s->N * s->d, 1.0, s->type);
        struct ops_tensor wide_x = spread(run, &x, s->N, s->k, gap);
        struct ops_tensor wide_dy = spread(run, &dy, s->N, s->d, gap);
        struct ops_tensor z = ops_output_operand(run, s->N * s->r_hat, s->type);
        struct ops_tensor u = ops_output_operand(run, s->N * (s->r_hat + gap), s->type);
        run->backend->op->sharing_comp(run->backend, z.data, wide_x.data, &s->kind, s->N, s->k,
                                       s->r_hat, s->k + gap, s->type);
        run->backend->op->sharing_decomp_t(run->backend, u.data, wide_dy.data, &s->kind, s->N, s->d,
                                           s->r_hat, s->d + gap, s->r_hat + gap, s->type);
        double *dense_u = calloc((size_t)(s->N * s->r_hat), sizeof *dense_u);
        sharing_comp_ref(z.ref, x.ref, &s->kind, s->N, s->k, s->r_hat);
        sharing_decomp_t_ref(dense_u, dy.ref, &s->kind, s->N, s->d, s->r_hat);
        for (int64_t i = 0; i < s->N * s->r_hat; i++) {
            u.ref[i / s->r_hat * (s->r_hat + gap) + i % s->r_hat] = dense_u[i];
        }
        free(dense_u);
        ops_check(run, &z, ops_bound(s->type, 1e-6, 4e-3));
        ops_check_rows(run, &u, s->r_hat, s->r_hat + gap, ops_bound(s->type, 1e-6, 4e-3));
        ops_free(&x);
        ops_free(&dy);
        ops_free(&wide_x);
        ops_free(&wide_dy);
    }
}

static void compressions_agree_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < KINDS; j++) {
            struct shape s = {sizes[i][0],
                              sizes[i][1],
                              sizes[i][2],
                              sizes[i][3],
                              kind_at(j, sizes[i][1], sizes[i][2]),
                              DTYPE_FP32};
            ops_walk(run_compressions, &s);
            s.type = DTYPE_BF16;
            ops_walk(run_compressions, &s);
            kind_free(&s.kind);
        }
    }
}

static int64_t place_of(const int32_t *order, int64_t index)
{
    int64_t place = 0;
    while (order != NULL && order[place] != index) {
        place++;
    }
    return order == NULL ? index : place;
}

/* One weight by the definition, every addition in fp32. volatile keeps each rounding. */
static float weight_by_definition(float w0, const struct sharing_term *terms, int count, int64_t o,
                                  int64_t j, const struct shape *s)
{
    volatile float a = w0;
    for (int i = 0; i < count; i++) {
        const struct sharing_kind kind = terms[i].kind;
        const bool wraps = kind.columns == SHARING_COLUMNS_MOD && !kind.zero_pad;
        const int64_t pad = wraps ? (s->r_hat - s->k % s->r_hat) % s->r_hat : 0;
        const int64_t h = kind.rows == SHARING_ROWS_TILE
                              ? place_of(kind.row_order, o) % s->r_hat
                              : sharing_balanced_group(o, s->d, s->r_hat);
        const int64_t g = kind.columns == SHARING_COLUMNS_MOD
                              ? place_of(kind.column_order, j) % s->r_hat
                              : sharing_balanced_group(j, s->k, s->r_hat);
        const int64_t at[2] = {h * s->r_hat + g, h * s->r_hat + (s->k + j) % s->r_hat};
        volatile float t[2];
        for (int part = 0; part < 2; part++) {
            t[part] = terms[i].sum != NULL ? terms[i].sum[at[part]] : terms[i].adapter[at[part]];
            if (terms[i].sum != NULL && terms[i].adapter != NULL) {
                t[part] = t[part] + terms[i].adapter[at[part]];
            }
        }
        volatile float e = t[0];
        if (j < pad) {
            e = t[0] + t[1];
        }
        a = a + e;
    }
    return a;
}

static void check_weight(struct ops_run *run, const struct sharing_term *terms, int count,
                         const float *w0, const struct shape *s)
{
    struct ops_tensor w = ops_output(run, s->d * s->k);
    run->backend->op->sharing_weight(run->backend, w.fast, w0, terms, count, s->d, s->k, s->r_hat);
    for (int64_t o = 0; o < s->d && run->is_compared; o++) {
        for (int64_t j = 0; j < s->k; j++) {
            const float expected = weight_by_definition(w0[o * s->k + j], terms, count, o, j, s);
            assert_memory_equal(&w.fast[o * s->k + j], &expected, sizeof expected);
        }
    }
    for (int64_t i = 0; i < s->d * s->k; i++) {
        w.ref[i] = (double)w.fast[i];
    }
    ops_check(run, &w, 0.0); /* the other runs: the same bits */
}

static void run_weight(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    const int64_t n = s->r_hat * s->r_hat;
    struct ops_tensor w0 = ops_input(run, s->d * s->k, 1.0);
    struct ops_tensor sum1 = ops_input(run, n, 0.7);
    struct ops_tensor sum2 = ops_input(run, n, 0.6);
    struct ops_tensor adapter = ops_input(run, n, 0.3);
    struct sharing_term terms[3] = {
        {.kind = kinds[0], .sum = sum1.fast, .adapter = adapter.fast},
        {.kind = kinds[1], .sum = sum2.fast},
        {.kind = s->kind, .adapter = adapter.fast},
    };
    check_weight(run, terms, 0, w0.fast, s);
    check_weight(run, terms + 2, 1, w0.fast, s);
    check_weight(run, terms, s->kind.row_order == NULL ? 3 : 2, w0.fast, s);

    /* A merge: S := fl(S + M), M := 0 and active in the other kind. Not a bit changes. */
    struct ops_tensor before = ops_output(run, s->d * s->k);
    struct ops_tensor zero = ops_input(run, n, 0.0);
    run->backend->op->sharing_weight(run->backend, before.fast, w0.fast, terms, 2, s->d, s->k,
                                     s->r_hat);
    run->backend->op->add(run->backend, sum1.fast, sum1.fast, adapter.fast, n);
    terms[0].adapter = NULL;
    terms[1].adapter = zero.fast;
    run->backend->op->sharing_weight(run->backend, w0.fast, w0.fast, terms, 2, s->d, s->k,
                                     s->r_hat);
    assert_memory_equal(w0.fast, before.fast, (size_t)(s->d * s->k) * sizeof(float));
    ops_free(&w0);
    ops_free(&sum1);
    ops_free(&sum2);
    ops_free(&adapter);
    ops_free(&before);
    ops_free(&zero);
}

static void weights_are_bit_exact_at_every_level_and_across_a_merge(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t j = 0; j < KINDS; j++) {
            struct shape s = {sizes[i][0],
                              sizes[i][1],
                              sizes[i][2],
                              sizes[i][3],
                              kind_at(j, sizes[i][1], sizes[i][2]),
                              DTYPE_FP32};
            ops_walk(run_weight, &s);
            kind_free(&s.kind);
        }
    }
}

enum { N = 3, D = 7, K = 11, R_HAT = 4 };

struct problem {
    double x[N * K], m[R_HAT * R_HAT], dy[N * D];
    struct sharing_kind kind;
};

static double loss(void *context)
{
    struct problem *p = context;
    double y[N * D] = {0};
    double scratch[N * 2 * R_HAT];
    sharing_side_forward_ref(y, scratch, p->x, p->m, &p->kind, N, D, K, R_HAT);
    return ops_dot(y, p->dy, N * D);
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    for (size_t j = 0; j < KINDS; j++) {
        struct problem p = {.kind = kind_at(j, D, K)};
        double dx[N * K] = {0};
        double dm[R_HAT * R_HAT] = {0};
        double scratch[N * (3 * R_HAT + K)];
        double *values = ops_random(1, N * K + R_HAT * R_HAT + N * D, 1.0);
        memcpy(&p, values, offsetof(struct problem, kind));
        sharing_side_backward_ref(dx, dm, scratch, p.dy, p.x, p.m, &p.kind, N, D, K, R_HAT);
        ops_check_gradient(dx, p.x, N * K, loss, &p, 1e-6);
        ops_check_gradient(dm, p.m, R_HAT * R_HAT, loss, &p, 1e-6);
        free(values);
        kind_free(&p.kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_come_out),
        cmocka_unit_test(published_expansions_come_out),
        cmocka_unit_test(references_are_adjoint_and_agree_with_the_expansion),
        cmocka_unit_test(the_gradient_of_m_is_that_of_the_weight_between_both_operators),
        cmocka_unit_test(every_group_has_members),
        cmocka_unit_test(compressions_agree_with_the_reference),
        cmocka_unit_test(weights_are_bit_exact_at_every_level_and_across_a_merge),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
