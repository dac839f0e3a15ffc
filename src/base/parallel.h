// Loops over independent pieces, spread over the cores that this process may use.
#ifndef TV_BASE_PARALLEL_H
#define TV_BASE_PARALLEL_H

#include <stddef.h>

// Handles the pieces from `first` on, up to but without `end`.
typedef void tv_parallel_job(void *context, size_t first, size_t end);

// Calls `job` for parts that together are [0, count), each of at least `least` pieces unless there
// are fewer, and returns when all are done. Which thread takes which part must not matter.
void tv_parallel(size_t count, size_t least, tv_parallel_job *job, void *context);

// Has all cores fetch the pages behind memory that is about to be used for the first time, large
// ones where the system has them: that takes longer than filling it. What the memory holds stays.
void tv_fetch_pages(void *memory, size_t size);

#endif
