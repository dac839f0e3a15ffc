// Placement: lifetimes of activations packed into one arena, everything else in rows.
#include "plan/place.h"

#include "base/text.h"
#include "plan/fuse.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t block_limit = 1ull << 30;

enum { SMALL_SHARE = 64, SMALL_NODES = 6 }; // see prolong_small

// Ops whose output may lie where an input does, and worth it: see docs/dev/plan.md. Their kernels
// read no element of it in another lane than the one that writes it, and what a lane writes first
// depends on all that it reads there, so that compilers cannot change the order.
static const struct in_place {
    tv_op op;
    uint32_t input;
} in_place[] = {{TV_OP_ROPE, 0}, {TV_OP_SWIGLU_GRAD, 0}};

// The life of an activation or a stand-in, as indices of nodes, both included.
typedef struct life {
    const tv_tensor *tensor;
    uint32_t pass;
    size_t first, last;
    uint64_t size;
    tv_spot spot;
} life;

typedef struct lives {
    life *all;
    size_t count;
    uint32_t *index; // by tensor: of its life, or of the one that it is part of
} lives;

// Whether the tensor shares memory with others.
static bool is_shared(const tv_tensor *tensor)
{
    return tensor->kind == TV_ACTIVATION || tensor->span;
}

static uint64_t padded_bytes(const tv_tensor *tensor)
{
    return tv_align_up(tv_tensor_bytes(tensor), TV_BINDING_ALIGNMENT);
}

static tv_err too_large(const tv_tensor *tensor, uint64_t max_alloc)
{
    char need[32], have[32];
    tv_format_bytes(tv_tensor_bytes(tensor), need);
    tv_format_bytes(max_alloc, have);
    return tv_fail(TV_EMEMORY,
                   "%s [%u, %u] takes %s, but the device allocates at most %s in one piece",
                   tensor->name, tensor->rows, tensor->columns, need, have);
}

static uint32_t add_block(tv_placement *p, tv_kind kind, bool on_host)
{
    TV_RESERVE(p->blocks, p->block_capacity, p->block_count + 1);
    p->blocks[p->block_count] = (tv_block){.kind = kind, .on_host = on_host};
    return (uint32_t)p->block_count++;
}

static void count_bytes(tv_placement *p, tv_kind kind, bool on_host, uint64_t size)
{
    if (on_host)
        p->memory.host += size;
    else
        p->memory.bytes[kind] += size;
}

static int by_kind_place_and_rank(const void *a, const void *b)
{
    const tv_tensor *x = *(const tv_tensor *const *)a, *y = *(const tv_tensor *const *)b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->on_host != y->on_host)
        return x->on_host ? 1 : -1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static tv_err place_one(const tv_tensor *tensor, uint64_t max_alloc, tv_placement *p)
{
    uint64_t limit = tv_min_size(max_alloc, block_limit), size = padded_bytes(tensor);
    tv_block *last = p->block_count > 0 ? &p->blocks[p->block_count - 1] : NULL;
    if (size > max_alloc)
        return too_large(tensor, max_alloc);
    if (!last || last->kind != tensor->kind || last->on_host != tensor->on_host ||
        last->size + size > limit)
        add_block(p, tensor->kind, tensor->on_host);
    uint32_t block = (uint32_t)p->block_count - 1;
    p->spots[tensor->id] = (tv_spot){block, p->blocks[block].size};
    p->blocks[block].size += size;
    count_bytes(p, tensor->kind, tensor->on_host, size);
    return TV_OK;
}

static tv_err place_persistent(const tv_graph *graph, uint64_t max_alloc, tv_placement *p)
{
    const tv_tensor **sorted = tv_alloc(graph->tensor_count + 1, sizeof *sorted);
    size_t count = 0;
    tv_err err = TV_OK;
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (!is_shared(graph->tensors[i]) && !graph->tensors[i]->sharding)
            sorted[count++] = graph->tensors[i];
    qsort(sorted, count, sizeof *sorted, by_kind_place_and_rank);
    for (size_t i = 0; i < count && err == TV_OK; i++)
        err = place_one(sorted[i], max_alloc, p);
    tv_free(sorted);
    return err;
}

static void extend_life(const lives *l, const tv_tensor *tensor, size_t node, uint32_t pass)
{
    if (!tensor || !is_shared(tensor))
        return;
    life *x = &l->all[l->index[tensor->id]];
    if (!x->tensor)
        *x = (life){tensor, pass, node, node, padded_bytes(tensor), {TV_NOT_PLACED, 0}};
    TV_CHECK(x->pass == pass, "%s is used in two passes", tensor->name);
    x->last = node;
}

