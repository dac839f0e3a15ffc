// Lowering of products whose inputs are copied into panels first (pack.comp): their kernel then
// reads memory in order, however the inputs lie. The panels are scratch memory of the plan.
#include "plan/lower.h"

#include <string.h>

enum { PANEL_BYTES = 16 << 20, K_MOST = 4096, K_PER_GROUP = 64 };

static uint64_t panel_floats(const tv_variant *v, uint32_t count, uint32_t k)
{
    return tv_align_up(count, v->tile_m) * tv_align_up(k, 4);
}

static void lower_step(uint32_t *step, uint64_t most)
{
    uint64_t units = tv_max_size(most / TV_WINDOW_UNIT, 1);
    *step = (uint32_t)tv_min_size(*step, units * TV_WINDOW_UNIT);
}

// Parts along K add to what is in C, which must not be rounded to 16 bits each time.
void tv_pack_steps(const tv_lowering *lowering, const tv_product *p, tv_steps *s)
{
    uint64_t range = lowering->caps->max_range / sizeof(float);
    uint64_t floats = tv_min_size(PANEL_BYTES / sizeof(float), range), floats_a = floats;
    uint64_t least = tv_min_size(tv_max_size(s->m, s->n), 1024);
    if (tv_dtype_bytes(p->c->dtype) < sizeof(float)) {
        floats_a = range;
        lower_step(&s->k, range / TV_WINDOW_UNIT);
    } else {
        lower_step(&s->k, tv_min_size(floats / least, K_MOST));
    }
    lower_step(&s->m, floats_a / tv_align_up(s->k, 4));
    lower_step(&s->n, floats / tv_align_up(s->k, 4));
}

void tv_pack_begin(tv_lowering *lowering, const tv_variant *v, const tv_steps *s)
{
    uint64_t a = tv_align_up(panel_floats(v, s->m, s->k), TV_WINDOW_UNIT);
    lowering->panels[0] = (tv_panel){0};
    lowering->panels[1] = (tv_panel){.at = a};
    lowering->scratch.columns = 1;
    lowering->scratch.rows =
        (uint32_t)tv_max_size(lowering->scratch.rows, a + panel_floats(v, s->n, s->k));
}

// The window of A (0) or B (1) of a product's launch becomes one of a panel.
static void pack(tv_lowering *lowering, const tv_node *node, const tv_product *p,
                 const tv_variant *v, int side, tv_launch *launch)
{
    const tv_tensor *from = side ? p->b : p->a;
    tv_panel *panel = &lowering->panels[side];
    bool across = side ? p->layout != TV_NT : p->layout == TV_TN;
    tv_offsets first = tv_product_offsets(p);
    uint32_t column = side ? first.b : first.a, count = side ? p->n : p->m;
    uint32_t odd = v->choice.constants[0], odd_input = odd & (side ? TV_ODD_B : TV_ODD_A);
    uint64_t floats = panel_floats(v, count, p->k);
    tv_window window = launch->windows[side];
    tv_panel wanted = {panel->at, window.first, window.count, column};
    launch->windows[side] = (tv_window){&lowering->scratch, panel->at, floats, TV_READ};
    if (memcmp(panel, &wanted, sizeof wanted) == 0)
        return; // it has these elements
    *panel = wanted;
    tv_launch l = {.choice = {.name = v->choice.group == 16 ? "pack_s16" : "pack_s8",
                              .group = v->choice.group,
                              .constants = {(odd_input ? TV_ODD_A : 0) | (odd & TV_ODD_K), 0,
                                            across ? TV_ACROSS_K : TV_ALONG_K}},
                   .windows = {window, {&lowering->scratch, panel->at, floats, TV_WRITE}},
                   .window_count = 2,
                   .groups = {(uint32_t)tv_div_up(p->k, K_PER_GROUP),
                              (uint32_t)tv_div_up(count, v->tile_m), 1},
                   .args.u = {count, 0, p->k, from->columns, 0, 0, 0, 0, column}};
    tv_emit(lowering, node, &l);
}

void tv_pack_inputs(tv_lowering *lowering, const tv_node *node, const tv_product *p,
                    const tv_variant *v, tv_launch *launch)
{
    pack(lowering, node, p, v, 0, launch);
    pack(lowering, node, p, v, 1, launch);
    if (!p->bias)
        launch->windows[3] = launch->windows[0];
}
