#include "worker/ops/chunks.h"

#include <math.h>

/* Whether chunk i reaches an output at all. */
static bool is_used(const struct chunks *chunks, int64_t i)
{
    return chunks->fold || i < chunks_out(chunks);
}

/* The chunk of results that chunk i is part of. */
static int64_t result_of(const struct chunks *chunks, int64_t i)
{
    return chunks->fold ? i % chunks_out(chunks) : i;
}

/* The input that element b of chunk i is; -1 for a zero. */
static int64_t input_of(const struct chunks *chunks, int64_t i, int64_t b)
{
    const int64_t j = i * chunks->r_hat + b;
    if (j < chunks->k) {
        return j;
    }
    return chunks->zero_pad ? -1 : j - chunks->k;
}

/* c <- R_i c, or with inverse R_i^T c. */
static void turn(double *c, const struct chunks *chunks, int64_t i, bool inverse)
{
    if (chunks->turn == CHUNKS_TURN_NONE) {
        return;
    }
    const int64_t half = chunks->r_hat / 2;
    for (int64_t j = 0; j < half; j++) {
        const double theta = pow(10000.0, -2.0 * (double)j / (double)chunks->r_hat);
        const double angle = (inverse ? -1.0 : 1.0) * (double)i * theta;
        double *first = chunks->turn == CHUNKS_TURN_HALF ? c + j : c + 2 * j;
        double *second = chunks->turn == CHUNKS_TURN_HALF ? c + j + half : c + 2 * j + 1;
        const double c_first = *first;
        *first = c_first * cos(angle) - *second * sin(angle);
        *second = *second * cos(angle) + c_first * sin(angle);
    }
}

/* a = R_i c_i of one row of x. */
static void take_chunk(double *a, const double *x, const struct chunks *chunks, int64_t i)
{
    for (int64_t b = 0; b < chunks->r_hat; b++) {
        const int64_t j = input_of(chunks, i, b);
        a[b] = j < 0 ? 0.0 : x[j];
    }
    turn(a, chunks, i, false);
}

void chunks_expand_ref(double *e, double *scratch, const double *m, const struct chunks *chunks)
{
    const int64_t r_hat = chunks->r_hat;
    const int64_t period = chunks_in(chunks) * r_hat;

    for (int64_t i = 0; i < chunks->d * chunks->k; i++) {
        e[i] = 0.0;
    }
    for (int64_t o = 0; o < chunks->d; o++) {
        const int64_t place = o % period;
        for (int64_t i = 0; i < chunks_in(chunks); i++) {
            if (!is_used(chunks, i) || result_of(chunks, i) != place / r_hat) {
                continue;
            }
            /* The row of M R_i: its transpose is R_i^T times the row of M. */
            for (int64_t b = 0; b < r_hat; b++) {
                scratch[b] = m[place % r_hat * r_hat + b];
            }
            turn(scratch, chunks, i, true);
            for (int64_t b = 0; b < r_hat; b++) {
                const int64_t j = input_of(chunks, i, b);
                if (j >= 0) {
                    e[o * chunks->k + j] += scratch[b];
                }
            }
        }
    }
}

void chunks_side_forward_ref(double *y, double *scratch, const double *x, const double *m,
                             const struct chunks *chunks, int64_t N)
{
    const int64_t r_hat = chunks->r_hat;
    const int64_t period = chunks_in(chunks) * r_hat;
    double *a = scratch;
    double *y_hat = scratch + r_hat;

    for (int64_t n = 0; n < N; n++) {
        for (int64_t i = 0; i < chunks_in(chunks); i++) {
            take_chunk(a, x + n * chunks->k, chunks, i);
            for (int64_t row = 0; row < r_hat; row++) {
                y_hat[row] = 0.0;
                for (int64_t b = 0; b < r_hat; b++) {
                    y_hat[row] += m[row * r_hat + b] * a[b];
                }
            }
            for (int64_t o = 0; o < chunks->d && is_used(chunks, i); o++) {
                if (o % period / r_hat == result_of(chunks, i)) {
                    y[n * chunks->d + o] += y_hat[o % period % r_hat];
                }
            }
        }
    }
}

void chunks_side_backward_ref(double *dx, double *dm, double *scratch, const double *dy,
                              const double *x, const double *m, const struct chunks *chunks,
                              int64_t N)
{
    const int64_t r_hat = chunks->r_hat;
    const int64_t period = chunks_in(chunks) * r_hat;
    double *a = scratch;
    double *u = scratch + r_hat;
    double *dc = scratch + 2 * r_hat;

    for (int64_t n = 0; n < N; n++) {
        for (int64_t i = 0; i < chunks_in(chunks); i++) {
            take_chunk(a, x + n * chunks->k, chunks, i);
            for (int64_t row = 0; row < r_hat; row++) {
                u[row] = 0.0;
                dc[row] = 0.0;
            }
            for (int64_t o = 0; o < chunks->d && is_used(chunks, i); o++) {
                if (o % period / r_hat == result_of(chunks, i)) {
                    u[o % period % r_hat] += dy[n * chunks->d + o];
                }
            }
            for (int64_t row = 0; row < r_hat; row++) {
                for (int64_t b = 0; b < r_hat; b++) {
                    dm[row * r_hat + b] += u[row] * a[b];
                    dc[b] += m[row * r_hat + b] * u[row];
                }
            }
            turn(dc, chunks, i, true);
            for (int64_t b = 0; b < r_hat; b++) {
                const int64_t j = input_of(chunks, i, b);
                if (j >= 0) {
                    dx[n * chunks->k + j] += dc[b];
                }
            }
        }
    }
}
