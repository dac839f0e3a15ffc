// Lowering of elementwise ops, positions, table lookups and the update.
#include "plan/lower.h"

#include <string.h>

// Elements that a launch over whole tensors of one size may take at a time.
static uint64_t element_step(const tv_lowering *lowering, uint64_t count, uint32_t windows)
{
    uint64_t step = lowering->caps->max_range / 4;
    uint64_t timely = (uint64_t)(lowering->budget / (16.0 * windows));
    step = tv_min_size(step, tv_max_size(timely, 1 << 20));
    return step < count ? step - step % TV_WINDOW_UNIT : count;
}

// Launches over windows of one size, of `whole` tensors in all, among others that every launch sees
// entirely. u[0] is the number of elements, u[1] the first one's index.
static void emit_elements(tv_lowering *lowering, const tv_node *node, tv_launch *launch,
                          uint32_t whole)
{
    tv_window windows[TV_MAX_BINDINGS];
    memcpy(windows, launch->windows, sizeof windows);
    uint64_t count = windows[0].count;
    uint64_t step = element_step(lowering, count, whole);
    for (uint64_t first = 0; first < count; first += step) {
        uint64_t n = tv_min_size(step, count - first);
        for (uint32_t i = 0; i < launch->window_count; i++) {
            if (windows[i].count != count)
                continue;
            launch->windows[i].first = windows[i].first + first;
            launch->windows[i].count = n;
        }
        launch->args.u[0] = (uint32_t)n;
        launch->args.u[1] = (uint32_t)first;
        tv_grid_lanes(lowering, launch, tv_div_up(n, 4));
        tv_emit(lowering, node, launch);
    }
}

tv_err tv_lower_elementwise(tv_lowering *lowering, const tv_node *node)
{
    tv_launch launch = {0};
    uint32_t inputs = tv_op_get_info(node->op)->inputs;
    for (uint32_t i = 0; i < inputs; i++)
        launch.windows[i] = tv_whole(node->in[i], TV_READ);
    launch.windows[inputs] = tv_whole(node->out[0], TV_WRITE);
    launch.window_count = inputs + 1;
    emit_elements(lowering, node, &launch, inputs + 1);
    return TV_OK;
}

tv_err tv_lower_fill(tv_lowering *lowering, const tv_node *node)
{
    tv_launch launch = {.windows = {tv_whole(node->out[0], TV_WRITE)}, .window_count = 1};
    launch.args.f[0] = node->attrs.value;
    emit_elements(lowering, node, &launch, 1);
    return TV_OK;
}

tv_err tv_lower_dropout(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *x = node->in[0], *step = node->in[1], *samples = node->in[2];
    const tv_tensor *residual = node->in[3]; // of a node that a plan has fused, else NULL
    tv_launch launch = {.windows = {tv_whole(x, TV_READ), tv_whole(step, TV_READ),
                                    tv_whole(samples, TV_READ), tv_whole(node->out[0], TV_WRITE)},
                        .window_count = 4};
    launch.args.u[2] = (uint32_t)(tv_tensor_count(x) / samples->columns);
    launch.args.u[3] = node->attrs.site;
    launch.args.f[0] = node->attrs.rate;
    if (residual) {
        launch.choice.name = "dropout_add";
        launch.windows[launch.window_count++] = tv_whole(residual, TV_READ);
    }
    emit_elements(lowering, node, &launch, residual ? 3 : 2);
    return TV_OK;
}

// The node's elements of a weight or its gradient; all of what holds no others.
static tv_window elements(const tv_node *node, const tv_tensor *tensor, tv_access access)
{
    uint64_t all = tv_tensor_count(tensor), count = node->attrs.count;
    bool part = count > 0 && all > count;
    return (tv_window){tensor, part ? node->attrs.first : 0, part ? count : all, access};
}