// Stand-ins live as long as their programs.
static void stretch_stand_ins(const tv_graph *graph, lives *l)
{
    tv_span *nodes = tv_alloc(graph->phase_count, sizeof *nodes); // of each phase
    for (uint32_t n = 0; n < graph->node_count; n++) {
        tv_span *s = &nodes[graph->nodes[n]->phase];
        s->first = n > 0 && graph->nodes[n - 1]->phase == graph->nodes[n]->phase ? s->first : n;
        s->last = n;
    }
    for (size_t i = 0; i < l->count; i++) {
        life *x = &l->all[i];
        if (!x->tensor || !x->tensor->span)
            continue;
        x->first = nodes[x->tensor->span->first].first;
        x->last = nodes[x->tensor->span->last].last;
    }
    tv_free(nodes);
}

// Whether the node's output may take over the memory of an input, which nobody uses afterwards.
static bool takes_over(const lives *l, const tv_node *node, size_t n, uint32_t input)
{
    const tv_tensor *x = node->in[input], *y = node->out[0];
    return x->kind == TV_ACTIVATION && y->kind == TV_ACTIVATION && x->dtype == y->dtype &&
           x->on_host == y->on_host && tv_tensor_count(x) == tv_tensor_count(y) &&
           l->all[l->index[x->id]].last == n && l->all[l->index[y->id]].first == n;
}

// Makes one life of those of an input and an output.
static void share_memory(lives *l, const tv_node *node, size_t n)
{
    for (size_t i = 0; i < sizeof in_place / sizeof *in_place; i++) {
        uint32_t input = in_place[i].input;
        if (in_place[i].op != node->op || !takes_over(l, node, n, input))
            continue;
        uint32_t *index = &l->index[node->out[0]->id], kept = l->index[node->in[input]->id];
        l->all[kept].last = l->all[*index].last;
        l->all[*index].tensor = NULL;
        *index = kept;
        return;
    }
}

// Memory that is used again at once would make what uses it wait. So small tensors, which hardly
// count, live on for a few nodes.
static void prolong_small(const lives *l)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < l->count; i++)
        largest = tv_max_size(largest, l->all[i].size);
    for (size_t i = 0; i < l->count; i++)
        if (l->all[i].size <= largest / SMALL_SHARE)
            l->all[i].last += SMALL_NODES;
}

// The lives of all activations; those without a tensor are part of others', or not used at all.
static void find_lives(const tv_graph *graph, lives *l)
{
    *l = (lives){.index = tv_alloc(graph->tensor_count, sizeof *l->index)};
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (is_shared(graph->tensors[i]))
            l->index[i] = (uint32_t)l->count++;
    l->all = tv_alloc(l->count, sizeof *l->all);
    for (size_t n = 0; n < graph->node_count; n++) {
        const tv_node *node = graph->nodes[n];
        uint32_t pass = graph->passes[node->phase];
        for (size_t i = 0; i < TV_NODE_INPUTS; i++)
            extend_life(l, node->in[i], n, pass);
        for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
            extend_life(l, node->out[i], n, pass);
    }
    stretch_stand_ins(graph, l);
    for (size_t n = 0; n < graph->node_count; n++)
        share_memory(l, graph->nodes[n], n);
    prolong_small(l);
}

static int larger_first(const void *a, const void *b)
{
    const life *x = *(const life *const *)a, *y = *(const life *const *)b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return x->tensor->id < y->tensor->id ? -1 : 1;
}

static int lower_offset_first(const void *a, const void *b)
{
    const life *const *x = a, *const *y = b;
    return (*x)->spot.offset < (*y)->spot.offset ? -1 : (*x)->spot.offset > (*y)->spot.offset;
}

// The lowest offset in the block that no overlapping life occupies. `others` is room for `placed`.
static uint64_t lowest_gap(life *const *sorted, size_t placed, const life *l, uint32_t block,
                           const life **others)
{
    size_t count = 0;
    for (size_t i = 0; i < placed; i++) {
        const life *o = sorted[i];
        if (o->spot.block == block && o->pass == l->pass && o->first <= l->last &&
            l->first <= o->last)
            others[count++] = o;
    }
    qsort(others, count, sizeof *others, lower_offset_first);
    uint64_t offset = 0;
    for (size_t i = 0; i < count && others[i]->spot.offset < offset + l->size; i++)
        offset = tv_max_size(offset, others[i]->spot.offset + others[i]->size);
    return offset;
}

