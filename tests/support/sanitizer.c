/*
 * What programs built with a sanitizer are told about what is not ours. Memory: Open MPI, PMIx
 * and hwloc keep some until the process ends. Linked into every program of such a build.
 */
#include <dlfcn.h>

const char *__lsan_default_suppressions(void);

/* Matched against the module that allocated. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libmpi\n"
           "leak:libopen-rte\n"
           "leak:libopen-pal\n"
           "leak:libpmix\n"
           "leak:libprrte\n"
           "leak:libhwloc\n"
           "leak:libevent\n"
           "leak:/openmpi/lib/openmpi3/\n"
           "leak:mca_\n"
           "leak:pmix_\n"
           "leak:__vasprintf_internal\n"; /* libc hides the caller; we do not use it */
}

/* Plugins stay loaded: of one that is gone, the sanitizer could not tell whose memory it was. */
int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

/* Its TCP transport takes two of its own locks in either order while ranks are added, which one
 * thread does. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "deadlock:mca_btl_tcp\n";
}
