// Graphs on the null device.
#include "harness/placement.h"

#include "harness/harness.h"
#include "plan/place.h"

int tv_test_open_null(void **state)
{
    tv_device *device;
    if (tv_device_open("null", NULL, &device) != TV_OK) {
        print_error("%s\n", tv_error_message());
        return -1;
    }
    *state = device;
    return 0;
}

tv_tensor *tv_test_feed(tv_graph *graph, tv_dtype dtype, uint32_t columns, const char *name)
{
    return tv_graph_tensor(graph, TV_FEED, dtype, 1, columns, name);
}

tv_err tv_test_programs(const tv_graph *graph, tv_device *device)
{
    tv_plan *plan = NULL;
    tv_err err;
    TV_GOTO(done, tv_plan_create(graph, device, &plan));
    TV_GOTO(done, tv_plan_upload(plan));
    for (uint32_t phase = 0; phase < graph->phase_count; phase++) {
        TV_GOTO(done, tv_plan_run(plan, phase));
        TV_GOTO(done, tv_plan_wait(plan, phase));
    }
    err = tv_plan_download(plan);
done:
    tv_plan_destroy(&plan);
    return err;
}

static bool uses(const tv_node *node, const tv_tensor *tensor)
{
    for (int i = 0; i < TV_NODE_INPUTS; i++)
        if (node->in[i] == tensor)
            return true;
    for (int i = 0; i < TV_NODE_OUTPUTS; i++)
        if (node->out[i] == tensor)
            return true;
    return false;
}

// The first and last node that uses a tensor; false if none does.
static bool life_of(const tv_graph *graph, const tv_tensor *tensor, size_t *first, size_t *last)
{
    bool used = false;
    for (size_t n = 0; n < graph->node_count; n++)
        if (uses(graph->nodes[n], tensor)) {
            *first = used ? *first : n;
            *last = n;
            used = true;
        }
    return used;
}

// Whether both hold values at some time: all but activations do so always.
static bool meet(const tv_graph *graph, const tv_tensor *a, const tv_tensor *b)
{
    size_t a_first = 0, a_last = 0, b_first = 0, b_last = 0;
    if (a->kind != TV_ACTIVATION || b->kind != TV_ACTIVATION)
        return true;
    return life_of(graph, a, &a_first, &a_last) && life_of(graph, b, &b_first, &b_last) &&
           a_first <= b_last && b_first <= a_last;
}

// Whether b is written where a lies, by the node that reads a last, and may be.
static bool passes_on(const tv_graph *graph, const tv_placement *p, const tv_tensor *a,
                      const tv_tensor *b)
{
    const tv_spot *s = &p->spots[a->id], *t = &p->spots[b->id];
    size_t first, last, b_first = 0, b_last;
    if (!life_of(graph, a, &first, &last) || !life_of(graph, b, &b_first, &b_last))
        return false;
    const tv_node *node = graph->nodes[last];
    return (node->op == TV_OP_ROPE || node->op == TV_OP_SWIGLU_GRAD) && last == b_first &&
           node->in[0] == a && node->out[0] == b && a->dtype == b->dtype && a->rows == b->rows &&
           a->columns == b->columns && s->block == t->block && s->offset == t->offset;
}

static void check_placement(const tv_graph *graph, const tv_placement *p)
{
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const tv_tensor *a = graph->tensors[i];
        const tv_spot *s = &p->spots[a->id];
        size_t first, last;
        if (s->block == TV_NOT_PLACED) {
            assert_int_equal(a->kind, TV_ACTIVATION);
            assert_false(life_of(graph, a, &first, &last));
            continue;
        }
        assert_true(s->block < p->block_count);
        assert_int_equal(p->blocks[s->block].kind, a->kind);
        assert_int_equal(p->blocks[s->block].on_host, a->on_host);
        assert_int_equal(s->offset % TV_BINDING_ALIGNMENT, 0);
        assert_true(s->offset + tv_tensor_bytes(a) <= p->blocks[s->block].size);
        for (size_t j = 0; j < i; j++) {
            const tv_tensor *b = graph->tensors[j];
            const tv_spot *t = &p->spots[b->id];
            bool apart = s->block != t->block || s->offset + tv_tensor_bytes(a) <= t->offset ||
                         t->offset + tv_tensor_bytes(b) <= s->offset;
            if (!apart && meet(graph, a, b) && !passes_on(graph, p, a, b) &&
                !passes_on(graph, p, b, a))
                fail_msg("%s and %s share memory while both are alive", a->name, b->name);
        }
    }
}

void tv_test_placement(const tv_graph *graph, tv_device *device, uint64_t max_alloc)
{
    tv_placement one, two;
    tv_plan_memory memory;
    tv_plan *plan;
    tv_caps caps = tv_device_get_info(device)->caps;
    assert_ok(tv_place(graph, max_alloc, &one));
    check_placement(graph, &one);
    assert_ok(tv_place(graph, max_alloc, &two));
    assert_int_equal(one.block_count, two.block_count);
    for (size_t i = 0; i < graph->tensor_count; i++) {
        assert_int_equal(one.spots[i].block, two.spots[i].block);
        assert_int_equal(one.spots[i].offset, two.spots[i].offset);
    }
    tv_placement_finish(&one);
    tv_placement_finish(&two);
    assert_ok(tv_plan_measure(graph, &caps, &memory));
    assert_ok(tv_plan_create(graph, device, &plan));
    assert_memory_equal(&memory, tv_plan_get_memory(plan), sizeof memory);
    tv_plan_destroy(&plan);
    uint64_t total = 0;
    for (tv_kind kind = 0; kind < TV_KIND_COUNT; kind++)
        total += memory.bytes[kind];
    assert_true(total == memory.total);
    assert_true(memory.bytes[TV_ACTIVATION] <= memory.unshared);
}
