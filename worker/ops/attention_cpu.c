/*
 * Queries are taken in stripes of STRIPE rows. A stripe with rows first … end-1 sees the keys
 * before end, so that nearly half of the T x T products are never formed. Each thread has two
 * stripes of scratch, [STRIPE][row]. A task of the forward pass is one head of one sequence; one of
 * the backward pass is a key-value head with its query heads, whose shares of dk and dv it adds in
 * order.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "worker/ops/cpu.h"
#include "worker/ops/exp.h"
#include "worker/ops/max.h"

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

/* One call: shape, and what its tasks share. */
struct plan {
    struct attention_shape s;
    int64_t row; /* elements of a row of scratch: not a power of two, which caches dislike */
    int64_t stripe_count;
    struct stripe *stripes;
    float *scratch; /* [threads][2][STRIPE][row] */
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
                                                        .ldc = plan->row});
    stripe->output = find(backend, &(struct gemm_shape){.m = rows,
                                                        .n = s->D,
                                                        .k = stripe->end,
                                                        .lda = plan->row,
                                                        .ldb = s->v_stride,
                                                        .ldc = s->o_stride});
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
                               .ldc = plan->row};
    stripe->dp = find(backend, &shape);

    shape = (struct gemm_shape){.m = rows,
                                .n = s->D,
                                .k = stripe->end,
                                .lda = plan->row,
                                .ldb = s->k_stride,
                                .ldc = s->q_stride};
    stripe->dq = find(backend, &shape);

    shape = (struct gemm_shape){.m = stripe->end,
                                .n = s->D,
                                .k = rows,
                                .transpose_a = true,
                                .lda = plan->row,
                                .ldb = s->q_stride,
                                .ldc = s->k_stride};
    stripe->dk = find(backend, &shape);
    shape.accumulate = true;
    stripe->dk_increment = find(backend, &shape);

    shape.ldb = s->o_stride;
    shape.ldc = s->v_stride;
    stripe->dv_increment = find(backend, &shape);
    shape.accumulate = false;
    stripe->dv = find(backend, &shape);
}

