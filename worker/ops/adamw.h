/*
 * adamw — one step of Adam with decoupled weight decay (Loshchilov & Hutter 2019, alg. 2, with the
 * decay scaled by the learning rate as in PyTorch).
 *
 *     g = grad_scale * grad
 *     exp_avg    = beta1 * exp_avg    + (1 - beta1) * g
 *     exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * g^2
 *     param = param * (1 - lr * weight_decay)
 *           - lr * (exp_avg / (1 - beta1^step)) / (sqrt(exp_avg_sq / (1 - beta2^step)) + eps)
 *
 * step counts from 1 since the moments were last zero. grad_scale is the factor of gradient
 * clipping (1 for none); grad itself is left alone. All four buffers have n elements, no overlap.
 */
#pragma once

#include <stdint.h>

struct backend;

struct adamw_update {
    double lr, beta1, beta2, eps, weight_decay;
    double grad_scale;
    int64_t step;
};

typedef void adamw_update_fn(struct backend *backend, float *param, float *exp_avg,
                             float *exp_avg_sq, const float *grad, int64_t n,
                             const struct adamw_update *update);

void adamw_update_ref(double *param, double *exp_avg, double *exp_avg_sq, const double *grad,
                      int64_t n, const struct adamw_update *update);
