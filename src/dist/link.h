// The transport below comm.c: what it asks of MPI. Used by src/dist only.
#ifndef TV_DIST_LINK_H
#define TV_DIST_LINK_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tv_link_place {
    uint32_t rank, size, local_rank, local_size;
} tv_link_place;

// Each lane is a world of its own: calls on one never meet those on another, so that two threads
// can communicate at once, each on its lane.
enum { TV_LANES = 2 };

// Counts and offsets are one of each per rank; of floats, or bytes where that is said. All return
// TV_ENET on failure.
typedef struct tv_link {
    tv_err (*open)(tv_link_place *place);
    void (*close)(void);
    tv_err (*barrier)(int lane);
    tv_err (*broadcast)(int lane, uint32_t root, void *data, size_t size);
    tv_err (*gather)(int lane, const void *mine, size_t size, void *all);
    tv_err (*max)(int lane, uint64_t *values, size_t count);
    // Sends piece r of `values` to rank r; `pieces` receives every rank's piece for this rank, one
    // behind the other.
    tv_err (*exchange)(int lane, const float *values, const int *counts, const int *offsets,
                       float *pieces, int own_count);
    // Each rank has its own piece of `bytes` and receives those of the others.
    tv_err (*share)(int lane, void *bytes, const int *sizes, const int *offsets);
    // Brings the bytes of every rank to rank 0.
    tv_err (*collect)(int lane, const void *mine, int size, void *all, const int *sizes,
                      const int *offsets);
    // Between this rank and one other, both ways at once; nothing travels where a size is 0.
    tv_err (*swap)(int lane, uint32_t peer, const void *out, int out_size, void *in, int in_size);
    void (*abort)(int exit_code);
    void (*describe)(char out[128]);
} tv_link;

#ifdef TV_WITH_MPI
extern const tv_link tv_link_mpi;
#endif

#endif
