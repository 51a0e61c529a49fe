/*
 * Queries are taken in stripes of STRIPE rows. A stripe with rows first … end-1 sees the keys
 * before end, so that nearly half of the T x T products are never formed. Each thread has scratch
 * for a stripe and for the sums of dk and dv. A task of the forward pass is one head of one
 * sequence; one of the backward pass is a key-value head with its query heads, whose shares of dk
 * and dv it adds in order.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "worker/ops/cpu.h"
#include "worker/ops/exp.h"
#include "worker/ops/max.h"

/* 32 to 128 rows are equally fast: what fewer calls gain, more masked products cost. */
enum { STRIPE = 64, VECTOR = 16 };

/* The matrix products of one stripe. */
struct stripe {
    int64_t first, end;
    struct gemm_kernel *scores;                      /* s = q k^T */
    struct gemm_kernel *output;                      /* o = p v */
    struct gemm_kernel *dp, *dq;                     /* dp = do v^T, dq = ds k */
    struct gemm_kernel *dk, *dv;                     /* dk = ds^T q, dv = p^T do */
    struct gemm_kernel *dk_increment, *dv_increment; /* the same, added */
};

/* Of one thread. In fp32 p lies where s was, and ds where dp was. */
struct scratch {
    float *s, *dp;  /* [STRIPE,row] */
    void *p, *ds;   /* [STRIPE,row], operands */
    float *o;       /* [STRIPE,D] before it is divided by the sum of its weights */
    float *dk, *dv; /* [T,D] sums over the stripes of all query heads */
};

/* One call: shape, and what its tasks share. */
struct plan {
    struct attention_shape s;
    int64_t row; /* elements of a row of scratch: not a power of two, which caches dislike */
    int64_t stripe_count;
    struct stripe *stripes;
    float *scratch; /* [threads,scratch_floats] */
    int64_t scratch_floats;
    float scale;
};

static struct gemm_kernel *find(struct backend *backend, const struct gemm_shape *shape)
{
    struct gemm_kernel *kernel = NULL;
    struct error err;
    if (gemm_cache_kernel(&kernel, backend_cpu(backend)->gemm, shape, &err)) {
        cpu_fail(backend, &err);
    }
    return kernel;
}

static void stripe_forward(struct stripe *stripe, struct backend *backend, const struct plan *plan)
{
    const struct attention_shape *s = &plan->s;
    const int64_t rows = stripe->end - stripe->first;

    stripe->scores = find(backend, &(struct gemm_shape){.m = rows,
                                                        .n = stripe->end,
                                                        .k = s->D,
                                                        .transpose_b = true,
                                                        .lda = s->q_stride,
                                                        .ldb = s->k_stride,
                                                        .ldc = plan->row,
                                                        .operands = s->type});
    stripe->output = find(backend, &(struct gemm_shape){.m = rows,
                                                        .n = s->D,
                                                        .k = stripe->end,
                                                        .lda = plan->row,
                                                        .ldb = s->v_stride,
                                                        .operands = s->type});
}

static void stripe_backward(struct stripe *stripe, struct backend *backend, const struct plan *plan)
{
    const struct attention_shape *s = &plan->s;
    const int64_t rows = stripe->end - stripe->first;
    struct gemm_shape shape = {.m = rows,
                               .n = stripe->end,
                               .k = s->D,
                               .transpose_b = true,
                               .lda = s->o_stride,
                               .ldb = s->v_stride,
                               .ldc = plan->row,
                               .operands = s->type};
    stripe->dp = find(backend, &shape);

    shape = (struct gemm_shape){.m = rows,
                                .n = s->D,
                                .k = stripe->end,
                                .lda = plan->row,
                                .ldb = s->k_stride,
                                .ldc = s->q_stride,
                                .operands = s->type,
                                .result = s->type};
    stripe->dq = find(backend, &shape);

    shape = (struct gemm_shape){.m = stripe->end,
                                .n = s->D,
                                .k = rows,
                                .transpose_a = true,
                                .lda = plan->row,
                                .ldb = s->q_stride,
                                .operands = s->type};
    stripe->dk = find(backend, &shape);
    shape.accumulate = true;
    stripe->dk_increment = find(backend, &shape);

    shape.ldb = s->o_stride;
    stripe->dv_increment = find(backend, &shape);
    shape.accumulate = false;
    stripe->dv = find(backend, &shape);
}

