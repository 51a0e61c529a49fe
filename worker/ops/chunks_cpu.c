#include <omp.h>
#include <string.h>

#include "worker/ops/cpu.h"

/* The elements of chunk i: in x itself, or where x ends within it, copied to scratch[r_hat]. */
static const float *chunk_at(float *scratch, const float *x, const struct chunks *chunks, int64_t i)
{
    const int64_t first = i * chunks->r_hat;
    const int64_t there = cpu_min(chunks->r_hat, chunks->k - first);
    const int64_t missing = chunks->r_hat - there;

    if (missing == 0) {
        return x + first;
    }
    memcpy(scratch, x + first, (size_t)there * sizeof *x);
    if (chunks->zero_pad) {
        memset(scratch + there, 0, (size_t)missing * sizeof *x);
    } else {
        memcpy(scratch + there, x, (size_t)missing * sizeof *x);
    }
    return scratch;
}

/* out = R c, or out += R c; the angles' signs turned around for R^T. */
static inline __attribute__((always_inline)) void turn_half(float *restrict out,
                                                            const float *restrict c,
                                                            const float *restrict cosine,
                                                            const float *restrict sine, float sign,
                                                            int64_t half, bool adds)
{
#pragma omp simd
    for (int64_t j = 0; j < half; j++) {
        const float s = sign * sine[j];
        const float first = c[j] * cosine[j] - c[j + half] * s;
        const float second = c[j + half] * cosine[j] + c[j] * s;
        out[j] = adds ? out[j] + first : first;
        out[j + half] = adds ? out[j + half] + second : second;
    }
}

static inline __attribute__((always_inline)) void turn_interleaved(
    float *restrict out, const float *restrict c, const float *restrict cosine,
    const float *restrict sine, float sign, int64_t half, bool adds)
{
#pragma omp simd
    for (int64_t j = 0; j < half; j++) {
        const float s = sign * sine[j];
        const float first = c[2 * j] * cosine[j] - c[2 * j + 1] * s;
        const float second = c[2 * j + 1] * cosine[j] + c[2 * j] * s;
        out[2 * j] = adds ? out[2 * j] + first : first;
        out[2 * j + 1] = adds ? out[2 * j + 1] + second : second;
    }
}

static void turn(float *out, const float *c, const struct chunks *chunks, int64_t i, float sign,
                 bool adds)
{
    const int64_t half = chunks->r_hat / 2;

    switch (chunks->turn) {
    case CHUNKS_TURN_NONE:
        for (int64_t b = 0; b < chunks->r_hat; b++) {
            out[b] = adds ? out[b] + c[b] : c[b];
        }
        break;
    case CHUNKS_TURN_HALF:
        turn_half(out, c, chunks->cosine + i * half, chunks->sine + i * half, sign, half, adds);
        break;
    case CHUNKS_TURN_INTERLEAVED:
        turn_interleaved(out, c, chunks->cosine + i * half, chunks->sine + i * half, sign, half,
                         adds);
        break;
    }
}

void AT_LEVEL(chunks_comp_cpu)(struct backend *backend, void *z, const void *x,
                               const struct chunks *chunks, int64_t N, int64_t stride,
                               enum dtype type)
{
    const int64_t r_hat = chunks->r_hat;
    const int64_t used = chunks_used(chunks);
    const int64_t end = chunks->fold ? chunks_in(chunks) : used;
    /* Of x only so much is read; the last chunk goes on with its first elements. */
    const int64_t in = cpu_min(chunks->k, end * r_hat);
    const struct cpu_rows rows = cpu_rows(backend, in, used * r_hat, r_hat, type);
    if (!rows.ok || cpu_is_planning(backend)) {
        return;
    }

#pragma omp parallel for num_threads(cpu_threads(backend, N * chunks->k)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const int thread = omp_get_thread_num();
        const float *x_n = cpu_row_in(&rows, thread, x, n, stride);
        float *z_n = cpu_row_out(&rows, thread, z, n * used * r_hat);
        for (int64_t i = 0; i < end; i++) {
            turn(z_n + i % used * r_hat, chunk_at(cpu_row_extra(&rows, thread), x_n, chunks, i),
                 chunks, i, 1.0f, i >= used);
        }
        cpu_row_store(&rows, z, n * used * r_hat, z_n);
    }
}

