// The transport below comm.c: what it asks of MPI. Used by src/dist only.
#ifndef TV_DIST_LINK_H
#define TV_DIST_LINK_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct tv_link_place {
    uint32_t rank, size, local_rank, local_size;
} tv_link_place;

// Counts and offsets are in elements, one of each per rank. All return TV_ENET on failure.
typedef struct tv_link {
    tv_err (*open)(tv_link_place *place);
    void (*close)(void);
    tv_err (*barrier)(void);
    tv_err (*broadcast)(uint32_t root, void *data, size_t size);
    tv_err (*gather)(const void *mine, size_t size, void *all);
    tv_err (*max)(uint64_t *values, size_t count);
    // Sends piece r of `values` to rank r; `pieces` receives every rank's piece for this rank, one
    // behind the other.
    tv_err (*exchange)(const float *values, const int *counts, const int *offsets, float *pieces,
                       int own_count);
    // Each rank has its own piece of `values` and receives those of the others.
    tv_err (*share)(float *values, const int *counts, const int *offsets);
    void (*abort)(int exit_code);
    void (*describe)(char out[128]);
} tv_link;

#ifdef TV_WITH_MPI
extern const tv_link tv_link_mpi;
#endif

#endif
