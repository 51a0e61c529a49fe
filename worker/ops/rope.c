#include "worker/ops/rope.h"

#include <assert.h>
#include <math.h>

void rope_table(float *cosine, float *sine, int64_t T, int64_t D, double theta)
{
    assert(D % 2 == 0);
    const int64_t half = D / 2;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)t * pow(theta, -2.0 * (double)j / (double)D);
            cosine[t * half + j] = (float)cos(angle);
            sine[t * half + j] = (float)sin(angle);
        }
    }
}
