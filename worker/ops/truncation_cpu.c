#include <string.h>

#include "worker/ops/cpu.h"

/* The first r_hat elements of row o of w: fl(w0 + fl(S + M)), or with one of the two alone. */
static void add_row(float *w_o, const float *sum, const float *adapter, int64_t r_hat)
{
    if (sum != NULL && adapter != NULL) {
#pragma omp simd
        for (int64_t j = 0; j < r_hat; j++) {
            const float t = sum[j] + adapter[j];
            w_o[j] += t;
        }
        return;
    }
    const float *only = sum != NULL ? sum : adapter;
#pragma omp simd
    for (int64_t j = 0; j < r_hat; j++) {
        w_o[j] += only[j];
    }
}

void AT_LEVEL(truncation_weight_cpu)(struct backend *backend, float *w, const float *w0,
                                     const float *sum, const float *adapter, int64_t d, int64_t k,
                                     int64_t r_hat)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, d *k)) schedule(static)
    for (int64_t o = 0; o < d; o++) {
        if (w != w0) {
            memcpy(w + o * k, w0 + o * k, (size_t)k * sizeof *w);
        }
        if (o < r_hat) {
            add_row(w + o * k, sum == NULL ? NULL : sum + o * r_hat,
                    adapter == NULL ? NULL : adapter + o * r_hat, r_hat);
        }
    }
}
