#include "worker/ops/embedding.h"

void embedding_forward_ref(double *y, const double *table, const uint32_t *tokens, int64_t N,
                           int64_t C)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t c = 0; c < C; c++) {
            y[n * C + c] = table[tokens[n] * C + c];
        }
    }
}

void embedding_backward_ref(double *dtable, const double *dy, const uint32_t *tokens, int64_t N,
                            int64_t C)
{
    for (int64_t n = 0; n < N; n++) {
        for (int64_t c = 0; c < C; c++) {
            dtable[tokens[n] * C + c] += dy[n * C + c];
        }
    }
}
