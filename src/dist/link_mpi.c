// The transport over MPI 3.1, the only file that sees mpi.h. Empty in builds without MPI.
#include "dist/link.h"

#ifdef TV_WITH_MPI

#include "base/memory.h"
#include "dist/watchdog.h"

#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static tv_err check(int result, const char *what)
{
    char reason[MPI_MAX_ERROR_STRING];
    int length;
    if (result == MPI_SUCCESS)
        return TV_OK;
    if (MPI_Error_string(result, reason, &length) != MPI_SUCCESS)
        snprintf(reason, sizeof reason, "error %d", result);
    return tv_fail(TV_ENET, "the ranks lost each other: %s: %s", what, reason);
}

#define MPI(call, ...) TV_TRY(check(MPI_##call(__VA_ARGS__), "MPI_" #call))

enum { SPINS = 1000, SWAP_SPINS = 20000, NAP_NANOSECONDS = 50000 };
static const struct timespec nap = {.tv_nsec = NAP_NANOSECONDS};

static MPI_Comm lanes[TV_LANES];
// Held during each call of MPI, which then need not allow several threads at once.
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

// Waits for a collective call. MPI's own waiting keeps a core busy, which a software device on this
// machine, or another rank, has better use for: so the wait soon turns into naps.
static tv_err finish(int started, const char *what, MPI_Request *request)
{
    int done = 0;
    TV_TRY(check(started, what));
    tv_err err = TV_OK;
    tv_watchdog_wait_begins();
    for (int spins = 0; !done && err == TV_OK; spins++) {
        if (spins > SPINS)
            nanosleep(&nap, NULL);
        pthread_mutex_lock(&turn);
        int result = MPI_Test(request, &done, MPI_STATUS_IGNORE);
        pthread_mutex_unlock(&turn);
        err = check(result, what);
    }
    tv_watchdog_wait_ends();
    return err;
}

