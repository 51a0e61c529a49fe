/*
 * What programs built with AddressSanitizer are told about memory that is not ours: Open MPI, PMIx
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
