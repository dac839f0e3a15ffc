// Communication between ranks: finding the launcher, sums of a fixed order, agreement on failures.
#include "dist/comm.h"

#include "base/memory.h"
#include "base/text.h"
#include "dist/launcher.h"
#include "dist/link.h"
#include "dist/watchdog.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PIECE = 1 << 20, // floats that are summed at a time
    LINE_MAX_BYTES = 1024,
};

struct tv_comm {
    const tv_link *link;
    int lane;
    tv_comm *behind; // the second lane; NULL in itself
    tv_link_place place;
    char host[64];
    bool broken;
    tv_err agreed;             // what all ranks failed with
    char line[LINE_MAX_BYTES]; // its error line
    int *counts, *offsets;     // of each rank's piece
    float *pieces;             // [size][own count]
    _Atomic uint64_t sent;     // bytes
    tv_watchdog *watchdog;     // not of the second lane
};

// --------------------------------------------------------------------------------------- launch

// How many processes a launcher says it started; 0 where the variable is not set.
static uint64_t variable(const char *name)
{
    const char *text = getenv(name);
    uint64_t value;
    return text && tv_parse_u64(text, &value) ? value : 0;
}

#ifdef TV_WITH_MPI

static bool is_launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK",
                                        "MV2_COMM_WORLD_SIZE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (getenv(names[i]))
            return true;
    return variable("SLURM_NTASKS") > 1;
}

// Processes that the launcher nearest to this one says it started, and how it says so. The others'
// variables may be those around it: mpirun -n 1 within a larger allocation of Slurm is meant.
static uint64_t launched(const char **name)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                        "SLURM_NTASKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        *name = names[i];
        if (getenv(names[i]))
            return variable(names[i]);
    }
    return 0;
}

static tv_err refuse(const char *name, uint64_t count)
{
    char library[128];
    tv_comm_describe(library);
    if (strcmp(name, "SLURM_NTASKS") == 0)
        return tv_fail(TV_ENET,
                       "Slurm has %llu tasks here, but MPI sees one rank; start with mpirun or "
                       "srun --mpi=pmix, with MPICH --mpi=pmi2 (srun -n 1 for a single rank)",
                       (unsigned long long)count);
    return tv_fail(TV_ENET,
                   "started as one of %llu ranks (%s), but MPI sees one: another MPI's launcher; "
                   "this build has %s, start with its mpirun or mpiexec",
                   (unsigned long long)count, name, library);
}

// Open MPI would end the process with a page of text.
static bool slurm_lacks_pmix(void)
{
    char library[128];
    tv_comm_describe(library);
    return strncmp(library, "Open MPI", 8) == 0 && getenv("SLURM_STEP_ID") &&
           !getenv("PMIX_RANK") && !getenv("PMI_RANK");
}

static tv_err open_link(tv_comm *c)
{
    const char *name;
    uint64_t count = launched(&name); // asked first: MPI sets variables of its own
    tv_launcher_guard();
    if (strcmp(name, "SLURM_NTASKS") == 0 && count > 1 && slurm_lacks_pmix())
        return refuse(name, count);
    TV_TRY(c->link->open(&c->place));
    return c->place.size == 1 && count > 1 ? refuse(name, count) : TV_OK;
}

static void make_room(tv_comm *c)
{
    c->counts = tv_alloc(c->place.size, sizeof *c->counts);
    c->offsets = tv_alloc(c->place.size, sizeof *c->offsets);
    c->pieces = tv_alloc(PIECE + (size_t)c->place.size, sizeof *c->pieces);
}

tv_err tv_comm_open(tv_comm **comm)
{
    *comm = NULL;
    if (!is_launched())
        return TV_OK;
    tv_comm *c = tv_alloc(1, sizeof *c);
    c->link = &tv_link_mpi;
    tv_err err = open_link(c);
    if (err != TV_OK) {
        tv_comm_close(&c);
        return err;
    }
    gethostname(c->host, sizeof c->host - 1);
    c->behind = tv_alloc(1, sizeof *c->behind);
    *c->behind = *c;
    c->behind->behind = NULL;
    c->behind->lane = 1;
    make_room(c);
    make_room(c->behind);
    *comm = c; // from here on ranks can agree on failures
    return tv_watchdog_open(c, &c->watchdog);
}

