#include "worker/ops/attention.h"

#include <math.h>

/* Where one head of one sequence lies: rows of q, k, v, o at t * stride; lse at t. */
static int64_t head_at(int64_t b, int64_t head, const struct attention_shape *s, int64_t stride)
{
    return b * s->T * stride + head * s->D;
}

static double dot(const double *x, const double *y, int64_t D)
{
    double sum = 0.0;
    for (int64_t d = 0; d < D; d++) {
        sum += x[d] * y[d];
    }
    return sum;
}

static void add_scaled(double *y, double factor, const double *x, int64_t D)
{
    for (int64_t d = 0; d < D; d++) {
        y[d] += factor * x[d];
    }
}

/* Zeroes rows of one head. */
static void clear(double *x, int64_t T, int64_t D, int64_t stride)
{
    for (int64_t t = 0; t < T; t++) {
        for (int64_t d = 0; d < D; d++) {
            x[t * stride + d] = 0.0;
        }
    }
}

void attention_forward_ref(double *o, double *lse, const double *q, const double *k,
                           const double *v, const struct attention_shape *given)
{
    const struct attention_shape s = attention_shape_dense(given);
    const double scale = 1.0 / sqrt((double)s.D);

    for (int64_t i = 0; i < s.B * s.H; i++) {
        const int64_t b = i / s.H;
        const int64_t h = i % s.H;
        const int64_t kv = h / (s.H / s.KV);
        const double *q_h = q + head_at(b, h, &s, s.q_stride);
        const double *k_h = k + head_at(b, kv, &s, s.k_stride);
        const double *v_h = v + head_at(b, kv, &s, s.v_stride);
        double *o_h = o + head_at(b, h, &s, s.o_stride);
        double *lse_h = lse + i * s.T;
        clear(o_h, s.T, s.D, s.o_stride);
        for (int64_t t = 0; t < s.T; t++) {
            const double *q_t = q_h + t * s.q_stride;
            double max = -HUGE_VAL;
            for (int64_t u = 0; u <= t; u++) {
                max = fmax(max, scale * dot(q_t, k_h + u * s.k_stride, s.D));
            }
            double sum = 0.0;
            for (int64_t u = 0; u <= t; u++) {
                sum += exp(scale * dot(q_t, k_h + u * s.k_stride, s.D) - max);
            }
            lse_h[t] = max + log(sum);
            for (int64_t u = 0; u <= t; u++) {
                double p = exp(scale * dot(q_t, k_h + u * s.k_stride, s.D) - lse_h[t]);
                add_scaled(o_h + t * s.o_stride, p, v_h + u * s.v_stride, s.D);
            }
        }
    }
}

void attention_backward_ref(double *dq, double *dk, double *dv, const double *dout, const double *q,
                            const double *k, const double *v, const double *o, const double *lse,
                            const struct attention_shape *given)
{
    const struct attention_shape s = attention_shape_dense(given);
    const double scale = 1.0 / sqrt((double)s.D);

    for (int64_t i = 0; i < s.B * s.H; i++) {
        const int64_t b = i / s.H;
        const int64_t h = i % s.H;
        const int64_t kv = h / (s.H / s.KV);
        const int64_t q_at = head_at(b, h, &s, s.q_stride);
        const int64_t k_at = head_at(b, kv, &s, s.k_stride);
        const int64_t v_at = head_at(b, kv, &s, s.v_stride);
        const int64_t o_at = head_at(b, h, &s, s.o_stride);
        if (h % (s.H / s.KV) == 0) {
            clear(dk + k_at, s.T, s.D, s.k_stride);
            clear(dv + v_at, s.T, s.D, s.v_stride);
        }
        clear(dq + q_at, s.T, s.D, s.q_stride);
        for (int64_t t = 0; t < s.T; t++) {
            const double *q_t = q + q_at + t * s.q_stride;
            const double *dout_t = dout + o_at + t * s.o_stride;
            const double delta = dot(dout_t, o + o_at + t * s.o_stride, s.D);
            for (int64_t u = 0; u <= t; u++) {
                const double *k_u = k + k_at + u * s.k_stride;
                double p = exp(scale * dot(q_t, k_u, s.D) - lse[i * s.T + t]);
                double dp = dot(dout_t, v + v_at + u * s.v_stride, s.D);
                double ds = p * (dp - delta) * scale;
                add_scaled(dv + v_at + u * s.v_stride, p, dout_t, s.D);
                add_scaled(dq + q_at + t * s.q_stride, ds, k_u, s.D);
                add_scaled(dk + k_at + u * s.k_stride, ds, q_t, s.D);
            }
        }
    }
}
