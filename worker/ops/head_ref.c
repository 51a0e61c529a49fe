#include "worker/ops/head.h"

#include <math.h>
#include <stddef.h>

static double logit(const double *x_n, const double *w_v, int64_t C)
{
    double sum = 0.0;
    for (int64_t c = 0; c < C; c++) {
        sum += x_n[c] * w_v[c];
    }
    return sum;
}

/* log sum_v exp(logits[v]) of one token. */
static double log_sum_exp(const double *x_n, const double *w, int64_t C, int64_t V)
{
    double max = -HUGE_VAL;
    for (int64_t v = 0; v < V; v++) {
        max = fmax(max, logit(x_n, w + v * C, C));
    }
    double sum = 0.0;
    for (int64_t v = 0; v < V; v++) {
        sum += exp(logit(x_n, w + v * C, C) - max);
    }
    return max + log(sum);
}

void head_loss_ref(double *loss, const double *x, const double *w, const uint32_t *targets,
                   int64_t N, int64_t C, int64_t V)
{
    *loss = 0.0;
    for (int64_t n = 0; n < N; n++) {
        const double *x_n = x + n * C;
        *loss += log_sum_exp(x_n, w, C, V) - logit(x_n, w + targets[n] * C, C);
    }
}

void head_loss_backward_ref(double *loss, double *dx, double *dw, const double *x, const double *w,
                            const uint32_t *targets, double grad_scale, int64_t N, int64_t C,
                            int64_t V)
{
    head_loss_ref(loss, x, w, targets, N, C, V);
    for (int64_t n = 0; n < N; n++) {
        const double *x_n = x + n * C;
        const double lse = log_sum_exp(x_n, w, C, V);
        for (int64_t c = 0; c < C; c++) {
            dx[n * C + c] = 0.0;
        }
        for (int64_t v = 0; v < V; v++) {
            double p = exp(logit(x_n, w + v * C, C) - lse);
            double dlogit = grad_scale * (p - (v == targets[n] ? 1.0 : 0.0));
            for (int64_t c = 0; c < C; c++) {
                dx[n * C + c] += dlogit * w[v * C + c];
                if (dw != NULL) {
                    dw[v * C + c] += dlogit * x_n[c];
                }
            }
        }
    }
}
