// Several ranks: a test that starts its own program under mpirun.
#ifndef TV_TESTS_RANKS_H
#define TV_TESTS_RANKS_H

#include "harness/harness.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

// Ends a rank with 3, and says why, where the condition is not true.
#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: not true: %s (%s)\n", __FILE__, __LINE__, #cond,               \
                    tv_error_message());                                                           \
            exit(3);                                                                               \
        }                                                                                          \
    } while (0)

bool tv_test_has_mpi(void);
// Skips the test where there is no mpirun, or this build has no MPI.
void tv_test_require_mpirun(void);
// Runs `program what` on so many ranks: the status as of system(3).
int tv_test_mpirun(int ranks, const char *program, const char *what);

#endif
