// Communication between the ranks of a run: one process per device, started by mpirun or srun.
//
// Every call on a tv_comm but tv_comm_rank ... tv_comm_host, tv_comm_swap and tv_comm_abort is
// collective: it blocks until all ranks have made the same call, in the same order. A NULL comm is
// a run of one rank: every call but tv_comm_swap accepts it and has nothing to do.
//
// Failure. Where the transport fails a call returns TV_ENET, the ranks cannot reach each other any
// more, and each can only end the job (tv_comm_abort). Everything else that fails, fails on one
// rank while the others go on to their next collective call. So before any other collective call
// that follows work which can fail stands tv_comm_agree: a rank that failed goes straight to the
// next one on its way, meets the others there, and all of them return the same error.
//
// One thread calls; a second one has tv_comm_behind. A rank that hangs would hang them all: a
// watchdog (dist/watchdog.h) ends the job then, and where a rank dies, with a line that names it.
#ifndef TV_DIST_COMM_H
#define TV_DIST_COMM_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tv_comm tv_comm;

// NULL, without touching MPI, where the environment names no launcher; else joins the other ranks.
// At most once per process. TV_ENET where the launcher started several processes that cannot see
// each other: this build has no MPI, or srun lacks --mpi=pmix. Where *comm is not NULL the failure
// is that of all ranks.
tv_err tv_comm_open(tv_comm **comm);
void tv_comm_close(tv_comm **comm);

uint32_t tv_comm_rank(const tv_comm *comm); // 0 ... size - 1
uint32_t tv_comm_size(const tv_comm *comm);
uint32_t tv_comm_local_rank(const tv_comm *comm); // among the ranks on this machine
uint32_t tv_comm_local_size(const tv_comm *comm);
const char *tv_comm_host(const tv_comm *comm); // this machine's name

// The same ranks, for work that goes on behind the caller's back (base/worker.h): its calls never
// meet those on `comm`, and another thread makes them. It belongs to `comm`; NULL for NULL.
tv_comm *tv_comm_behind(tv_comm *comm);

tv_err tv_comm_barrier(tv_comm *comm);
tv_err tv_comm_broadcast(tv_comm *comm, void *data, size_t size); // from rank 0
// all [size of comm * size] receives every rank's `mine`, in rank order.
tv_err tv_comm_gather(tv_comm *comm, const void *mine, size_t size, void *all);

// In place, element by element. Sums add in rank order, in double precision: every rank gets the
// same bits, in every run with as many ranks, whatever MPI and network there are.
tv_err tv_comm_sum_f32(tv_comm *comm, float *values, size_t count);
tv_err tv_comm_sum_f64(tv_comm *comm, double *values, size_t count); // for a few values
tv_err tv_comm_max(tv_comm *comm, uint64_t *values, size_t count);

// The two halves of a sum over ranks, for `values` in as many pieces as there are ranks, one behind
// the other: each rank adds up its own piece, the others' keep what they hold; and each hands its
// own piece out. counts and sizes [ranks]: floats and bytes of the pieces.
tv_err tv_comm_reduce_scatter_f32(tv_comm *comm, float *values, const uint64_t *counts);
tv_err tv_comm_all_gather(tv_comm *comm, void *values, const uint64_t *sizes);
// Hands pieces of `words` out: counts [ranks] says how many words each rank gets, one behind the
// other. `pieces` receives what all ranks sent to this one, in rank order: each counts[rank] words.
tv_err tv_comm_exchange(tv_comm *comm, const uint32_t *words, const uint64_t *counts,
                        uint32_t *pieces);
// Brings the bytes of all ranks to rank 0, one behind the other; sizes [ranks], all [their sum] on
// rank 0, NULL elsewhere.
tv_err tv_comm_collect(tv_comm *comm, const void *mine, const uint64_t *sizes, void *all);
// Between two ranks, each of which calls it and names the other: `out` becomes the other's `in`.
// For measuring a link: it waits without naps at first, is not collective, and not counted as sent.
// Nothing travels where a size is 0.
tv_err tv_comm_swap(tv_comm *comm, uint32_t peer, const void *out, size_t out_size, void *in,
                    size_t in_size);
// Bytes that this rank has sent to others in sums, reductions and gathers so far, here and behind.
uint64_t tv_comm_sent_bytes(const tv_comm *comm);

// Tells the others how this rank fared. TV_OK if all passed TV_OK; else the code and the error line
// of the lowest rank that failed, on every rank. From then on it returns that at once, without
// communicating: an error passes through several of these on its way up.
tv_err tv_comm_agree(tv_comm *comm, tv_err err);

// Whether a failure is known to all ranks, or they can no longer reach each other.
bool tv_comm_has_failed(const tv_comm *comm);
// Whether the ranks can no longer reach each other.
bool tv_comm_is_broken(const tv_comm *comm);
// Before this rank prints that they cannot, and ends: ends the process where the watchdog knows
// which rank is to blame, and says so.
void tv_comm_settle(tv_comm *comm);
// Ends all ranks with this exit code; does not return unless comm is NULL.
void tv_comm_abort(tv_comm *comm, int exit_code);

// "Open MPI v4.1.4", "not built in". At any time.
void tv_comm_describe(char out[128]);

#endif