void tv_comm_describe(char out[128])
{
    tv_link_mpi.describe(out);
}

#else

tv_err tv_comm_open(tv_comm **comm)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                        "SLURM_NTASKS"};
    *comm = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (variable(names[i]) > 1)
            return tv_fail(TV_ENET,
                           "started as one of %llu ranks (%s), but this build has no MPI; build "
                           "with -DTV_MPI=ON, or start one process",
                           (unsigned long long)variable(names[i]), names[i]);
    return TV_OK;
}

void tv_comm_describe(char out[128])
{
    snprintf(out, 128, "not built in");
}

#endif

static void free_lane(tv_comm *c)
{
    if (!c)
        return;
    free_lane(c->behind);
    tv_free(c->counts);
    tv_free(c->offsets);
    tv_free(c->pieces);
    tv_free(c);
}

void tv_comm_close(tv_comm **comm)
{
    if (*comm) {
        (*comm)->link->close();
        tv_watchdog_close(&(*comm)->watchdog);
    }
    free_lane(*comm);
    *comm = NULL;
}

tv_comm *tv_comm_behind(tv_comm *comm)
{
    return comm ? comm->behind : NULL;
}

uint32_t tv_comm_rank(const tv_comm *comm)
{
    return comm ? comm->place.rank : 0;
}

uint32_t tv_comm_size(const tv_comm *comm)
{
    return comm ? comm->place.size : 1;
}

uint32_t tv_comm_local_rank(const tv_comm *comm)
{
    return comm ? comm->place.local_rank : 0;
}

uint32_t tv_comm_local_size(const tv_comm *comm)
{
    return comm ? comm->place.local_size : 1;
}

const char *tv_comm_host(const tv_comm *comm)
{
    return comm ? comm->host : "localhost";
}

// ---------------------------------------------------------------------------------- collectives

// What the transport returned; its failure is for good.
static tv_err note(tv_comm *comm, tv_err err)
{
    comm->broken = comm->broken || err != TV_OK;
    return err;
}

tv_err tv_comm_barrier(tv_comm *comm)
{
    return comm ? note(comm, comm->link->barrier(comm->lane)) : TV_OK;
}

tv_err tv_comm_broadcast(tv_comm *comm, void *data, size_t size)
{
    return comm ? note(comm, comm->link->broadcast(comm->lane, 0, data, size)) : TV_OK;
}

tv_err tv_comm_gather(tv_comm *comm, const void *mine, size_t size, void *all)
{
    if (comm)
        return note(comm, comm->link->gather(comm->lane, mine, size, all));
    memcpy(all, mine, size);
    return TV_OK;
}

tv_err tv_comm_max(tv_comm *comm, uint64_t *values, size_t count)
{
    return comm ? note(comm, comm->link->max(comm->lane, values, count)) : TV_OK;
}

// Part `part` of every piece, each of at most `most` floats.
static tv_err reduce_part(tv_comm *c, float *values, const uint64_t *counts, uint64_t most,
                          uint64_t part)
{
    uint64_t offset = 0, first = part * most;
    for (uint32_t r = 0; r < c->place.size; r++) {
        uint64_t skipped = tv_min_size(first, counts[r]);
        c->offsets[r] = (int)(offset + skipped);
        c->counts[r] = (int)tv_min_size(most, counts[r] - skipped);
        offset += counts[r];
        c->sent += r == c->place.rank ? 0 : (uint64_t)c->counts[r] * sizeof *values;
    }
    size_t own = (size_t)c->counts[c->place.rank];
    float *sums = values + c->offsets[c->place.rank];
    TV_TRY(c->link->exchange(c->lane, values, c->counts, c->offsets, c->pieces, (int)own));
    for (size_t i = 0; i < own; i++) {
        double sum = c->pieces[i];
        for (size_t r = 1; r < c->place.size; r++)
            sum += c->pieces[r * own + i];
        sums[i] = (float)sum;
    }
    return TV_OK;
}

