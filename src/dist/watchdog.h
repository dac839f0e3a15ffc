// The watchdog of a rank: a thread that exchanges signs of life with the other ranks over
// connections beside MPI. Where one is lost (killed, stopped, cut off, or hanging) one rank prints
// one line that names it, and all end themselves with exit code 75: MPI alone may wait forever.
//
// The thread lives on while the main thread compiles kernels or loads data for minutes.
//
// Environment, of rank 0: TRIVIUM_RANK_TIMEOUT=SECONDS of silence after which a rank is lost (15;
// 0: no watchdog). TRIVIUM_RANK_DEADLINE=SECONDS that a rank may let the others wait (1800).
// TRIVIUM_RANK_PORT=N: the ranks of a machine listen at ports N, N + 1, ... (any free ones).
#ifndef TV_DIST_WATCHDOG_H
#define TV_DIST_WATCHDOG_H

#include "base/error.h"
#include "dist/comm.h"

typedef struct tv_watchdog tv_watchdog;

// Collective. Connects the ranks and starts the thread; *dog is NULL where there is nothing to
// watch. Ranks that cannot be reached beside MPI are not watched, with a warning of rank 0.
tv_err tv_watchdog_open(tv_comm *comm, tv_watchdog **dog);

// Tells the others that this rank ends in order.
void tv_watchdog_close(tv_watchdog **dog);

// Before the calling thread prints the line of a failure of the network and ends the process: gives
// the watchdog the time to find out which rank is to blame. Where it does, it ends the process;
// where it does not, the others are told that they need not say anything. Accepts NULL.
void tv_watchdog_settle(tv_watchdog *dog);

// Around each wait for other ranks, from any thread. The states of a process, not of a watchdog.
void tv_watchdog_wait_begins(void);
void tv_watchdog_wait_ends(void);

#endif
