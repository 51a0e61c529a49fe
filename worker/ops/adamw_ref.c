#include "worker/ops/adamw.h"

#include <math.h>

void adamw_update_ref(double *param, double *exp_avg, double *exp_avg_sq, const double *grad,
                      int64_t n, const struct adamw_update *u)
{
    for (int64_t i = 0; i < n; i++) {
        double g = u->grad_scale * grad[i];
        exp_avg[i] = u->beta1 * exp_avg[i] + (1.0 - u->beta1) * g;
        exp_avg_sq[i] = u->beta2 * exp_avg_sq[i] + (1.0 - u->beta2) * g * g;
        double exp_avg_hat = exp_avg[i] / (1.0 - pow(u->beta1, (double)u->step));
        double exp_avg_sq_hat = exp_avg_sq[i] / (1.0 - pow(u->beta2, (double)u->step));
        param[i] = param[i] * (1.0 - u->lr * u->weight_decay) -
                   u->lr * exp_avg_hat / (sqrt(exp_avg_sq_hat) + u->eps);
    }
}