// Each rank adds up its own piece and hands the sums out: what one rank computed and all others
// copied is the same everywhere, which MPI_Allreduce does not promise for floats. Both halves
// together move no more data than a ring does: 2 (size - 1) / size of the values, in and out.
tv_err tv_comm_reduce_scatter_f32(tv_comm *comm, float *values, const uint64_t *counts)
{
    uint64_t largest = 0, total = 0;
    for (uint32_t r = 0; comm && r < comm->place.size; r++) {
        largest = counts[r] > largest ? counts[r] : largest;
        total += counts[r];
    }
    TV_CHECK(total <= INT_MAX, "%llu floats are too many at once", (unsigned long long)total);
    uint64_t most = comm ? PIECE / comm->place.size + 1 : 0;
    for (uint64_t part = 0; part * most < largest; part++)
        TV_TRY(note(comm, reduce_part(comm, values, counts, most, part)));
    return TV_OK;
}

// Counts or sizes, and where they begin, in the transport's numbers; their sum.
static uint64_t lay_out(tv_comm *c, const uint64_t *counts)
{
    uint64_t offset = 0;
    for (uint32_t r = 0; r < c->place.size; r++) {
        c->offsets[r] = (int)offset;
        c->counts[r] = (int)counts[r];
        offset += counts[r];
    }
    TV_CHECK(offset <= INT_MAX, "%llu are too many at once", (unsigned long long)offset);
    return offset;
}

// What MPI's numbers cannot count goes from one rank after the other.
static tv_err share(tv_comm *c, char *values, const uint64_t *sizes)
{
    uint64_t total = 0;
    c->sent += sizes[c->place.rank] * (c->place.size - 1);
    for (uint32_t r = 0; r < c->place.size; r++)
        total += sizes[r];
    if (total <= INT_MAX) {
        lay_out(c, sizes);
        return c->link->share(c->lane, values, c->counts, c->offsets);
    }
    for (uint32_t r = 0; r < c->place.size; values += sizes[r++])
        TV_TRY(c->link->broadcast(c->lane, r, values, sizes[r]));
    return TV_OK;
}

tv_err tv_comm_all_gather(tv_comm *comm, void *values, const uint64_t *sizes)
{
    return comm ? note(comm, share(comm, values, sizes)) : TV_OK;
}

tv_err tv_comm_exchange(tv_comm *comm, const uint32_t *words, const uint64_t *counts,
                        uint32_t *pieces)
{
    if (!comm) {
        memcpy(pieces, words, counts[0] * sizeof *words);
        return TV_OK;
    }
    uint64_t own = counts[comm->place.rank], total = lay_out(comm, counts);
    comm->sent += (total - own) * sizeof *words;
    // Words pass as floats do: nothing looks at what they mean.
    return note(comm, comm->link->exchange(comm->lane, (const float *)words, comm->counts,
                                           comm->offsets, (float *)pieces, (int)own));
}

tv_err tv_comm_collect(tv_comm *comm, const void *mine, const uint64_t *sizes, void *all)
{
    if (!comm) {
        memcpy(all, mine, sizes[0]);
        return TV_OK;
    }
    lay_out(comm, sizes);
    comm->sent += comm->place.rank ? sizes[comm->place.rank] : 0;
    return note(comm, comm->link->collect(comm->lane, mine, (int)sizes[comm->place.rank], all,
                                          comm->counts, comm->offsets));
}

tv_err tv_comm_swap(tv_comm *comm, uint32_t peer, const void *out, size_t out_size, void *in,
                    size_t in_size)
{
    TV_CHECK(comm && peer < comm->place.size && peer != comm->place.rank, "no rank %u", peer);
    TV_CHECK(out_size <= INT_MAX && in_size <= INT_MAX, "%zu bytes are too many at once", out_size);
    return note(comm, comm->link->swap(comm->lane, peer, out, (int)out_size, in, (int)in_size));
}