// In a block from `first_block` on in the memory that it is for, or in a new one.
static tv_err place_life(life *const *sorted, size_t placed, uint64_t max_alloc,
                         uint32_t first_block, const life **others, tv_placement *p)
{
    life *l = sorted[placed];
    uint64_t limit = tv_min_size(max_alloc, block_limit);
    if (l->size > max_alloc)
        return too_large(l->tensor, max_alloc);
    for (uint32_t b = first_block; l->spot.block == TV_NOT_PLACED; b++) {
        if (b == p->block_count)
            add_block(p, TV_ACTIVATION, l->tensor->on_host);
        if (p->blocks[b].on_host != l->tensor->on_host)
            continue;
        uint64_t offset = lowest_gap(sorted, placed, l, b, others);
        if (offset + l->size <= limit || offset == 0) {
            l->spot = (tv_spot){b, offset};
            p->blocks[b].size = tv_max_size(p->blocks[b].size, offset + l->size);
        }
    }
    return TV_OK;
}

static size_t sort_lives(const lives *l, life **sorted)
{
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++)
        if (l->all[i].tensor)
            sorted[count++] = &l->all[i];
    qsort(sorted, count, sizeof *sorted, larger_first);
    return count;
}

static tv_err place_activations(const tv_graph *graph, uint64_t max_alloc, tv_placement *p)
{
    lives l;
    find_lives(graph, &l);
    life **sorted = tv_alloc(l.count, sizeof *sorted);
    const life **others = tv_alloc(l.count, sizeof *others);
    size_t count = sort_lives(&l, sorted);
    uint32_t first_block = (uint32_t)p->block_count;
    tv_err err = TV_OK;
    for (size_t i = 0; i < count && err == TV_OK; i++)
        err = place_life(sorted, i, max_alloc, first_block, others, p);
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const tv_tensor *tensor = graph->tensors[i];
        if (!is_shared(tensor) || !l.all[l.index[tensor->id]].tensor)
            continue;
        p->spots[tensor->id] = l.all[l.index[tensor->id]].spot;
        p->memory.unshared += tensor->on_host ? 0 : padded_bytes(tensor);
    }
    for (size_t b = first_block; b < p->block_count; b++)
        count_bytes(p, TV_ACTIVATION, p->blocks[b].on_host, p->blocks[b].size);
    tv_free(others);
    tv_free(sorted);
    tv_free(l.index);
    tv_free(l.all);
    return err;
}

tv_err tv_place(const tv_graph *graph, uint64_t max_alloc, tv_placement *placement)
{
    *placement = (tv_placement){.spots = tv_alloc(graph->tensor_count + 1, sizeof(tv_spot))};
    for (size_t i = 0; i <= graph->tensor_count; i++)
        placement->spots[i].block = TV_NOT_PLACED;
    tv_err err = place_persistent(graph, max_alloc, placement);
    if (err == TV_OK)
        err = place_activations(graph, max_alloc, placement);
    if (err != TV_OK) {
        tv_placement_finish(placement);
        return err;
    }
    for (tv_kind kind = 0; kind < TV_KIND_COUNT; kind++)
        placement->memory.total += placement->memory.bytes[kind];
    return TV_OK;
}

void tv_place_scratch(tv_placement *p, const tv_tensor *scratch)
{
    uint64_t size = padded_bytes(scratch);
    if (size == 0)
        return;
    uint32_t block = add_block(p, TV_ACTIVATION, false);
    p->spots[scratch->id] = (tv_spot){block, 0};
    p->blocks[block].size = size;
    p->memory.bytes[TV_ACTIVATION] += size;
    p->memory.unshared += size;
    p->memory.total += size;
}

void tv_placement_finish(tv_placement *placement)
{
    tv_free(placement->spots);
    tv_free(placement->blocks);
    *placement = (tv_placement){0};
}

tv_err tv_plan_measure(const tv_graph *graph, const tv_caps *caps, tv_plan_memory *memory)
{
    tv_placement placement;
    tv_fused fused;
    tv_fuse(graph, caps, &fused);
    tv_err err = tv_place(&fused.graph, caps->max_alloc, &placement);
    tv_fused_finish(&fused);
    if (err != TV_OK)
        return err;
    *memory = placement.memory;
    tv_placement_finish(&placement);
    return TV_OK;
}
