// Lowering: one graph node becomes one or more launches. A launch is split where a window would
// exceed what a binding may span, a grid what a dispatch may have, or a dispatch the watchdog's
// time.
#ifndef TV_PLAN_LOWER_H
#define TV_PLAN_LOWER_H

#include "base/error.h"
#include "device/device.h"
#include "graph/graph.h"
#include "plan/plan.h"

// A window of a tensor: `count` elements from `first` on.
typedef struct tv_window {
    const tv_tensor *tensor;
    uint64_t first, count;
    tv_access access;
} tv_window;

// A window that starts at a multiple of so many elements is aligned, whatever their type.
enum { TV_WINDOW_UNIT = TV_BINDING_ALIGNMENT / 2 };

typedef struct tv_launch {
    tv_kernel_choice choice;
    tv_window windows[TV_MAX_BINDINGS];
    uint32_t window_count;
    uint32_t groups[3];
    tv_args args;
    uint32_t epilogue; // of a product: TV_EPILOGUE_*
    double work;       // FLOP, or 4 per byte moved where that is what costs
    double flop;       // of products; 0: moving bytes is what costs
    double bytes;      // read and written
    const char *label;
    uint32_t phase;
    const tv_node *node;
} tv_launch;

// Which elements a panel holds (lower_pack.c): a window and a first column of it.
typedef struct tv_panel {
    uint64_t at; // of the scratch memory
    uint64_t first, count, column;
} tv_panel;

typedef struct tv_lowering {
    const tv_device *device;
    const tv_caps *caps;
    double budget;          // FLOP of one dispatch
    struct tv_tuner *tuner; // tune.h; NULL: the best guess
    tv_launch *launches;
    size_t count, capacity;
    tv_tensor scratch;  // for panels; no rows: none is needed
    tv_panel panels[2]; // of the product that is being lowered
} tv_lowering;

// How elements of that type lie in a kernel's slot: TV_TYPE_*, 0 for unsigned ones.
uint8_t tv_storage_type(tv_dtype dtype);

// Appends the launches of a node. TV_EMEMORY if one row of a tensor exceeds max_range.
tv_err tv_lower_node(tv_lowering *lowering, const tv_node *node);

// Of gradients that start afresh (tv_graph_fresh_gradients, sections): the first launch that writes
// to one overwrites it, or a fill in front of all clears it. `fills` is room for a node per tensor,
// and must live as long as the launches. fresh.c has it.
tv_err tv_freshen_gradients(tv_lowering *lowering, const tv_graph *graph, tv_node *fills);

// Joins launches that follow one another, in their list and in memory. merge.c has it.
struct tv_placement;
void tv_merge_launches(tv_lowering *lowering, const struct tv_placement *placement);

// Levels [count] of the dispatches of a program, from 0: one of a level depends on some of the
// level before it, and on none of its own. order.c has it.
void tv_find_levels(const tv_dispatch *dispatches, size_t count, uint32_t *levels);

// All but `barrier` and `seconds`, which a launch does not know. describe.c has it.
void tv_launch_describe(const tv_launch *launch, tv_plan_dispatch *dispatch);

// ------------------------------------------------- for the lowering rules (lower_*.c) only

typedef tv_err tv_lower_rule(tv_lowering *lowering, const tv_node *node);

// Rows [first, first+rows) of a tensor, and all of it.
tv_window tv_rows(const tv_tensor *tensor, uint64_t first, uint64_t rows, tv_access access);
tv_window tv_whole(const tv_tensor *tensor, tv_access access);

// How many rows a launch may take at a time, so that each window of rows (whose tensors are listed)
// fits max_range and starts aligned; a multiple of `unit` unless it covers all `rows`.
tv_err tv_row_step(const tv_lowering *lowering, const tv_tensor *const *tensors, size_t count,
                   uint32_t unit, uint32_t rows, uint32_t *step);

// The number of lanes per group for kernels with one group per row.
uint32_t tv_row_group(const tv_lowering *lowering);

// Fills in the grid: one lane for each of `lanes`, one group for each of `rows`, or so many groups
// of the kernel's own size.
void tv_grid_lanes(const tv_lowering *lowering, tv_launch *launch, uint64_t lanes);
void tv_grid_groups(const tv_lowering *lowering, tv_launch *launch, uint64_t groups);
void tv_grid_rows(const tv_lowering *lowering, tv_launch *launch, uint64_t rows);

// Appends a launch. launch->work is set where FLOP are what costs, launch->bytes where the windows
// are not read and written once and entirely.
void tv_emit(tv_lowering *lowering, const tv_node *node, const tv_launch *launch);

// Turns a launch of a kernel NAME into one of NAME_cpu where the device prefers that and has it.
void tv_prefer_cpu_kernel(const tv_lowering *lowering, tv_launch *launch);

// Matrix product with explicit windows, used by the matmul and loss rules: see lower_matmul.c.
typedef struct tv_product {
    tv_layout layout;
    uint32_t m, n, k;
    const tv_tensor *a, *b, *c, *bias;  // bias: NULL or [1,N]
    const tv_tensor *other;             // of the epilogue: as c, or NULL
    uint64_t a_first, b_first, c_first; // first rows of the windows
    uint64_t a_rows, b_rows, c_rows;
    uint32_t a_column, b_column, c_column;
    uint32_t members; // of a batch: products of m, n and k whose rows follow one another; 0: one
    bool accumulate;
    uint32_t epilogue; // TV_EPILOGUE_*
} tv_product;
tv_err tv_lower_product(tv_lowering *lowering, const tv_node *node, const tv_product *product);

// The first element that a kernel reads of the windows of a and b, and that it writes of c: their
// first columns, and what makes windows aligned, since members of a batch begin anywhere.
typedef struct tv_offsets {
    uint32_t a, b, c;
} tv_offsets;
tv_offsets tv_product_offsets(const tv_product *product);

// A kernel that can compute a product, and the tile of C of one group.
typedef struct tv_variant {
    tv_kernel_choice choice;
    uint32_t tile_m, tile_n;
    bool packed;  // its inputs are panels
    bool members; // it takes several members of a batch at once
} tv_variant;
enum { TV_VARIANTS_MAX = 8 };

// All that the device has for the product, the best guess first; at least one.
size_t tv_product_variants(const tv_lowering *lowering, const tv_product *product,
                           tv_variant variants[TV_VARIANTS_MAX]);

// Packed products (lower_pack.c): how much of one is computed at a time; then tv_pack_begin, and
// for each part the launch without its packed inputs.
typedef struct tv_steps {
    uint32_t m, n, k;
} tv_steps;
void tv_pack_steps(const tv_lowering *lowering, const tv_product *product, tv_steps *steps);
void tv_pack_begin(tv_lowering *lowering, const tv_variant *variant, const tv_steps *steps);
void tv_pack_inputs(tv_lowering *lowering, const tv_node *node, const tv_product *product,
                    const tv_variant *variant, tv_launch *launch);

// Kernels on matrix units (lower_coop.c), where the device has any that take these types and sizes.
// Attention: `base` names the kernel of the dialect that it stands for; rows are those of a group.
size_t tv_coop_variants(const tv_lowering *lowering, const tv_product *product,
                        tv_variant variants[TV_VARIANTS_MAX]);
bool tv_coop_attention(const tv_lowering *lowering, const char *base, const tv_tensor *qkv,
                       uint32_t head_size, tv_kernel_choice *choice, uint32_t *rows);

#define OP(name, kernel, inputs, outputs, lower, gradient) tv_lower_rule tv_lower_##lower;
#include "graph/ops.def"
#undef OP

#endif
