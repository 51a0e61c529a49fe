#include "worker/method/rank.h"

#include <stdlib.h>

#include "proto/base/sys.h"

int64_t rank_sketch_columns(int64_t d, int64_t k)
{
    const int64_t smaller = d < k ? d : k;
    return smaller < RANK_SKETCH_COLUMNS_MAX ? smaller : RANK_SKETCH_COLUMNS_MAX;
}

/* gram[p,p] = Yᵀ Y, whole. Rows of the result are independent of each other. */
static void form_gram(double *gram, const float *y, int64_t d, int64_t p)
{
    enum { ROWS = 8 }; /* taken together: y is read once for all of them */

#pragma omp parallel for schedule(dynamic)
    for (int64_t first = 0; first < p; first += ROWS) {
        const int64_t end = first + ROWS < p ? first + ROWS : p;
        for (int64_t o = 0; o < d; o++) {
            const float *y_o = y + o * p;
            for (int64_t i = first; i < end; i++) {
                const double y_i = (double)y_o[i];
                double *gram_i = gram + i * p;
#pragma omp simd
                for (int64_t j = 0; j < p; j++) {
                    gram_i[j] += y_i * (double)y_o[j];
                }
            }
        }
    }
}

/* One step of the factorisation: takes what lies along the pivot out of what is left of gram. */
static void eliminate(double *gram, int64_t p, int64_t pivot)
{
    const double *row = gram + pivot * p;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p; i++) {
        const double along = gram[i * p + pivot] / row[pivot];
        if (i != pivot && along != 0.0) {
#pragma omp simd
            for (int64_t j = 0; j < p; j++) {
                gram[i * p + j] -= along * row[j];
            }
        }
    }
}

/* The row that is longest yet; its square length is the next pivot. */
static int64_t find_pivot(const double *gram, const char *is_done, int64_t p)
{
    int64_t best = -1;

    for (int64_t i = 0; i < p; i++) {
        if (!is_done[i] && (best < 0 || gram[i * p + i] > gram[best * p + best])) {
            best = i;
        }
    }
    return best;
}

enum status rank_of_sketch(int64_t *out, const float *y, int64_t d, int64_t p, struct error *err)
{
    double *gram = sys_calloc((size_t)(p * p), sizeof *gram);
    char *is_done = sys_calloc((size_t)p, sizeof *is_done);
    enum status status = STATUS_OK;
    double bound = 0.0;

    *out = 0;
    if (gram == NULL || is_done == NULL) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the estimate of a rank");
        goto done;
    }
    form_gram(gram, y, d, p);
    for (; *out < p; ++*out) {
        const int64_t pivot = find_pivot(gram, is_done, p);
        const double square = gram[pivot * p + pivot];
        bound = *out == 0 ? square * RANK_TOLERANCE * RANK_TOLERANCE : bound;
        if (!(square > bound)) {
            break;
        }
        eliminate(gram, p, pivot);
        is_done[pivot] = 1;
    }
done:
    free(gram);
    free(is_done);
    return status;
}
