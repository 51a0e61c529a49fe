#include <assert.h>
#include <math.h>

#include "worker/ops/cpu.h"

void AT_LEVEL(adamw_update_cpu)(struct backend *backend, float *param, float *exp_avg,
                                float *exp_avg_sq, const float *grad, int64_t n,
                                const struct adamw_update *update)
{
    assert(update->step >= 1);
    if (cpu_is_planning(backend)) {
        return;
    }
    const double correction1 = 1.0 - pow(update->beta1, (double)update->step);
    const double correction2 = 1.0 - pow(update->beta2, (double)update->step);
    const float grad_scale = (float)update->grad_scale;
    const float beta1 = (float)update->beta1;
    const float beta2 = (float)update->beta2;
    const float gain1 = (float)(1.0 - update->beta1);
    const float gain2 = (float)(1.0 - update->beta2);
    const float keep = (float)(1.0 - update->lr * update->weight_decay);
    const float step_size = (float)(update->lr / correction1);
    const float root_scale = (float)(1.0 / sqrt(correction2));
    const float eps = (float)update->eps;

#pragma omp parallel for num_threads(cpu_threads(backend, n)) schedule(static)
    for (int64_t first = 0; first < n; first += ELEMENTWISE_BLOCK) {
        const int64_t end = cpu_min(n, first + ELEMENTWISE_BLOCK);
#pragma omp simd
        for (int64_t i = first; i < end; i++) {
            float g = grad_scale * grad[i];
            float m = beta1 * exp_avg[i] + gain1 * g;
            float v = beta2 * exp_avg_sq[i] + gain2 * (g * g);
            exp_avg[i] = m;
            exp_avg_sq[i] = v;
            param[i] = keep * param[i] - step_size * m / (sqrtf(v) * root_scale + eps);
        }
    }
}