/* u[r_hat] = sum of dy over the outputs that stand in places first … of a period. */
static void sum_places(float *restrict u, const float *restrict dy, int64_t first, int64_t period,
                       int64_t d, int64_t r_hat)
{
    const int64_t there = cpu_min(r_hat, d - first);

    memcpy(u, dy + first, (size_t)there * sizeof *u);
    memset(u + there, 0, (size_t)(r_hat - there) * sizeof *u);
    for (int64_t again = first + period; again < d; again += period) {
        const int64_t count = cpu_min(r_hat, d - again);
        for (int64_t row = 0; row < count; row++) {
            u[row] += dy[again + row];
        }
    }
}

void AT_LEVEL(chunks_decomp_t_cpu)(struct backend *backend, void *u, const void *dy,
                                   const struct chunks *chunks, int64_t N, int64_t stride,
                                   int64_t u_stride, enum dtype type)
{
    const int64_t used = chunks_used(chunks);
    const int64_t period = chunks_in(chunks) * chunks->r_hat;
    const struct cpu_rows rows = cpu_rows(backend, chunks->d, chunks->r_hat, 0, type);
    if (!rows.ok || cpu_is_planning(backend)) {
        return;
    }

#pragma omp parallel for num_threads(cpu_threads(backend, N * chunks->d)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        const int thread = omp_get_thread_num();
        const float *dy_n = cpu_row_in(&rows, thread, dy, n, stride);
        for (int64_t i = 0; i < used; i++) {
            const int64_t first = (n * used + i) * u_stride;
            float *u_i = cpu_row_out(&rows, thread, u, first);
            sum_places(u_i, dy_n, i * chunks->r_hat, period, chunks->d, chunks->r_hat);
            cpu_row_store(&rows, u, first, u_i);
        }
    }
}

/* Adds a row of M R_i, turned[r_hat], to the row w_o[k] that it is for. */
static void add_chunk(float *restrict w_o, const float *restrict turned,
                      const struct chunks *chunks, int64_t i)
{
    const int64_t first = i * chunks->r_hat;
    const int64_t there = cpu_min(chunks->r_hat, chunks->k - first);

    for (int64_t b = 0; b < there; b++) {
        w_o[first + b] += turned[b];
    }
    for (int64_t b = there; b < chunks->r_hat && !chunks->zero_pad; b++) {
        w_o[b - there] += turned[b];
    }
}

/* t[r_hat] = a row of T = S + M. */
static void sum_row(float *restrict t, const float *sum, const float *adapter, int64_t row,
                    int64_t r_hat)
{
    const float *only = sum != NULL ? sum : adapter;

    if (sum == NULL || adapter == NULL) {
        memcpy(t, only + row * r_hat, (size_t)r_hat * sizeof *t);
        return;
    }
    for (int64_t b = 0; b < r_hat; b++) {
        t[b] = sum[row * r_hat + b] + adapter[row * r_hat + b];
    }
}

void AT_LEVEL(chunks_weight_cpu)(struct backend *backend, float *w, const float *w0,
                                 const float *sum, const float *adapter,
                                 const struct chunks *chunks)
{
    const int64_t r_hat = chunks->r_hat;
    const int64_t k = chunks->k;
    const int64_t n_in = chunks_in(chunks);
    const int64_t step = chunks->fold ? chunks_out(chunks) : n_in;
    float *scratch = cpu_scratch(backend, backend->threads * 2 * r_hat, sizeof *scratch);
    if (scratch == NULL || cpu_is_planning(backend)) {
        return;
    }

#pragma omp parallel for num_threads(cpu_threads(backend, chunks->d *k)) schedule(static)
    for (int64_t o = 0; o < chunks->d; o++) {
        float *t = scratch + omp_get_thread_num() * 2 * r_hat;
        float *turned = t + r_hat;
        const int64_t place = o % (n_in * r_hat);
        if (w != w0) {
            memcpy(w + o * k, w0 + o * k, (size_t)k * sizeof *w);
        }
        sum_row(t, sum, adapter, place % r_hat, r_hat);
        for (int64_t i = place / r_hat; i < n_in; i += step) {
            turn(turned, t, chunks, i, -1.0f, false);
            add_chunk(w + o * k, turned, chunks, i);
        }
    }
}
