// Placement: lifetimes of activations packed into one arena, everything else in rows.
#include "plan/place.h"

#include "base/text.h"
#include "plan/fuse.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t block_limit = 1ull << 30;

enum { SMALL_SHARE = 64, SMALL_NODES = 6 }; // see prolong_small

// An activation's life, as indices of nodes, both included.
typedef struct life {
    const tv_tensor *tensor;
    uint32_t phase;
    size_t first, last;
    uint64_t size;
    tv_spot spot;
} life;

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

static uint32_t add_block(tv_placement *p, tv_kind kind)
{
    TV_RESERVE(p->blocks, p->block_capacity, p->block_count + 1);
    p->blocks[p->block_count] = (tv_block){.kind = kind};
    return (uint32_t)p->block_count++;
}

static int by_kind_and_rank(const void *a, const void *b)
{
    const tv_tensor *x = *(const tv_tensor *const *)a, *y = *(const tv_tensor *const *)b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
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
    if (!last || last->kind != tensor->kind || last->size + size > limit)
        add_block(p, tensor->kind);
    uint32_t block = (uint32_t)p->block_count - 1;
    p->spots[tensor->id] = (tv_spot){block, p->blocks[block].size};
    p->blocks[block].size += size;
    p->memory.bytes[tensor->kind] += size;
    return TV_OK;
}

static tv_err place_persistent(const tv_graph *graph, uint64_t max_alloc, tv_placement *p)
{
    const tv_tensor **sorted = tv_alloc(graph->tensor_count + 1, sizeof *sorted);
    size_t count = 0;
    tv_err err = TV_OK;
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (graph->tensors[i]->kind != TV_ACTIVATION && !graph->tensors[i]->sharding)
            sorted[count++] = graph->tensors[i];
    qsort(sorted, count, sizeof *sorted, by_kind_and_rank);
    for (size_t i = 0; i < count && err == TV_OK; i++)
        err = place_one(sorted[i], max_alloc, p);
    tv_free(sorted);
    return err;
}

static void extend_life(life *lives, const uint32_t *index, const tv_tensor *tensor, size_t node,
                        uint32_t phase)
{
    if (!tensor || tensor->kind != TV_ACTIVATION)
        return;
    life *l = &lives[index[tensor->id]];
    if (!l->tensor)
        *l = (life){tensor, phase, node, node, padded_bytes(tensor), {TV_NOT_PLACED, 0}};
    TV_CHECK(l->phase == phase, "%s is used in two phases", tensor->name);
    l->last = node;
}

// Memory that is used again at once would make what uses it wait. So small tensors, which hardly
// count, live on for a few nodes.
static void prolong_small(life *lives, size_t count)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = tv_max_size(largest, lives[i].size);
    for (size_t i = 0; i < count; i++)
        if (lives[i].size <= largest / SMALL_SHARE)
            lives[i].last += SMALL_NODES;
}

// The lives of all activations that are used; the caller frees *lives.
static size_t find_lives(const tv_graph *graph, life **lives)
{
    uint32_t *index = tv_alloc(graph->tensor_count, sizeof *index);
    uint32_t count = 0;
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (graph->tensors[i]->kind == TV_ACTIVATION)
            index[i] = count++;
    *lives = tv_alloc(count, sizeof **lives);
    for (size_t n = 0; n < graph->node_count; n++) {
        const tv_node *node = graph->nodes[n];
        for (size_t i = 0; i < TV_NODE_INPUTS; i++)
            extend_life(*lives, index, node->in[i], n, node->phase);
        for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
            extend_life(*lives, index, node->out[i], n, node->phase);
    }
    tv_free(index);
    prolong_small(*lives, count);
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if ((*lives)[i].tensor)
            (*lives)[used++] = (*lives)[i];
    return used;
}

static int larger_first(const void *a, const void *b)
{
    const life *x = a, *y = b;
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
static uint64_t lowest_gap(const life *lives, size_t placed, const life *l, uint32_t block,
                           const life **others)
{
    size_t count = 0;
    for (size_t i = 0; i < placed; i++) {
        const life *o = &lives[i];
        if (o->spot.block == block && o->phase == l->phase && o->first <= l->last &&
            l->first <= o->last)
            others[count++] = o;
    }
    qsort(others, count, sizeof *others, lower_offset_first);
    uint64_t offset = 0;
    for (size_t i = 0; i < count && others[i]->spot.offset < offset + l->size; i++)
        offset = tv_max_size(offset, others[i]->spot.offset + others[i]->size);
    return offset;
}

static tv_err place_activations(const tv_graph *graph, uint64_t max_alloc, tv_placement *p)
{
    life *lives;
    size_t count = find_lives(graph, &lives);
    const life **others = tv_alloc(count, sizeof *others);
    uint64_t limit = tv_min_size(max_alloc, block_limit);
    uint32_t first_block = (uint32_t)p->block_count;
    tv_err err = TV_OK;
    qsort(lives, count, sizeof *lives, larger_first);
    for (size_t i = 0; i < count && err == TV_OK; i++) {
        life *l = &lives[i];
        p->memory.unshared += l->size;
        if (l->size > max_alloc)
            err = too_large(l->tensor, max_alloc);
        for (uint32_t b = first_block; l->spot.block == TV_NOT_PLACED; b++) {
            if (b == p->block_count)
                add_block(p, TV_ACTIVATION);
            uint64_t offset = lowest_gap(lives, i, l, b, others);
            if (offset + l->size <= limit || offset == 0) {
                l->spot = (tv_spot){b, offset};
                p->blocks[b].size = tv_max_size(p->blocks[b].size, offset + l->size);
            }
        }
        p->spots[l->tensor->id] = l->spot;
    }
    for (size_t b = first_block; b < p->block_count; b++)
        p->memory.bytes[TV_ACTIVATION] += p->blocks[b].size;
    tv_free(others);
    tv_free(lives);
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
    uint32_t block = add_block(p, TV_ACTIVATION);
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
