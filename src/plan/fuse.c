// Fusing: a product or a dropout takes over what is done to its result next, which then makes one
// way less through memory. The graph stays as it is: what is fused is a copy of its nodes.
#include "plan/fuse.h"

#include "graph/ops.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t NOBODY = UINT32_MAX;

// What the graph says of a tensor: the node that writes it, and how many read it.
typedef struct use {
    uint32_t writer, readers; // writer: NOBODY where there is none, or more than one
    bool written;
} use;

typedef struct fuser {
    const tv_graph *graph;
    const tv_caps *caps;
    tv_node *nodes; // of the fused graph, in the order of the graph's
    bool *gone;     // those that others have taken over
    use *uses;      // by tensor
} fuser;

static void find_uses(fuser *f)
{
    for (size_t i = 0; i < f->graph->tensor_count; i++)
        f->uses[i].writer = NOBODY;
    for (uint32_t n = 0; n < f->graph->node_count; n++) {
        const tv_node *node = f->graph->nodes[n];
        for (size_t i = 0; i < TV_NODE_INPUTS; i++)
            if (node->in[i])
                f->uses[node->in[i]->id].readers++;
        for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
            if (node->out[i]) {
                use *u = &f->uses[node->out[i]->id];
                u->writer = u->written ? NOBODY : n;
                u->written = true;
            }
    }
}

// The kernels of software drivers' subgroups have no epilogues, which would not pay: see
// docs/dev/plan.md.
static bool takes_epilogues(const fuser *f, const tv_node *node)
{
    if (node->op != TV_OP_MATMUL || node->attrs.accumulate || node->attrs.epilogue ||
        node->attrs.batch > 1)
        return false;
    bool halves = node->in[0]->dtype == node->in[1]->dtype && node->in[0]->dtype != TV_F32;
    bool units = halves && f->caps->coop;
    bool subgroups = f->caps->texel && f->caps->subgroup > 0;
    return units || !subgroups;
}

// The node of node n's phase that writes x, before n; else NULL.
static tv_node *writer_of(const fuser *f, const tv_tensor *x, uint32_t n)
{
    uint32_t writer = f->uses[x->id].writer;
    return writer < n && f->nodes[writer].phase == f->nodes[n].phase ? &f->nodes[writer] : NULL;
}

// The product that writes x, where it can take over what node n does to it; else NULL.
static tv_node *product_of(const fuser *f, const tv_tensor *x, uint32_t n)
{
    tv_node *node = writer_of(f, x, n);
    return node && takes_epilogues(f, node) ? node : NULL;
}

// Whether x is read by one node and need not outlive it.
static bool passes(const fuser *f, const tv_tensor *x)
{
    return x->kind == TV_ACTIVATION && f->uses[x->id].readers == 1;
}

// Whether the tensor is there when the node runs.
static bool is_there(const fuser *f, const tv_tensor *x, const tv_node *node)
{
    const use *u = &f->uses[x->id];
    return !u->written || (u->writer != NOBODY && &f->nodes[u->writer] < node);
}

// y = gelu(x): the product also writes y, or y alone.
static bool fuse_gelu(fuser *f, uint32_t n)
{
    tv_tensor *x = f->nodes[n].in[0], *y = f->nodes[n].out[0];
    tv_node *product = product_of(f, x, n);
    if (!product || x->dtype != y->dtype)
        return false;
    if (passes(f, x)) {
        product->attrs.epilogue = TV_EPILOGUE_GELU;
        product->out[0] = y;
    } else {
        product->attrs.epilogue = TV_EPILOGUE_GELU_KEEP;
        product->out[1] = y;
    }
    return true;
}

// dx = dy gelu'(x): the product that makes dy writes dx.
static bool fuse_gelu_grad(fuser *f, uint32_t n)
{
    tv_tensor *x = f->nodes[n].in[0], *dy = f->nodes[n].in[1], *dx = f->nodes[n].out[0];
    tv_node *product = product_of(f, dy, n);
    if (!product || !passes(f, dy) || !is_there(f, x, product) || x->dtype != dx->dtype)
        return false;
    product->attrs.epilogue = TV_EPILOGUE_GELU_GRAD;
    product->in[3] = x;
    product->out[0] = dx;
    return true;
}

// sum = x + dropout(h): the dropout adds.
static bool fuse_dropout(fuser *f, uint32_t n, tv_tensor *sum)
{
    tv_tensor *x = f->nodes[n].in[0], *h = f->nodes[n].in[1];
    tv_node *dropout = writer_of(f, h, n);
    if (!dropout || dropout->op != TV_OP_DROPOUT || dropout->in[3] || !passes(f, h) ||
        !is_there(f, x, dropout))
        return false;
    dropout->in[3] = x;
    dropout->out[0] = sum;
    return true;
}

// The norm of such a sum is then one of what is stored of it.
static void fuse_norm(fuser *f, uint32_t n)
{
    tv_node *node = &f->nodes[n];
    if (fuse_dropout(f, n, node->out[2]))
        *node = tv_norm_of_sum(node);
}

// True if another node has taken over node n.
static bool fuse(fuser *f, uint32_t n)
{
    switch (f->nodes[n].op) {
    case TV_OP_GELU:
        return fuse_gelu(f, n);
    case TV_OP_GELU_GRAD:
        return fuse_gelu_grad(f, n);
    case TV_OP_ADD:
        return fuse_dropout(f, n, f->nodes[n].out[0]);
    case TV_OP_ADD_LAYERNORM:
    case TV_OP_ADD_RMSNORM:
        fuse_norm(f, n);
        return false;
    default:
        return false;
    }
}

void tv_fuse(const tv_graph *graph, const tv_caps *caps, tv_fused *fused)
{
    const char *wanted = getenv("TRIVIUM_FUSE");
    bool off = wanted && strcmp(wanted, "0") == 0;
    size_t count = graph->node_count;
    fuser f = {.graph = graph,
               .caps = caps,
               .nodes = tv_alloc(count + 1, sizeof *f.nodes),
               .gone = tv_alloc(count + 1, sizeof *f.gone),
               .uses = tv_alloc(graph->tensor_count + 1, sizeof *f.uses)};
    *fused = (tv_fused){.graph = *graph, .nodes = f.nodes};
    fused->graph.nodes = tv_alloc(count + 1, sizeof *fused->graph.nodes);
    fused->graph.node_count = 0;
    for (size_t n = 0; n < count; n++)
        f.nodes[n] = *graph->nodes[n];
    find_uses(&f);
    for (uint32_t n = 0; n < count && !off; n++)
        f.gone[n] = fuse(&f, n);
    for (size_t n = 0; n < count; n++)
        if (!f.gone[n])
            fused->graph.nodes[fused->graph.node_count++] = &f.nodes[n];
    tv_free(f.gone);
    tv_free(f.uses);
}

void tv_fused_finish(tv_fused *fused)
{
    tv_free(fused->graph.nodes);
    tv_free(fused->nodes);
    *fused = (tv_fused){0};
}
