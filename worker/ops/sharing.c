#include "worker/ops/sharing.h"

int64_t sharing_balanced_group(int64_t index, int64_t n, int64_t r_hat)
{
    const int64_t q = n / r_hat;
    const int64_t larger = n % r_hat * (q + 1); /* members of the groups that have q + 1 */
    return index < larger ? index / (q + 1) : n % r_hat + (index - larger) / q;
}
