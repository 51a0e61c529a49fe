#include "worker/ops/rope.h"

#include <assert.h>
#include <math.h>

static void rotate(double *x, int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                   const struct rope_angles *angles, double direction)
{
    assert(D % 2 == 0 && stride >= H * D);
    const int64_t half = D / 2;
    for (int64_t n = 0; n < N; n++) {
        for (int64_t h = 0; h < H; h++) {
            double *x_nh = x + n * stride + h * D;
            for (int64_t j = 0; j < half; j++) {
                double angle = direction * (double)(n % T) * rope_frequency(angles, j, D);
                double first = x_nh[j];
                double second = x_nh[j + half];
                x_nh[j] = first * cos(angle) - second * sin(angle);
                x_nh[j + half] = second * cos(angle) + first * sin(angle);
            }
        }
    }
}

void rope_forward_ref(double *x, int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                      const struct rope_angles *angles)
{
    rotate(x, N, T, H, D, stride, angles, 1.0);
}

void rope_backward_ref(double *dx, int64_t N, int64_t T, int64_t H, int64_t D, int64_t stride,
                       const struct rope_angles *angles)
{
    rotate(dx, N, T, H, D, stride, angles, -1.0);
}