/* False when something is missing, which the backend then knows. */
static bool plan_init(struct plan *plan, struct backend *backend,
                      const struct attention_shape *shape, bool backward)
{
    *plan = (struct plan){.s = attention_shape_dense(shape)};
    plan->row = cpu_ceil_div(plan->s.T, VECTOR) * VECTOR + VECTOR;
    plan->stripe_count = cpu_ceil_div(plan->s.T, STRIPE);
    plan->scale = (float)(1.0 / sqrt((double)plan->s.D));

    const int64_t scratch_count = backend->threads * 2 * STRIPE * plan->row;
    const int64_t stripe_floats =
        cpu_ceil_div(plan->stripe_count * (int64_t)sizeof(struct stripe), 64) * VECTOR;
    plan->scratch = cpu_scratch(backend, scratch_count + stripe_floats, sizeof *plan->scratch);
    if (plan->scratch == NULL) {
        return false;
    }
    plan->stripes = (struct stripe *)(void *)(plan->scratch + scratch_count);
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

/* One stripe of one head; false when a product failed. */
static bool forward_stripe(const struct plan *plan, const struct stripe *stripe, int thread,
                           float *o, float *lse, const float *q, const float *k, const float *v)
{
    float *s = plan->scratch + thread * 2 * STRIPE * plan->row;
    float *o_first = o + stripe->first * plan->s.o_stride;
    float sums[STRIPE];

    if (!gemm_kernel_run(stripe->scores, thread, s, q + stripe->first * plan->s.q_stride, k)) {
        return false;
    }
    for (int64_t t = stripe->first; t < stripe->end; t++) {
        const int64_t i = t - stripe->first;
        float max;
        sums[i] = softmax_row(s + i * plan->row, &max, t + 1, stripe->end, plan->scale);
        lse[t] = max * plan->scale + logf(sums[i]);
    }
    if (!gemm_kernel_run(stripe->output, thread, o_first, s, v)) {
        return false;
    }
    for (int64_t i = 0; i < stripe->end - stripe->first; i++) {
        float *o_t = o_first + i * plan->s.o_stride;
        const float factor = 1.0f / sums[i];
#pragma omp simd
        for (int64_t d = 0; d < plan->s.D; d++) {
            o_t[d] *= factor;
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

void AT_LEVEL(attention_forward_cpu)(struct backend *backend, float *o, float *lse, const float *q,
                                     const float *k, const float *v,
                                     const struct attention_shape *shape)
{
    struct plan plan;
    if (!plan_init(&plan, backend, shape, false)) {
        return;
    }
    const struct attention_shape s = plan.s;
    const int64_t group = s.H / s.KV;
    int failures = 0;

#pragma omp parallel for num_threads(backend->threads) schedule(dynamic, 1) reduction(+ : failures)
    for (int64_t task = 0; task < s.B * s.H; task++) {
        const int64_t row = task / s.H * s.T; /* the sequence's first token */
        const int64_t h = task % s.H;
        for (int64_t i = 0; i < plan.stripe_count; i++) {
            failures += !forward_stripe(
                &plan, &plan.stripes[i], omp_get_thread_num(), o + row * s.o_stride + h * s.D,
                lse + task * s.T, q + row * s.q_stride + h * s.D,
                k + row * s.k_stride + h / group * s.D, v + row * s.v_stride + h / group * s.D);
        }
    }
    if (failures > 0) {
        fail(backend);
    }
}

/* One head of one sequence, at its first token. */
struct head_gradient {
    float *dq, *dk, *dv;
    const float *dout, *q, *k, *v, *o, *lse;
};

/* Rows of s become p, rows of dp become ds. */
static void backward_rows(const struct plan *plan, const struct stripe *stripe, float *s, float *dp,
                          const struct head_gradient *head)
{
    const float scale = plan->scale;
    for (int64_t t = stripe->first; t < stripe->end; t++) {
        float *s_t = s + (t - stripe->first) * plan->row;
        float *dp_t = dp + (t - stripe->first) * plan->row;
        const float *o_t = head->o + t * plan->s.o_stride;
        const float *dout_t = head->dout + t * plan->s.o_stride;
        const float lse_t = head->lse[t];
        float delta = 0.0f;
#pragma omp simd reduction(+ : delta)
        for (int64_t d = 0; d < plan->s.D; d++) {
            delta += dout_t[d] * o_t[d];
        }
#pragma omp simd
        for (int64_t u = 0; u <= t; u++) {
            float p = exp_f32(s_t[u] * scale - lse_t);
            s_t[u] = p;
            dp_t[u] = p * (dp_t[u] - delta) * scale;
        }
        const size_t masked = (size_t)(stripe->end - t - 1);
        memset(s_t + t + 1, 0, masked * sizeof *s_t);
        memset(dp_t + t + 1, 0, masked * sizeof *dp_t);
    }
}

/* is_first: dk and dv are overwritten; the stripe must then see all keys. */
static bool backward_stripe(const struct plan *plan, const struct stripe *stripe, int thread,
                            const struct head_gradient *head, bool is_first)
{
    float *s = plan->scratch + thread * 2 * STRIPE * plan->row;
    float *dp = s + STRIPE * plan->row;
    const float *q = head->q + stripe->first * plan->s.q_stride;
    const float *dout = head->dout + stripe->first * plan->s.o_stride;
    float *dq = head->dq + stripe->first * plan->s.q_stride;

    bool ok = gemm_kernel_run(stripe->scores, thread, s, q, head->k) &&
              gemm_kernel_run(stripe->dp, thread, dp, dout, head->v);
    if (!ok) {
        return false;
    }
    backward_rows(plan, stripe, s, dp, head);
    return gemm_kernel_run(is_first ? stripe->dv : stripe->dv_increment, thread, head->dv, s,
                           dout) &&
           gemm_kernel_run(is_first ? stripe->dk : stripe->dk_increment, thread, head->dk, dp, q) &&
           gemm_kernel_run(stripe->dq, thread, dq, dp, head->k);
}

void AT_LEVEL(attention_backward_cpu)(struct backend *backend, float *dq, float *dk, float *dv,
                                      const float *dout, const float *q, const float *k,
                                      const float *v, const float *o, const float *lse,
                                      const struct attention_shape *shape)
{
    struct plan plan;
    if (!plan_init(&plan, backend, shape, true)) {
        return;
    }
    const struct attention_shape s = plan.s;
    const int64_t group = s.H / s.KV;
    int failures = 0;

#pragma omp parallel for num_threads(backend->threads) schedule(dynamic, 1) reduction(+ : failures)
    for (int64_t task = 0; task < s.B * s.KV; task++) {
        const int64_t row = task / s.KV * s.T;
        const int64_t kv = task % s.KV;
        const int64_t k_at = row * s.k_stride + kv * s.D;
        const int64_t v_at = row * s.v_stride + kv * s.D;
        for (int64_t h = kv * group; h < (kv + 1) * group; h++) {
            const int64_t q_at = row * s.q_stride + h * s.D;
            const int64_t o_at = row * s.o_stride + h * s.D;
            const struct head_gradient head = {
                .dq = dq + q_at,
                .dk = dk + k_at,
                .dv = dv + v_at,
                .dout = dout + o_at,
                .q = q + q_at,
                .k = k + k_at,
                .v = v + v_at,
                .o = o + o_at,
                .lse = lse + (task / s.KV * s.H + h) * s.T,
            };
            for (int64_t i = plan.stripe_count - 1; i >= 0; i--) {
                bool is_first = h == kv * group && i == plan.stripe_count - 1;
                failures += !backward_stripe(&plan, &plan.stripes[i], omp_get_thread_num(), &head,
                                             is_first);
            }
        }
    }
    if (failures > 0) {
        fail(backend);
    }
}