tv_err tv_lower_adamw(tv_lowering *lowering, const tv_node *node)
{
    const tv_attrs *attrs = &node->attrs;
    const tv_tensor *w = node->out[0], *m = node->out[1], *v = node->out[2], *copy = node->out[3];
    uint32_t randomly = (w->dtype == TV_BF16 ? TV_STOCHASTIC_WEIGHT : 0) |
                        (m->dtype == TV_BF16 ? TV_STOCHASTIC_STATE : 0);
    tv_launch launch = {
        .choice.constants = {copy != NULL, randomly},
        .windows = {elements(node, w, TV_READ_WRITE), tv_whole(m, TV_READ_WRITE),
                    tv_whole(v, TV_READ_WRITE), elements(node, node->in[0], TV_READ),
                    tv_whole(node->in[1], TV_READ), tv_whole(node->in[2], TV_READ),
                    copy ? elements(node, copy, TV_WRITE) : elements(node, w, TV_READ)},
        .window_count = 7};
    launch.args.u[2] = attrs->site;
    launch.args.f[0] = (float)attrs->beta1;
    launch.args.f[1] = (float)attrs->beta2;
    launch.args.f[4] = (float)(1 - attrs->beta1);
    launch.args.f[5] = (float)(1 - attrs->beta2);
    launch.args.f[2] = attrs->epsilon;
    launch.args.f[3] = attrs->weight_decay;
    emit_elements(lowering, node, &launch, copy ? 5 : 4);
    return TV_OK;
}

