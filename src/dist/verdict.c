// Verdicts on lost ranks: one rank speaks for all, the lowest hub that lives.
#include "dist/verdict.h"

#include <stdio.h>
#include <string.h>

enum {
    TURN_SECONDS = 3,       // between the words of two hubs
    SAME_EVENT_SECONDS = 2, // heartbeats of ranks that were lost together stop within that
};

static bool is_new_host(const tv_pulse *ranks, uint32_t rank)
{
    for (uint32_t r = 0; r < rank; r++)
        if (strcmp(ranks[r].host, ranks[rank].host) == 0)
            return false;
    return true;
}

void tv_choose_hubs(tv_pulse *ranks, uint32_t size)
{
    uint32_t hubs = 0;
    for (uint32_t r = 0; r < size; r++) {
        ranks[r].hub = hubs < TV_HUBS_MAX && is_new_host(ranks, r);
        hubs += ranks[r].hub;
    }
    if (hubs == 1 && size > 1)
        ranks[1].hub = true;
}

static bool is_watched(const tv_pulse *p)
{
    return p->watched && !p->left;
}

static bool is_silent(const tv_pulse *p, double silence, double now)
{
    return is_watched(p) && !p->ended && now - p->heard > silence;
}

static bool is_ended(const tv_pulse *p)
{
    return is_watched(p) && p->ended;
}

// How long this rank lets others speak first.
static double turn(const tv_pulse *ranks, uint32_t self, double silence, double now)
{
    uint32_t before = 0;
    bool hub_lives = false;
    for (uint32_t r = 0; r < self; r++)
        if (ranks[r].hub && is_watched(&ranks[r]) && !is_ended(&ranks[r]) &&
            !is_silent(&ranks[r], silence, now)) {
            hub_lives = true;
            before++;
        }
    // Without any hub the others do not hear one another: a second each.
    if (!ranks[self].hub && !hub_lives)
        return 1 + (self < 30 ? self : 30);
    return TURN_SECONDS * (double)before;
}

static tv_verdict find_ended(const tv_pulse *ranks, uint32_t size)
{
    tv_verdict v = {TV_LOSS_NONE, 0, 0, 0};
    for (uint32_t r = 0; r < size; r++) {
        if (!is_ended(&ranks[r]))
            continue;
        if (v.loss == TV_LOSS_NONE || ranks[r].heard < ranks[v.rank].heard)
            v.rank = r;
        v.others += v.loss != TV_LOSS_NONE;
        v.loss = TV_LOSS_ENDED;
    }
    return v;
}

static tv_verdict find_silent(const tv_pulse *ranks, uint32_t size, double silence, double now)
{
    tv_verdict v = {TV_LOSS_NONE, 0, 0, 0};
    for (uint32_t r = 0; r < size && v.loss == TV_LOSS_NONE; r++)
        if (is_silent(&ranks[r], silence, now))
            v = (tv_verdict){TV_LOSS_SILENT, r, 0, now - ranks[r].heard};
    for (uint32_t r = 0; r < size && v.loss != TV_LOSS_NONE; r++)
        v.others += r != v.rank && is_silent(&ranks[r], silence - SAME_EVENT_SECONDS, now);
    return v;
}

// Of the ranks that did not begin or end a wait for long, those that do not wait let the others do
// so. Where several do not, the others wait for the one that began to wait least often.
static tv_verdict find_late(const tv_pulse *ranks, uint32_t size, uint32_t self, double delay)
{
    tv_verdict v = {TV_LOSS_NONE, 0, 0, 0};
    uint32_t waiting = 0, counted = 0;
    for (uint32_t r = 0; r < size; r++) {
        const tv_pulse *p = &ranks[r];
        if (r != self && !is_watched(p))
            continue;
        counted++;
        if (p->since <= delay)
            continue;
        waiting += p->waiting;
        if (p->waiting)
            continue;
        if (v.loss == TV_LOSS_NONE || p->waits < ranks[v.rank].waits)
            v.rank = r;
        v.others += v.loss != TV_LOSS_NONE;
        v.loss = TV_LOSS_LATE;
    }
    if (waiting == counted)
        v = (tv_verdict){TV_LOSS_STUCK, 0, size - 1, 0};
    v.seconds = ranks[v.rank].since;
    return waiting ? v : (tv_verdict){TV_LOSS_NONE, 0, 0, 0};
}

tv_verdict tv_find_verdict(const tv_pulse *ranks, uint32_t size, uint32_t self,
                           const tv_watch_limits *limits, double now)
{
    const tv_verdict none = {TV_LOSS_NONE, 0, 0, 0};
    double later = turn(ranks, self, limits->silence, now);
    tv_verdict v = find_ended(ranks, size);
    if (v.loss != TV_LOSS_NONE)
        return now - ranks[v.rank].heard >= later ? v : none;
    v = find_silent(ranks, size, limits->silence, now);
    if (v.loss != TV_LOSS_NONE)
        return v.seconds >= limits->silence + later ? v : none;
    v = find_late(ranks, size, self, limits->delay);
    return later == 0 ? v : none;
}

void tv_verdict_line(const tv_verdict *verdict, const tv_pulse *ranks, char line[512])
{
    char others[64] = "", what[160] = "";
    if (verdict->others)
        snprintf(others, sizeof others, " (and %u other%s)", verdict->others,
                 verdict->others > 1 ? "s" : "");
    if (verdict->loss == TV_LOSS_ENDED)
        snprintf(what, sizeof what, "ended without a word: killed, or out of memory");
    else if (verdict->loss == TV_LOSS_SILENT)
        snprintf(what, sizeof what,
                 "has not been heard for %.0f s: stopped, or its machine or network is down",
                 verdict->seconds);
    else if (verdict->loss == TV_LOSS_STUCK)
        snprintf(what, sizeof what,
                 "have waited for one another for %.0f s (TRIVIUM_RANK_DEADLINE): the network lost "
                 "something",
                 verdict->seconds);
    else
        snprintf(what, sizeof what,
                 "has let the others wait for %.0f s (TRIVIUM_RANK_DEADLINE): it hangs",
                 verdict->seconds);
    snprintf(line, 512,
             "rank %u on %s%s %s; the job ends, --resume auto goes on from the last checkpoint",
             verdict->rank, ranks[verdict->rank].host, others, what);
}
