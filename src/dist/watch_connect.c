// Connecting the watchdogs: ranks tell each other through MPI where they listen; then each calls
// the hubs below it and answers the ranks above it.
#include "dist/watch_connect.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "dist/dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_SECONDS 10.0

// What a rank tells the others. Limits and job are rank 0's.
typedef struct card {
    char host[TV_WATCH_HOST_BYTES];
    tv_watch_limits limits;
    uint64_t job;
    uint32_t address_count, addresses[TV_ADDRESSES_MAX];
    uint16_t port; // 0: it listens nowhere
} card;

static tv_err read_setting(const char *name, double fallback, double largest, double *value)
{
    const char *text = getenv(name);
    *value = fallback;
    if (!text || !*text)
        return TV_OK;
    if (!tv_parse_double(text, value) || *value < 0 || *value > largest)
        return tv_fail(TV_EUSAGE, "%s=%s: must be a number from 0 to %.0f", name, text, largest);
    return TV_OK;
}

static tv_err fill_card(const tv_comm *comm, card *c, int *listener)
{
    double port;
    snprintf(c->host, sizeof c->host, "%s", tv_comm_host(comm));
    TV_TRY(read_setting("TRIVIUM_RANK_TIMEOUT", 15, 1e6, &c->limits.silence));
    TV_TRY(read_setting("TRIVIUM_RANK_DEADLINE", 1800, 1e9, &c->limits.delay));
    TV_TRY(read_setting("TRIVIUM_RANK_PORT", 0, 65000, &port));
    c->job = tv_now_ns() ^ (uint64_t)getpid() << 40;
    c->port = (uint16_t)(port > 0 ? port + tv_comm_local_rank(comm) : 0);
    c->address_count = (uint32_t)tv_dial_addresses(c->addresses);
    return tv_dial_listen(&c->port, listener);
}

// Ranks call hubs, and of two hubs the one of the higher rank calls.
static bool calls(const tv_pulse *pulses, uint32_t from, uint32_t to)
{
    return pulses[to].hub && from != to && (!pulses[from].hub || from > to);
}

static void connect_all(const card *cards, const tv_pulse *pulses, uint32_t self, uint32_t size,
                        int listener, int *sockets)
{
    double deadline = tv_now_seconds() + CONNECT_SECONDS;
    uint32_t missing = 0, from;
    for (uint32_t r = 0; r < size; r++) {
        tv_hello hello = {.job = cards[0].job, .from = self, .to = r};
        if (calls(pulses, self, r))
            sockets[r] = tv_dial(cards[r].addresses, cards[r].address_count, cards[r].port, &hello,
                                 deadline);
        missing += calls(pulses, r, self);
    }
    while (missing > 0) {
        int s = tv_dial_accept(listener, cards[0].job, self, &from, deadline);
        if (s < 0)
            return;
        if (from >= size || !calls(pulses, from, self) || sockets[from] >= 0) {
            close(s);
            continue;
        }
        sockets[from] = s;
        missing--;
    }
}

// Rank 0 warns where it, or any other rank, is not connected to all that it should be.
static tv_err report(tv_comm *comm, const card *cards, const tv_pulse *pulses, const int *sockets)
{
    uint32_t self = tv_comm_rank(comm), size = tv_comm_size(comm);
    uint64_t worst = 0; // of the lowest rank that misses one: (size - itself), the missed one
    for (uint32_t r = size; r-- > 0;)
        if ((calls(pulses, self, r) || calls(pulses, r, self)) && sockets[r] < 0)
            worst = (uint64_t)(size - self) << 32 | r;
    TV_TRY(tv_comm_max(comm, &worst, 1));
    uint32_t from = (uint32_t)(size - (worst >> 32)), to = (uint32_t)worst;
    if (worst && self == 0)
        tv_warn("rank %u on %s and rank %u on %s cannot reach each other at port %u; what befalls "
                "one of them may go unnoticed (TRIVIUM_RANK_PORT sets ports that a firewall lets "
                "through)",
                from, cards[from].host, to, cards[to].host, cards[pulses[to].hub ? to : from].port);
    return TV_OK;
}

static tv_err connect_ranks(tv_comm *comm, const card *cards, int listener, tv_pulse *pulses,
                            int *sockets)
{
    uint32_t size = tv_comm_size(comm);
    tv_choose_hubs(pulses, size);
    connect_all(cards, pulses, tv_comm_rank(comm), size, listener, sockets);
    return report(comm, cards, pulses, sockets);
}

tv_err tv_watch_connect(tv_comm *comm, tv_watch_limits *limits, char *hosts, tv_pulse *pulses,
                        int *sockets, bool *wanted)
{
    uint32_t size = tv_comm_size(comm);
    int listener = -1;
    card mine, *all = tv_alloc(size, sizeof *all);
    memset(&mine, 0, sizeof mine);
    for (uint32_t r = 0; r < size; r++)
        sockets[r] = -1;
    tv_err err = tv_comm_agree(comm, fill_card(comm, &mine, &listener));
    if (err == TV_OK)
        err = tv_comm_gather(comm, &mine, sizeof mine, all);
    for (uint32_t r = 0; r < size; r++) {
        memcpy(hosts + (size_t)r * TV_WATCH_HOST_BYTES, all[r].host, TV_WATCH_HOST_BYTES);
        pulses[r].host = hosts + (size_t)r * TV_WATCH_HOST_BYTES;
    }
    *limits = all[0].limits;
    *wanted = err == TV_OK && limits->silence > 0;
    if (*wanted)
        err = connect_ranks(comm, all, listener, pulses, sockets);
    if (listener >= 0)
        close(listener);
    tv_free(all);
    return err;
}