tv_err tv_lower_gated(tv_lowering *lowering, const tv_node *node)
{
    uint32_t inputs = tv_op_get_info(node->op)->inputs, rows = node->out[0]->rows, step;
    const tv_tensor *tensors[3] = {node->in[0], node->in[1], node->in[2]};
    tensors[inputs] = node->out[0];
    TV_TRY(tv_row_step(lowering, tensors, inputs + 1, 1, rows, &step));
    for (uint32_t first = 0; first < rows; first += step) {
        uint32_t n = (uint32_t)tv_min_size(step, rows - first);
        tv_launch launch = {.window_count = inputs + 1};
        for (uint32_t i = 0; i <= inputs; i++)
            launch.windows[i] = tv_rows(tensors[i], first, n, i == inputs ? TV_WRITE : TV_READ);
        launch.args.u[0] = n;
        launch.args.u[1] = node->in[0]->columns / 2;
        tv_grid_lanes(lowering, &launch, tv_div_up((uint64_t)n * launch.args.u[1], 4));
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}

// x and y by rows in whole sequences, with a table and the step block seen entirely. `lanes`: of a
// row.
static tv_err lower_positions(tv_lowering *lowering, const tv_node *node, tv_launch *launch,
                              uint64_t lanes)
{
    const tv_tensor *x = node->in[0], *y = node->out[0], *rows[] = {x, y};
    uint32_t step;
    TV_TRY(tv_row_step(lowering, rows, 2, node->attrs.time, x->rows, &step));
    for (uint32_t first = 0; first < x->rows; first += step) {
        uint32_t n = (uint32_t)tv_min_size(step, x->rows - first);
        launch->windows[0] = tv_rows(x, first, n, TV_READ);
        launch->windows[1] = tv_whole(node->in[1], TV_READ);
        launch->windows[2] = tv_whole(node->in[2], TV_READ);
        launch->windows[3] = tv_rows(y, first, n, TV_WRITE);
        launch->window_count = 4;
        launch->args.u[0] = n;
        tv_grid_lanes(lowering, launch, n * lanes);
        tv_emit(lowering, node, launch);
    }
    return TV_OK;
}

tv_err tv_lower_posadd(tv_lowering *lowering, const tv_node *node)
{
    tv_launch launch = {0};
    launch.args.u[1] = node->in[0]->columns;
    launch.args.u[2] = node->attrs.time;
    return lower_positions(lowering, node, &launch, tv_div_up(node->in[0]->columns, 4));
}

tv_err tv_lower_rope(tv_lowering *lowering, const tv_node *node)
{
    const tv_attrs *attrs = &node->attrs;
    tv_launch launch = {0};
    uint32_t heads = node->in[0]->columns / attrs->head_size;
    launch.args.u[1] = attrs->rotated;
    launch.args.u[2] = heads;
    launch.args.u[3] = attrs->head_size;
    launch.args.u[4] = attrs->time;
    launch.args.f[0] = attrs->backward ? -1.0f : 1.0f;
    return lower_positions(lowering, node, &launch, heads * tv_div_up(attrs->head_size / 2, 4));
}

tv_err tv_lower_posadd_grad(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *dy = node->in[0], *table = node->out[0];
    uint32_t time = node->attrs.time, step;
    TV_TRY(tv_row_step(lowering, &dy, 1, time, dy->rows, &step));
    for (uint32_t first = 0; first < dy->rows; first += step) {
        uint32_t n = (uint32_t)tv_min_size(step, dy->rows - first);
        tv_launch launch = {
            .windows = {tv_rows(dy, first, n, TV_READ), tv_rows(table, 0, time, TV_READ_WRITE)},
            .window_count = 2};
        launch.args.u[0] = n / time;
        launch.args.u[1] = time;
        launch.args.u[2] = dy->columns;
        tv_grid_lanes(lowering, &launch, tv_div_up((uint64_t)time * dy->columns, 4));
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}

tv_err tv_lower_embed(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *ids = node->in[0], *table = node->in[1], *y = node->out[0];
    uint32_t table_step, row_step;
    TV_TRY(tv_row_step(lowering, &table, 1, 1, table->rows, &table_step));
    TV_TRY(tv_row_step(lowering, &y, 1, TV_BINDING_ALIGNMENT / 4, y->rows, &row_step));
    for (uint32_t first = 0; first < table->rows; first += table_step)
        for (uint32_t row = 0; row < y->rows; row += row_step) {
            uint32_t rows = (uint32_t)tv_min_size(table_step, table->rows - first);
            uint32_t n = (uint32_t)tv_min_size(row_step, y->rows - row);
            tv_launch launch = {.windows = {{ids, row, n, TV_READ},
                                            tv_rows(table, first, rows, TV_READ),
                                            tv_rows(y, row, n, TV_WRITE)},
                                .window_count = 3};
            launch.args.u[0] = n;
            launch.args.u[1] = table->columns;
            launch.args.u[2] = first;
            launch.args.u[3] = rows;
            launch.bytes = 8.0 * n * table->columns;
            tv_grid_rows(lowering, &launch, n);
            tv_emit(lowering, node, &launch);
        }
    return TV_OK;
}

tv_err tv_lower_embed_grad(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *ids = node->in[0], *order = node->in[1], *dy = node->in[2];
    const tv_tensor *table = node->out[0];
    uint32_t step, all;
    TV_TRY(tv_row_step(lowering, &table, 1, 1, table->rows, &step));
    TV_TRY(tv_row_step(lowering, &dy, 1, 1, dy->rows, &all));
    if (all < dy->rows)
        return tv_fail(TV_EMEMORY,
                       "%s [%u, %u] exceeds what the device binds at once; choose a smaller "
                       "micro-batch",
                       dy->name, dy->rows, dy->columns);
    for (uint32_t first = 0; first < table->rows; first += step) {
        uint32_t rows = (uint32_t)tv_min_size(step, table->rows - first);
        tv_launch launch = {.windows = {tv_whole(ids, TV_READ), tv_whole(order, TV_READ),
                                        tv_whole(dy, TV_READ),
                                        tv_rows(table, first, rows, TV_READ_WRITE)},
                            .window_count = 4};
        launch.args.u[0] = dy->rows;
        launch.args.u[1] = dy->columns;
        launch.args.u[2] = first;
        launch.args.u[3] = rows;
        launch.bytes = 12.0 * (double)tv_tensor_count(dy);
        tv_grid_rows(lowering, &launch, dy->rows);
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}