// A non-blocking collective over all ranks, to its end.
#define COLLECTIVE(lane, call, ...)                                                                \
    do {                                                                                           \
        MPI_Request request;                                                                       \
        pthread_mutex_lock(&turn);                                                                 \
        int started = MPI_##call(__VA_ARGS__, lanes[lane], &request);                              \
        pthread_mutex_unlock(&turn);                                                               \
        TV_TRY(finish(started, "MPI_" #call, &request));                                           \
    } while (0)

static tv_err find_place(tv_link_place *place)
{
    int rank, size, local_rank, local_size;
    MPI_Comm local;
    MPI(Comm_set_errhandler, MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI(Comm_rank, MPI_COMM_WORLD, &rank);
    MPI(Comm_size, MPI_COMM_WORLD, &size);
    MPI(Comm_split_type, MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &local);
    MPI(Comm_rank, local, &local_rank);
    MPI(Comm_size, local, &local_size);
    MPI(Comm_free, &local);
    *place =
        (tv_link_place){(uint32_t)rank, (uint32_t)size, (uint32_t)local_rank, (uint32_t)local_size};
    return TV_OK;
}

static tv_err mpi_open(tv_link_place *place)
{
    int provided;
    MPI(Init_thread, NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    TV_TRY(find_place(place));
    if (provided < MPI_THREAD_SERIALIZED)
        return tv_fail(TV_ENET, "this MPI library was built without threads; use one that has them "
                                "(Open MPI and MPICH do by default)");
    for (int i = 0; i < TV_LANES; i++)
        MPI(Comm_dup, MPI_COMM_WORLD, &lanes[i]); // and its error handler
    return TV_OK;
}

static void mpi_close(void)
{
    int opened;
    if (MPI_Initialized(&opened) == MPI_SUCCESS && opened)
        MPI_Finalize();
}

static tv_err mpi_barrier(int lane)
{
    MPI_Request request;
    pthread_mutex_lock(&turn);
    int started = MPI_Ibarrier(lanes[lane], &request);
    pthread_mutex_unlock(&turn);
    return finish(started, "MPI_Ibarrier", &request);
}

static tv_err mpi_broadcast(int lane, uint32_t root, void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t part = tv_min_size(size - done, INT_MAX);
        COLLECTIVE(lane, Ibcast, (char *)data + done, (int)part, MPI_BYTE, (int)root);
        done += part;
    }
    return TV_OK;
}

static tv_err mpi_gather(int lane, const void *mine, size_t size, void *all)
{
    TV_CHECK(size <= INT_MAX, "gather of %zu bytes", size);
    COLLECTIVE(lane, Iallgather, mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE);
    return TV_OK;
}

static tv_err mpi_max(int lane, uint64_t *values, size_t count)
{
    TV_CHECK(count <= INT_MAX, "max of %zu values", count);
    COLLECTIVE(lane, Iallreduce, MPI_IN_PLACE, values, (int)count, MPI_UINT64_T, MPI_MAX);
    return TV_OK;
}

static tv_err exchange(int lane, const float *values, const int *counts, const int *offsets,
                       float *pieces, const int *own_counts, const int *own_offsets)
{
    COLLECTIVE(lane, Ialltoallv, values, counts, offsets, MPI_FLOAT, pieces, own_counts,
               own_offsets, MPI_FLOAT);
    return TV_OK;
}

static tv_err mpi_exchange(int lane, const float *values, const int *counts, const int *offsets,
                           float *pieces, int own_count)
{
    int size;
    MPI(Comm_size, lanes[lane], &size);
    int *own = tv_alloc(2 * (size_t)size, sizeof *own); // counts, then offsets
    for (int r = 0; r < size; r++) {
        own[r] = own_count;
        own[size + r] = r * own_count;
    }
    tv_err err = exchange(lane, values, counts, offsets, pieces, own, own + size);
    tv_free(own);
    return err;
}

static tv_err mpi_share(int lane, void *bytes, const int *sizes, const int *offsets)
{
    COLLECTIVE(lane, Iallgatherv, MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, bytes, sizes, offsets,
               MPI_BYTE);
    return TV_OK;
}

static tv_err mpi_collect(int lane, const void *mine, int size, void *all, const int *sizes,
                          const int *offsets)
{
    COLLECTIVE(lane, Igatherv, mine, size, MPI_BYTE, all, sizes, offsets, MPI_BYTE, 0);
    return TV_OK;
}

// Naps come late: they would be most of what a short message takes.
static tv_err mpi_swap(int lane, uint32_t peer, const void *out, int out_size, void *in,
                       int in_size)
{
    MPI_Request both[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    MPI_Status unread[2]; // gcc warns of MPICH's MPI_STATUSES_IGNORE: an array that is too short
    int result = MPI_SUCCESS, done = 0;
    pthread_mutex_lock(&turn);
    if (in_size > 0)
        result = MPI_Irecv(in, in_size, MPI_BYTE, (int)peer, 0, lanes[lane], &both[0]);
    if (out_size > 0 && result == MPI_SUCCESS)
        result = MPI_Isend(out, out_size, MPI_BYTE, (int)peer, 0, lanes[lane], &both[1]);
    pthread_mutex_unlock(&turn);
    tv_watchdog_wait_begins();
    for (int spins = 0; !done && result == MPI_SUCCESS; spins++) {
        if (spins > SWAP_SPINS)
            nanosleep(&nap, NULL);
        else
            sched_yield();
        pthread_mutex_lock(&turn);
        result = MPI_Testall(2, both, &done, unread);
        pthread_mutex_unlock(&turn);
    }
    tv_watchdog_wait_ends();
    return check(result, "MPI_Testall");
}

static void mpi_abort(int exit_code)
{
    MPI_Abort(MPI_COMM_WORLD, exit_code);
}

// Open MPI tells its name up to the first comma, MPICH its version in a first line with a tab.
static void mpi_describe(char out[128])
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (MPI_Get_library_version(version, &length) != MPI_SUCCESS)
        snprintf(version, sizeof version, "MPI");
    version[strcspn(version, ",\n")] = 0;
    for (char *c = version; *c; c++)
        *c = *c == '\t' ? ' ' : *c;
    snprintf(out, 128, "%.127s", version);
}

const tv_link tv_link_mpi = {
    .open = mpi_open,
    .close = mpi_close,
    .barrier = mpi_barrier,
    .broadcast = mpi_broadcast,
    .gather = mpi_gather,
    .max = mpi_max,
    .exchange = mpi_exchange,
    .share = mpi_share,
    .collect = mpi_collect,
    .swap = mpi_swap,
    .abort = mpi_abort,
    .describe = mpi_describe,
};

#endif
