// Stop requests: SIGINT, SIGTERM and SIGUSR2 ask a run to save and end; a second SIGINT ends it at
// once.
#ifndef TV_BASE_STOP_H
#define TV_BASE_STOP_H

#include <stdbool.h>

// Installs the handlers. What a signal handler writes must be static: one flag.
void tv_stop_install(void);
// Whether one came since; also puts the handlers back, which drivers replace.
bool tv_stop_requested(void);

#endif
