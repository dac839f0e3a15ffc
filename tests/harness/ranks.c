// Several ranks of a test's own program.
#include "harness/ranks.h"

#include "dist/comm.h"

#include <string.h>

#define OPEN_MPI_OPTIONS                                                                           \
    " --allow-run-as-root --oversubscribe --bind-to none --mca btl self,vader,tcp"

bool tv_test_has_mpi(void)
{
    char library[128];
    tv_comm_describe(library);
    assert_true(library[0]);
    return strcmp(library, "not built in") != 0;
}

static bool has_mpich(void)
{
    char library[128];
    tv_comm_describe(library);
    return strncmp(library, "MPICH", 5) == 0;
}

static const char *launcher(void)
{
    return has_mpich() ? "mpiexec.hydra" : "mpirun";
}

void tv_test_require_mpirun(void)
{
    char command[256];
    snprintf(command, sizeof command, "command -v %s >/dev/null", launcher());
    if (tv_test_has_mpi() && system(command) == 0)
        return;
    print_message("skipped: %s is missing, or this build has no MPI\n", launcher());
    skip();
}

int tv_test_mpirun(int ranks, const char *program, const char *what)
{
    char command[2048];
    snprintf(command, sizeof command,
             "LSAN_OPTIONS=detect_leaks=0 timeout 100 %s%s -n %d %s %s </dev/null", launcher(),
             has_mpich() ? "" : OPEN_MPI_OPTIONS, ranks, program, what);
    return system(command);
}
