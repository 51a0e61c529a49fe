#include "worker/ops/dtype.h"

const char *dtype_name(enum dtype type)
{
    static const char *const names[] = {
#define X(constant, name, bytes) [DTYPE_##constant] = name,
        DTYPE_LIST(X)
#undef X
    };
    return names[type];
}
