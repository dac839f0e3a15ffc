// Clock: monotonic time, and the wall clock for logs.
#ifndef TV_BASE_CLOCK_H
#define TV_BASE_CLOCK_H

#include <stdint.h>

uint64_t tv_now_ns(void);        // monotonic
double tv_now_seconds(void);     // monotonic
double tv_thread_seconds(void);  // CPU time of the calling thread
void tv_wall_time(char out[32]); // "2026-11-22T19:20:21Z"

#endif