static tv_err sum_piece(tv_comm *c, float *values, uint64_t count, uint64_t *counts)
{
    uint32_t size = c->place.size;
    for (uint32_t r = 0; r < size; r++)
        counts[r] = count * (r + 1) / size - count * r / size;
    TV_TRY(tv_comm_reduce_scatter_f32(c, values, counts));
    for (uint32_t r = 0; r < size; r++)
        counts[r] *= sizeof *values;
    return tv_comm_all_gather(c, values, counts);
}

tv_err tv_comm_sum_f32(tv_comm *comm, float *values, size_t count)
{
    if (!comm)
        return TV_OK;
    uint64_t *counts = tv_alloc(comm->place.size, sizeof *counts);
    tv_err err = TV_OK;
    for (size_t done = 0; done < count && err == TV_OK; done += PIECE)
        err = sum_piece(comm, values + done, tv_min_size(count - done, PIECE), counts);
    tv_free(counts);
    return err;
}

uint64_t tv_comm_sent_bytes(const tv_comm *comm)
{
    return comm ? comm->sent + (comm->behind ? comm->behind->sent : 0) : 0;
}

tv_err tv_comm_sum_f64(tv_comm *comm, double *values, size_t count)
{
    if (!comm)
        return TV_OK;
    double *all = tv_alloc(comm->place.size * count, sizeof *all);
    tv_err err = tv_comm_gather(comm, values, count * sizeof *values, all);
    for (size_t i = 0; i < count && err == TV_OK; i++) {
        values[i] = all[i];
        for (size_t r = 1; r < comm->place.size; r++)
            values[i] += all[r * count + i];
    }
    tv_free(all);
    return err;
}

// ------------------------------------------------------------------------------------- failures

// Whether it matters where rank 0 runs: not for what the user got wrong, or asked for.
static bool is_of_machine(tv_err code)
{
    return code != TV_EUSAGE && code != TV_ESTOP && code != TV_EFORMAT && code != TV_EDATA &&
           code != TV_ENET;
}

// Shares the line of `rank`, which failed with `code`.
static tv_err spread(tv_comm *c, uint32_t rank, tv_err code)
{
    memset(c->line, 0, sizeof c->line);
    bool named = rank > 0 || (c->place.size > 1 && is_of_machine(code));
    if (rank == c->place.rank && named)
        snprintf(c->line, sizeof c->line, "rank %u on %s: %s", rank, c->host, tv_error_message());
    else if (rank == c->place.rank)
        snprintf(c->line, sizeof c->line, "%s", tv_error_message());
    TV_TRY(note(c, c->link->broadcast(c->lane, rank, c->line, sizeof c->line)));
    c->agreed = code;
    return tv_fail(code, "%s", c->line);
}

tv_err tv_comm_agree(tv_comm *comm, tv_err err)
{
    if (!comm || comm->broken)
        return err;
    if (comm->agreed != TV_OK)
        return tv_fail(comm->agreed, "%s", comm->line);
    // The largest of these is that of the lowest rank that failed.
    uint64_t size = comm->place.size;
    uint64_t worst = err == TV_OK ? 0 : (size - comm->place.rank) << 32 | (uint64_t)err;
    TV_TRY(tv_comm_max(comm, &worst, 1));
    if (worst == 0)
        return TV_OK;
    return spread(comm, (uint32_t)(size - (worst >> 32)), (tv_err)(worst & UINT32_MAX));
}

bool tv_comm_has_failed(const tv_comm *comm)
{
    return comm && (comm->broken || comm->agreed != TV_OK);
}

bool tv_comm_is_broken(const tv_comm *comm)
{
    return comm && comm->broken;
}

void tv_comm_settle(tv_comm *comm)
{
    if (comm)
        tv_watchdog_settle(comm->watchdog);
}

void tv_comm_abort(tv_comm *comm, int exit_code)
{
    if (comm)
        comm->link->abort(exit_code);
}
