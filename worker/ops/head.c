#include "worker/ops/head.h"

/*
 * Few tokens make the product with w bound by reading w, and the sum into dw by writing it; many
 * make the logits fall out of the cache.
 */
int64_t head_chunk_tokens(int64_t V)
{
    enum { TOKENS_MIN = 512, TOKENS_MAX = 1024, LOGITS = 1 << 21 };
    int64_t tokens = LOGITS / V;
    return tokens < TOKENS_MIN ? TOKENS_MIN : tokens > TOKENS_MAX ? TOKENS_MAX : tokens;
}