static int64_t whole_vectors(int64_t n)
{
    return cpu_ceil_div(n, VECTOR) * VECTOR;
}

/* Floats that s, dp, p, ds take; o; dk and dv. */
static int64_t scratch_floats(const struct plan *plan)
{
    const int64_t rows = (plan->s.type == DTYPE_BF16 ? 3 : 2) * STRIPE * plan->row;
    return whole_vectors(rows + (STRIPE + 2 * plan->s.T) * plan->s.D);
}

static struct scratch scratch_of(const struct plan *plan, int thread)
{
    float *s = plan->scratch + thread * plan->scratch_floats;
    struct scratch out = {.s = s, .dp = s + STRIPE * plan->row};
    float *next = out.dp + STRIPE * plan->row;
    out.p = out.s;
    out.ds = out.dp;
    if (plan->s.type == DTYPE_BF16) {
        out.p = next;
        out.ds = (uint16_t *)out.p + STRIPE * plan->row;
        next += STRIPE * plan->row;
    }
    out.o = next;
    out.dk = out.o + STRIPE * plan->s.D;
    out.dv = out.dk + plan->s.T * plan->s.D;
    return out;
}

/* False when something is missing, which the backend then knows. */
static bool plan_init(struct plan *plan, struct backend *backend,
                      const struct attention_shape *shape, bool backward)
{
    *plan = (struct plan){.s = attention_shape_dense(shape)};
    plan->row = whole_vectors(plan->s.T) + VECTOR;
    plan->stripe_count = cpu_ceil_div(plan->s.T, STRIPE);
    plan->scale = (float)(1.0 / sqrt((double)plan->s.D));
    plan->scratch_floats = scratch_floats(plan);

    const int64_t count = backend->threads * plan->scratch_floats;
    const int64_t stripe_floats =
        cpu_ceil_div(plan->stripe_count * (int64_t)sizeof(struct stripe), 64) * VECTOR;
    plan->scratch = cpu_scratch(backend, count + stripe_floats, sizeof *plan->scratch);
    if (plan->scratch == NULL) {
        return false;
    }
    plan->stripes = (struct stripe *)(void *)(plan->scratch + count);
    for (int64_t i = 0; i < plan->stripe_count; i++) {
        struct stripe *stripe = &plan->stripes[i];
        *stripe = (struct stripe){.first = i * STRIPE, .end = cpu_min(plan->s.T, (i + 1) * STRIPE)};
        stripe_forward(stripe, backend, plan);
        if (backward) {
            stripe_backward(stripe, backend, plan);
        }
    }
    return backend->failure.status == STATUS_OK;
}

/* s[0..valid) becomes exp(scale * (s - max)), s[valid..end) zero; gives the sum, and the max. */
static float softmax_row(float *s, float *max_out, int64_t valid, int64_t end, float scale)
{
    const float max = max_f32(s, valid);
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t u = 0; u < valid; u++) {
        s[u] = exp_f32((s[u] - max) * scale);
        sum += s[u];
    }
    memset(s + valid, 0, (size_t)(end - valid) * sizeof *s);
    *max_out = max;
    return sum;
}

/* p[end] = s, where they lie apart. */
static void round_row(void *p, int64_t first, const float *s, int64_t end, enum dtype type)
{
    uint16_t *out = (uint16_t *)p + first;
    if (type == DTYPE_BF16) {
#pragma omp simd
        for (int64_t u = 0; u < end; u++) {
            out[u] = bf16_round(s[u]);
        }
    }
}

/* o[first …] = sums[D] * factor */
static inline __attribute__((always_inline)) void scale_row(void *o, int64_t first,
                                                            const float *sums, float factor,
                                                            int64_t D, enum dtype type)
{
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        dtype_store(o, first + d, sums[d] * factor, type);
    }
}

/* One head of one sequence: element offsets of its first token in q, k, v, o. */
struct head {
    int64_t q, k, v, o;
};

