/*
 * embedding — rows of a table, looked up by token.
 *
 *     y[N,C] <- table[V,C], tokens[N]:   y[n] = table[tokens[n]]
 *     dtable[V,C] += dy[N,C], tokens[N]: dtable[tokens[n]] += dy[n], in the order of n
 *
 * Every token is below V; the caller checks. No overlap.
 */
#pragma once

#include <stdint.h>

struct backend;

typedef void embedding_forward_fn(struct backend *backend, float *y, const float *table,
                                  const uint32_t *tokens, int64_t N, int64_t C);
typedef void embedding_backward_fn(struct backend *backend, float *dtable, const float *dy,
                                   const uint32_t *tokens, int64_t N, int64_t C);

void embedding_forward_ref(double *y, const double *table, const uint32_t *tokens, int64_t N,
                           int64_t C);
void embedding_backward_ref(double *dtable, const double *dy, const uint32_t *tokens, int64_t N,
                            int64_t C);
