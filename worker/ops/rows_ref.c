#include "worker/ops/rows.h"

#include <math.h>
#include <stddef.h>

void scale_rows_ref(double *out, const double *x, const double *factor, double scale, int64_t d,
                    int64_t k)
{
    for (int64_t o = 0; o < d; o++) {
        for (int64_t j = 0; j < k; j++) {
            out[o * k + j] = scale * (factor == NULL ? 1.0 : factor[o]) * x[o * k + j];
        }
    }
}

void add_scaled_rows_ref(double *out, const double *x, const double *factor, int64_t d, int64_t k)
{
    for (int64_t o = 0; o < d; o++) {
        for (int64_t j = 0; j < k; j++) {
            out[o * k + j] += factor[o] * x[o * k + j];
        }
    }
}

void row_norms_ref(double *norm, const double *w, int64_t d, int64_t k)
{
    for (int64_t o = 0; o < d; o++) {
        double sum = 0.0;
        for (int64_t j = 0; j < k; j++) {
            sum += w[o * k + j] * w[o * k + j];
        }
        norm[o] = sqrt(sum);
    }
}

void normalise_rows_ref(double *w, double *factor, const double *magnitude, int64_t d, int64_t k)
{
    row_norms_ref(factor, w, d, k);
    for (int64_t o = 0; o < d; o++) {
        factor[o] = factor[o] == 0.0 ? 0.0 : magnitude[o] / factor[o];
    }
    scale_rows_ref(w, w, factor, 1.0, d, k);
}

void dot_columns_ref(double *out, const double *dy, const double *y, const double *divisor,
                     int64_t N, int64_t d, int64_t stride)
{
    for (int64_t o = 0; o < d; o++) {
        double sum = 0.0;
        for (int64_t n = 0; n < N; n++) {
            sum += dy[n * stride + o] * y[n * d + o];
        }
        out[o] += divisor[o] == 0.0 ? 0.0 : sum / divisor[o];
    }
}
