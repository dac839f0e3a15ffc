// The watchdog's beginning: who hears whom, and the connections between them.
#ifndef TV_DIST_WATCH_CONNECT_H
#define TV_DIST_WATCH_CONNECT_H

#include "dist/comm.h"
#include "dist/verdict.h"

enum { TV_WATCH_HOST_BYTES = 64 };

// Collective. Fills in rank 0's limits, each rank's `host` (kept in `hosts`) and `hub`, and its
// socket, -1 where there is none. *wanted is false where rank 0 wants no watchdog.
tv_err tv_watch_connect(tv_comm *comm, tv_watch_limits *limits, char *hosts, tv_pulse *pulses,
                        int *sockets, bool *wanted);

#endif
