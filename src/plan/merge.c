// Merging: launches of one op whose windows follow one another in memory become one launch. What a
// merged launch computes has the same bits, whatever the speed that the device was measured at.
#include "plan/lower.h"
#include "plan/place.h"

#include <string.h>

typedef struct merger {
    const tv_lowering *lowering;
    const tv_placement *placement;
} merger;

// What a pair of windows at the same slot is to each other.
typedef enum relation { APART, SAME, FOLLOWS } relation;

static uint64_t place_of(const merger *m, const tv_window *w, uint64_t element)
{
    return m->placement->spots[w->tensor->id].offset +
           (w->first + element) * tv_dtype_bytes(w->tensor->dtype);
}

// `gap`: bytes that may lie between them.
static relation relate(const merger *m, const tv_window *a, const tv_window *b, uint64_t gap)
{
    const tv_spot *spots = m->placement->spots;
    if (a->access != b->access || a->tensor->dtype != b->tensor->dtype ||
        spots[a->tensor->id].block != spots[b->tensor->id].block)
        return APART;
    uint64_t end = place_of(m, a, a->count), next = place_of(m, b, 0);
    if (a->tensor == b->tensor && a->first == b->first && a->count == b->count)
        return SAME;
    return next >= end && next - end <= gap ? FOLLOWS : APART;
}

// Extends the windows of `a` over those of `b`: the first `moving` and the last one (a copy) follow
// one another, all others are the same. False, and nothing is changed, where that is not so.
static bool join_windows(const merger *m, tv_launch *a, const tv_launch *b, uint32_t moving,
                         uint64_t gap)
{
    tv_window joined[TV_MAX_BINDINGS];
    for (uint32_t i = 0; i < a->window_count; i++) {
        const tv_window *x = &a->windows[i], *y = &b->windows[i];
        uint32_t bytes = tv_dtype_bytes(x->tensor->dtype);
        relation r = relate(m, x, y, gap);
        if (r == APART || (r == SAME && i < moving))
            return false;
        joined[i] = *x;
        if (r == SAME)
            continue;
        joined[i].count = (place_of(m, y, y->count) - place_of(m, x, 0)) / bytes;
        if (joined[i].count * bytes > m->lowering->caps->max_range)
            return false;
    }
    memcpy(a->windows, joined, sizeof joined[0] * a->window_count);
    return true;
}

static bool same_floats(const tv_launch *a, const tv_launch *b)
{
    return memcmp(a->args.f, b->args.f, sizeof a->args.f) == 0;
}

static bool in_time(const merger *m, const tv_launch *a, const tv_launch *b)
{
    return a->work + b->work <= m->lowering->budget;
}

// What lies between two tensors of one kind belongs to nobody.
static bool merge_fill(const merger *m, tv_launch *a, const tv_launch *b)
{
    if (!same_floats(a, b) || !in_time(m, a, b) ||
        !join_windows(m, a, b, 1, TV_BINDING_ALIGNMENT - 1))
        return false;
    a->args.u[0] = (uint32_t)a->windows[0].count;
    tv_grid_lanes(m->lowering, a, tv_div_up(a->args.u[0], 4));
    return true;
}

// The parts of `a` are followed by those of `b`. A block may then span two tensors, so that there
// are fewer than parts; the last parts become 0.
static bool merge_sumsq(const merger *m, tv_launch *a, const tv_launch *b)
{
    if (a->args.u[1] != b->args.u[1] || a->args.u[2] + a->args.u[3] != b->args.u[2] ||
        !join_windows(m, a, b, 1, 0))
        return false;
    a->args.u[0] += b->args.u[0];
    a->args.u[3] += b->args.u[3];
    tv_grid_groups(m->lowering, a, a->args.u[3]);
    return true;
}

static bool merge_adamw(const merger *m, tv_launch *a, const tv_launch *b)
{
    const uint32_t *u = a->args.u, *v = b->args.u;
    bool fours = u[0] % 4 == 0 && u[2] + (u[1] + u[0]) / 4 == v[2] + v[1] / 4;
    if (!fours || !same_floats(a, b) || !in_time(m, a, b) || !join_windows(m, a, b, 4, 0))
        return false;
    a->args.u[0] += b->args.u[0];
    tv_grid_lanes(m->lowering, a, tv_div_up(a->args.u[0], 4));
    return true;
}

// Neighbouring columns of one tensor, added to targets of one row that follow one another.
static bool merge_colsum(const merger *m, tv_launch *a, const tv_launch *b)
{
    uint32_t *u = a->args.u;
    bool follows = u[4] + u[1] == b->args.u[4] && u[0] <= u[2] && u[0] == b->args.u[0];
    if (!follows || u[3] != b->args.u[3] || relate(m, &a->windows[0], &b->windows[0], 0) != SAME ||
        relate(m, &a->windows[1], &b->windows[1], 0) != FOLLOWS)
        return false;
    a->windows[1].count += b->windows[1].count;
    u[1] += b->args.u[1];
    tv_grid_lanes(m->lowering, a, tv_div_up(u[1], 4));
    return true;
}

static bool merge(const merger *m, tv_launch *a, const tv_launch *b)
{
    bool same = a->phase == b->phase && a->node->op == b->node->op &&
                strcmp(a->choice.name, b->choice.name) == 0 &&
                memcmp(a->choice.constants, b->choice.constants, sizeof a->choice.constants) == 0;
    if (!same)
        return false;
    switch (a->node->op) {
    case TV_OP_FILL:
        return merge_fill(m, a, b);
    case TV_OP_SUMSQ:
        return merge_sumsq(m, a, b);
    case TV_OP_ADAMW:
        return merge_adamw(m, a, b);
    case TV_OP_COLSUM:
        return merge_colsum(m, a, b);
    default:
        return false;
    }
}

void tv_merge_launches(tv_lowering *lowering, const tv_placement *placement)
{
    merger m = {lowering, placement};
    size_t kept = 0;
    for (size_t i = 0; i < lowering->count; i++) {
        const tv_launch *launch = &lowering->launches[i];
        tv_launch *last = kept > 0 ? &lowering->launches[kept - 1] : NULL;
        if (last && merge(&m, last, launch)) {
            last->work += launch->work;
            last->bytes += launch->bytes;
        } else {
            lowering->launches[kept++] = *launch;
        }
    }
    lowering->count = kept;
}
