#include "worker/ops/chunks.h"

#include <math.h>

int64_t chunks_in(const struct chunks *chunks)
{
    return (chunks->k + chunks->r_hat - 1) / chunks->r_hat;
}

int64_t chunks_out(const struct chunks *chunks)
{
    return (chunks->d + chunks->r_hat - 1) / chunks->r_hat;
}

int64_t chunks_used(const struct chunks *chunks)
{
    const int64_t n_in = chunks_in(chunks);
    const int64_t n_out = chunks_out(chunks);
    return n_in < n_out ? n_in : n_out;
}

void chunks_angles(float *cosine, float *sine, int64_t n_in, int64_t r_hat)
{
    const int64_t half = r_hat / 2;
    for (int64_t i = 0; i < n_in; i++) {
        for (int64_t j = 0; j < half; j++) {
            const double angle = (double)i * pow(10000.0, -2.0 * (double)j / (double)r_hat);
            cosine[i * half + j] = (float)cos(angle);
            sine[i * half + j] = (float)sin(angle);
        }
    }
}