/* One stripe of one head; false when a product failed. */
static bool forward_stripe(const struct plan *plan, const struct stripe *stripe, int thread,
                           void *o, float *lse, const void *q, const void *k, const void *v)
{
    const struct scratch scratch = scratch_of(plan, thread);
    const enum dtype type = plan->s.type;
    float sums[STRIPE];

    if (!gemm_kernel_run(stripe->scores, thread, scratch.s,
                         dtype_at(q, stripe->first * plan->s.q_stride, type), k)) {
        return false;
    }
    for (int64_t t = stripe->first; t < stripe->end; t++) {
        const int64_t i = t - stripe->first;
        float *s = scratch.s + i * plan->row;
        float max;
        sums[i] = softmax_row(s, &max, t + 1, stripe->end, plan->scale);
        round_row(scratch.p, i * plan->row, s, stripe->end, type);
        lse[t] = max * plan->scale + logf(sums[i]);
    }
    if (!gemm_kernel_run(stripe->output, thread, scratch.o, scratch.p, v)) {
        return false;
    }
    for (int64_t t = stripe->first; t < stripe->end; t++) {
        const int64_t i = t - stripe->first;
        const float *o_sums = scratch.o + i * plan->s.D;
        if (type == DTYPE_BF16) {
            scale_row(o, t * plan->s.o_stride, o_sums, 1.0f / sums[i], plan->s.D, DTYPE_BF16);
        } else {
            scale_row(o, t * plan->s.o_stride, o_sums, 1.0f / sums[i], plan->s.D, DTYPE_FP32);
        }
    }
    return true;
}

static void fail(struct backend *backend)
{
    struct error err;
    (void)error_set(&err, STATUS_IO, "attention: a matrix product failed to run");
    cpu_fail(backend, &err);
}

static struct head head_of(const struct attention_shape *s, int64_t sequence, int64_t h)
{
    const int64_t row = sequence * s->T; /* the sequence's first token */
    const int64_t kv = h / (s->H / s->KV);
    return (struct head){
        .q = row * s->q_stride + h * s->D,
        .k = row * s->k_stride + kv * s->D,
        .v = row * s->v_stride + kv * s->D,
        .o = row * s->o_stride + h * s->D,
    };
}

void AT_LEVEL(attention_forward_cpu)(struct backend *backend, void *o, float *lse, const void *q,
                                     const void *k, const void *v,
                                     const struct attention_shape *shape)
{
    struct plan plan;
    if (!plan_init(&plan, backend, shape, false) || cpu_is_planning(backend)) {
        return;
    }
    const struct attention_shape s = plan.s;
    int failures = 0;

#pragma omp parallel for num_threads(backend->threads) schedule(dynamic, 1) reduction(+ : failures)
    for (int64_t task = 0; task < s.B * s.H; task++) {
        const struct head at = head_of(&s, task / s.H, task % s.H);
        for (int64_t i = 0; i < plan.stripe_count; i++) {
            failures += !forward_stripe(&plan, &plan.stripes[i], omp_get_thread_num(),
                                        dtype_at_mut(o, at.o, s.type), lse + task * s.T,
                                        dtype_at(q, at.q, s.type), dtype_at(k, at.k, s.type),
                                        dtype_at(v, at.v, s.type));
        }
    }
    if (failures > 0) {
        fail(backend);
    }
}

/* One head of one sequence, at its first token. */
struct head_gradient {
    void *dq;
    const void *dout, *q, *k, *v, *o;
    const float *lse;
};

/* One row: p[0..t] from s, ds[0..t] from dp, zeros behind. */
static inline __attribute__((always_inline)) void backward_row(const struct plan *plan,
                                                               const struct scratch *scratch,
                                                               int64_t i, int64_t t, int64_t end,
                                                               const struct head_gradient *head,
                                                               enum dtype type)
{
    const float *s = scratch->s + i * plan->row;
    const float *dp = scratch->dp + i * plan->row;
    const int64_t row = i * plan->row;
    const int64_t o_row = t * plan->s.o_stride;
    const float scale = plan->scale;
    const float lse = head->lse[t];
    float delta = 0.0f;
#pragma omp simd reduction(+ : delta)
    for (int64_t d = 0; d < plan->s.D; d++) {
        delta += dtype_load(head->dout, o_row + d, type) * dtype_load(head->o, o_row + d, type);
    }
#pragma omp simd
    for (int64_t u = 0; u <= t; u++) {
        const float p = exp_f32(s[u] * scale - lse);
        const float ds = p * (dp[u] - delta) * scale;
        dtype_store(scratch->p, row + u, p, type);
        dtype_store(scratch->ds, row + u, ds, type);
    }
    for (int64_t u = t + 1; u < end; u++) {
        dtype_store(scratch->p, row + u, 0.0f, type);
        dtype_store(scratch->ds, row + u, 0.0f, type);
    }
}

