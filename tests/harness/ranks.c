// Several ranks of a test's own program.
#include "harness/ranks.h"

#include "dist/comm.h"

#include <string.h>

bool tv_test_has_mpi(void)
{
    char library[128];
    tv_comm_describe(library);
    assert_true(library[0]);
    return strcmp(library, "not built in") != 0;
}

void tv_test_require_mpirun(void)
{
    if (tv_test_has_mpi() && system("command -v mpirun >/dev/null") == 0)
        return;
    print_message("skipped: mpirun is missing, or this build has no MPI\n");
    skip();
}

int tv_test_mpirun(int ranks, const char *program, const char *what)
{
    char command[2048];
    snprintf(command, sizeof command,
             "LSAN_OPTIONS=detect_leaks=0 timeout 100 mpirun --allow-run-as-root --oversubscribe "
             "--bind-to none --mca btl self,vader,tcp -n %d %s %s </dev/null",
             ranks, program, what);
    return system(command);
}
