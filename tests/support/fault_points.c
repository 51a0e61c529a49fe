/*
 * fault_points — takes the place of daemon/fault.c in remorad-fault: the process that passes the
 * point named by REMORA_FAULT is killed there, as by a loss of power. "point:N" is its Nth time.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/fault.h"

static const char *const names[] = {
#define X(constant, name) [FAULT_POINT_##constant] = name,
    FAULT_POINT_LIST(X)
#undef X
};

void fault_point(enum fault_point point)
{
    static int passed;
    const char *wanted = getenv("REMORA_FAULT");
    size_t size = strlen(names[point]);

    if (!wanted || strncmp(wanted, names[point], size) != 0 ||
        (wanted[size] != '\0' && wanted[size] != ':')) {
        return;
    }
    passed++;
    if (passed >= (wanted[size] == ':' ? atoi(wanted + size + 1) : 1)) {
        (void)raise(SIGKILL);
    }
}