static void backward_rows(const struct plan *plan, const struct stripe *stripe,
                          const struct scratch *scratch, const struct head_gradient *head)
{
    for (int64_t t = stripe->first; t < stripe->end; t++) {
        if (plan->s.type == DTYPE_BF16) {
            backward_row(plan, scratch, t - stripe->first, t, stripe->end, head, DTYPE_BF16);
        } else {
            backward_row(plan, scratch, t - stripe->first, t, stripe->end, head, DTYPE_FP32);
        }
    }
}

/* is_first: the sums of dk and dv start; the stripe must then see all keys. */
static bool backward_stripe(const struct plan *plan, const struct stripe *stripe, int thread,
                            const struct head_gradient *head, bool is_first)
{
    const struct scratch scratch = scratch_of(plan, thread);
    const enum dtype type = plan->s.type;
    const void *q = dtype_at(head->q, stripe->first * plan->s.q_stride, type);
    const void *dout = dtype_at(head->dout, stripe->first * plan->s.o_stride, type);
    void *dq = dtype_at_mut(head->dq, stripe->first * plan->s.q_stride, type);

    bool ok = gemm_kernel_run(stripe->scores, thread, scratch.s, q, head->k) &&
              gemm_kernel_run(stripe->dp, thread, scratch.dp, dout, head->v);
    if (!ok) {
        return false;
    }
    backward_rows(plan, stripe, &scratch, head);
    return gemm_kernel_run(is_first ? stripe->dv : stripe->dv_increment, thread, scratch.dv,
                           scratch.p, dout) &&
           gemm_kernel_run(is_first ? stripe->dk : stripe->dk_increment, thread, scratch.dk,
                           scratch.ds, q) &&
           gemm_kernel_run(stripe->dq, thread, dq, scratch.ds, head->k);
}

/* The finished sums [T,D] go to their columns of the output. */
static void store_sums(void *out, int64_t stride, const float *sums,
                       const struct attention_shape *s)
{
    for (int64_t t = 0; t < s->T; t++) {
        if (s->type == DTYPE_BF16) {
            scale_row(out, t * stride, sums + t * s->D, 1.0f, s->D, DTYPE_BF16);
        } else {
            memcpy((float *)out + t * stride, sums + t * s->D, (size_t)s->D * sizeof *sums);
        }
    }
}

void AT_LEVEL(attention_backward_cpu)(struct backend *backend, void *dq, void *dk, void *dv,
                                      const void *dout, const void *q, const void *k, const void *v,
                                      const void *o, const float *lse,
                                      const struct attention_shape *shape)
{
    struct plan plan;
    if (!plan_init(&plan, backend, shape, true) || cpu_is_planning(backend)) {
        return;
    }
    const struct attention_shape s = plan.s;
    const int64_t group = s.H / s.KV;
    int failures = 0;

#pragma omp parallel for num_threads(backend->threads) schedule(dynamic, 1) reduction(+ : failures)
    for (int64_t task = 0; task < s.B * s.KV; task++) {
        const int64_t sequence = task / s.KV;
        const int64_t first = task % s.KV * group;
        const int thread = omp_get_thread_num();
        for (int64_t h = first; h < first + group; h++) {
            const struct head at = head_of(&s, sequence, h);
            const struct head_gradient head = {
                .dq = dtype_at_mut(dq, at.q, s.type),
                .dout = dtype_at(dout, at.o, s.type),
                .q = dtype_at(q, at.q, s.type),
                .k = dtype_at(k, at.k, s.type),
                .v = dtype_at(v, at.v, s.type),
                .o = dtype_at(o, at.o, s.type),
                .lse = lse + (sequence * s.H + h) * s.T,
            };
            for (int64_t i = plan.stripe_count - 1; i >= 0; i--) {
                const bool is_first = h == first && i == plan.stripe_count - 1;
                failures += !backward_stripe(&plan, &plan.stripes[i], thread, &head, is_first);
            }
        }
        const struct head at = head_of(&s, sequence, first);
        const struct scratch scratch = scratch_of(&plan, thread);
        store_sums(dtype_at_mut(dk, at.k, s.type), s.k_stride, scratch.dk, &s);
        store_sums(dtype_at_mut(dv, at.v, s.type), s.v_stride, scratch.dv, &s);
    }
    if (failures > 0) {
        fail(backend);
    }
}
