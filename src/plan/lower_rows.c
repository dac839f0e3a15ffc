// Lowering of norms, sums over rows and reductions.
#include "plan/lower.h"

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// Rows of several tensors together: inputs with one row are broadcast. Windows keep the order.
static tv_err lower_by_rows(tv_lowering *lowering, const tv_node *node, const tv_tensor *const *all,
                            uint32_t count, uint32_t written)
{
    uint32_t rows = all[0]->rows, moving = 0, step;
    const tv_tensor *tensors[TV_MAX_BINDINGS];
    bool broadcast[TV_MAX_BINDINGS];
    for (uint32_t i = 0; i < count; i++) {
        broadcast[i] = all[i]->kind == TV_WEIGHT; // norm weights: one row for all
        if (!broadcast[i])
            tensors[moving++] = all[i];
    }
    TV_TRY(tv_row_step(lowering, tensors, moving, 1, rows, &step));
    for (uint32_t first = 0; first < rows; first += step) {
        uint32_t n = min_u32(step, rows - first);
        tv_launch launch = {.window_count = count};
        for (uint32_t i = 0; i < count; i++) {
            tv_access access = i < count - written ? TV_READ : TV_WRITE;
            launch.windows[i] =
                broadcast[i] ? tv_whole(all[i], access) : tv_rows(all[i], first, n, access);
        }
        launch.args.u[0] = n;
        launch.args.u[1] = all[0]->columns;
        launch.args.f[0] = node->attrs.epsilon;
        tv_grid_rows(lowering, &launch, n);
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}

static tv_err lower_whole_rows(tv_lowering *lowering, const tv_node *node)
{
    const tv_op_info *info = tv_op_get_info(node->op);
    const tv_tensor *all[TV_MAX_BINDINGS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < info->inputs; i++)
        all[count++] = node->in[i];
    for (uint32_t i = 0; i < info->outputs; i++)
        all[count++] = node->out[i];
    return lower_by_rows(lowering, node, all, count, info->outputs);
}

tv_err tv_lower_norm(tv_lowering *lowering, const tv_node *node)
{
    return lower_whole_rows(lowering, node);
}

tv_err tv_lower_norm_grad(tv_lowering *lowering, const tv_node *node)
{
    return lower_whole_rows(lowering, node);
}

// Sums over blocks of rows: each block gives one row of the output.
tv_err tv_lower_columns(tv_lowering *lowering, const tv_node *node)
{
    const tv_attrs *attrs = &node->attrs;
    uint32_t inputs = tv_op_get_info(node->op)->inputs, rows = node->in[0]->rows;
    uint32_t columns = node->op == TV_OP_COLSUM ? node->out[0]->columns : node->in[0]->columns;
    uint32_t unit = attrs->accumulate ? 1 : attrs->block, step;
    // A step gives as many whole rows of the output as it takes for the next window to be aligned.
    while (!attrs->accumulate &&
           unit / attrs->block * node->out[0]->columns * 4 % TV_BINDING_ALIGNMENT != 0)
        unit += attrs->block;
    TV_TRY(tv_row_step(lowering, (const tv_tensor *const *)node->in, inputs, unit, rows, &step));
    for (uint32_t first = 0; first < rows; first += step) {
        uint32_t n = min_u32(step, rows - first);
        uint32_t block = attrs->accumulate ? n : attrs->block;
        uint32_t blocks = (uint32_t)tv_div_up(n, block);
        tv_launch launch = {.window_count = inputs + 1};
        for (uint32_t i = 0; i < inputs; i++)
            launch.windows[i] = tv_rows(node->in[i], first, n, TV_READ);
        launch.windows[inputs] = tv_rows(node->out[0], attrs->accumulate ? 0 : first / block,
                                         blocks, attrs->accumulate ? TV_READ_WRITE : TV_WRITE);
        launch.args.u[0] = n;
        launch.args.u[1] = columns;
        launch.args.u[2] = block;
        launch.args.u[3] = attrs->accumulate;
        launch.args.u[4] = attrs->offset;
        launch.args.u[5] = node->in[0]->columns;
        tv_grid_lanes(lowering, &launch, tv_div_up(columns, 4));
        TV_CHECK(launch.groups[1] == 1, "%s has too many columns", node->in[0]->name);
        launch.groups[1] = blocks;
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}

tv_err tv_lower_reduce_sum(tv_lowering *lowering, const tv_node *node)
{
    tv_launch launch = {
        .windows = {tv_whole(node->in[0], TV_READ),
                    tv_whole(node->out[0], node->attrs.accumulate ? TV_READ_WRITE : TV_WRITE)},
        .window_count = 2};
    launch.args.u[0] = (uint32_t)tv_tensor_count(node->in[0]);
    launch.args.u[1] = node->attrs.accumulate;
    tv_grid_groups(lowering, &launch, 1);
    tv_emit(lowering, node, &launch);
    return TV_OK;
}

tv_err tv_lower_sumsq(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *x = node->in[0];
    uint32_t block = node->attrs.block;
    uint64_t start = node->attrs.first, step = lowering->caps->max_range / 4;
    uint64_t count = node->attrs.count ? node->attrs.count : tv_tensor_count(x);
    step = tv_min_size(step, tv_max_size((uint64_t)(lowering->budget / 16), block));
    step -= step % block;
    TV_CHECK(step > 0, "the device binds less than %u elements", block);
    for (uint64_t first = 0; first < count; first += step) {
        uint64_t n = tv_min_size(step, count - first);
        tv_launch launch = {
            .windows = {{x, start + first, n, TV_READ}, tv_whole(node->out[0], TV_WRITE)},
            .window_count = 2};
        launch.args.u[0] = (uint32_t)n;
        launch.args.u[1] = block;
        launch.args.u[2] = node->attrs.offset + (uint32_t)(first / block);
        launch.args.u[3] = (uint32_t)tv_div_up(n, block);
        tv_grid_groups(lowering, &launch, launch.args.u[3]);
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}

tv_err tv_lower_grad_norm(tv_lowering *lowering, const tv_node *node)
{
    tv_launch launch = {.windows = {tv_whole(node->in[0], TV_READ), tv_whole(node->in[1], TV_READ),
                                    tv_whole(node->out[0], TV_WRITE)},
                        .window_count = 3};
    launch.args.u[0] = (uint32_t)tv_tensor_count(node->in[0]);
    tv_grid_groups(lowering, &launch, 1);
    tv_emit(lowering, node, &launch);
    return TV_OK;
}
