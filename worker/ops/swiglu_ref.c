#include "worker/ops/swiglu.h"

#include <math.h>

static double sigma(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

void swiglu_forward_ref(double *y, const double *gate, const double *up, int64_t N, int64_t F,
                        int64_t stride)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t f = 0; f < F; f++) {
            double g = gate[n * stride + f];
            y[n * F + f] = g * sigma(g) * up[n * stride + f];
        }
    }
}

void swiglu_backward_ref(double *dgate, double *dup, const double *dy, const double *gate,
                         const double *up, int64_t N, int64_t F, int64_t stride)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t f = 0; f < F; f++) {
            double g = gate[n * stride + f];
            double u = up[n * stride + f];
            double dy_nf = dy[n * F + f];
            dup[n * stride + f] = dy_nf * g * sigma(g);
            dgate[n * stride + f] = dy_nf * u * sigma(g) * (1.0 + g * (1.0 - sigma(g)));
        }
    }
}
