// Loops over independent pieces, spread over the cores that this process may use.
#ifndef TV_BASE_PARALLEL_H
#define TV_BASE_PARALLEL_H

#include <stddef.h>

// Handles the pieces from `first` on, up to but without `end`.
typedef void tv_parallel_job(void *context, size_t first, size_t end);

// Calls `job` for parts that together are [0, count), each of at least `least` pieces unless there
// are fewer, and returns when all are done. Which thread takes which part must not matter.
void tv_parallel(size_t count, size_t least, tv_parallel_job *job, void *context);

// Handles one piece. `done` hears, in the calling thread, how many pieces are over by then.
typedef void tv_parallel_piece(void *context, size_t index);
typedef void tv_parallel_done(void *context, size_t count);

// Calls `job` for each of `count` pieces, which may take any time: each thread takes the next one
// when it is done with one. `done` may be NULL.
void tv_parallel_each(size_t count, tv_parallel_piece *job, tv_parallel_done *done, void *context);

// Has all cores fetch the pages behind memory that is about to be used for the first time, large
// ones where the system has them: that takes longer than filling it. What the memory holds stays.
void tv_fetch_pages(void *memory, size_t size);

#endif
