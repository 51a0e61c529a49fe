#include <string.h>

#include "worker/ops/cpu.h"

void AT_LEVEL(embedding_forward_cpu)(struct backend *backend, float *y, const float *table,
                                     const uint32_t *tokens, int64_t N, int64_t C)
{
    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *C)) schedule(static)
    for (int64_t n = 0; n < N; n++) {
        memcpy(y + n * C, table + tokens[n] * C, (size_t)C * sizeof *y);
    }
}

/* A token may occur often, so threads take columns instead of tokens: each adds its own in order.
 */
void AT_LEVEL(embedding_backward_cpu)(struct backend *backend, float *dtable, const float *dy,
                                      const uint32_t *tokens, int64_t N, int64_t C)
{
    enum { COLUMNS = 64 };
    const int64_t blocks = cpu_ceil_div(C, COLUMNS);

    if (cpu_is_planning(backend)) {
        return;
    }
#pragma omp parallel for num_threads(cpu_threads(backend, N *C)) schedule(static)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t first = block * COLUMNS;
        const int64_t count = cpu_min(COLUMNS, C - first);
        for (int64_t n = 0; n < N; n++) {
            float *dtable_n = dtable + tokens[n] * C + first;
            const float *dy_n = dy + n * C + first;
#pragma omp simd
            for (int64_t c = 0; c < count; c++) {
                dtable_n[c] += dy_n[c];
            }
        }
    }
}
