// Lowering of the loss: logits exist for some rows at a time, and their gradient is used up at
// once.
#include "plan/lower.h"

static void emit_cross_entropy(tv_lowering *lowering, const tv_node *node, uint32_t first,
                               uint32_t rows)
{
    const tv_tensor *targets = node->in[2], *step = node->in[3], *loss = node->out[0];
    const tv_tensor *logits = node->out[2], *dlogits = node->out[3];
    bool backward = node->attrs.backward;
    tv_launch launch = {.choice.name = "cross_entropy",
                        .windows = {tv_rows(logits, 0, rows, TV_READ),
                                    {targets, first, rows, TV_READ},
                                    tv_whole(step, TV_READ),
                                    {loss, first, rows, TV_WRITE},
                                    tv_rows(dlogits, 0, backward ? rows : 1, TV_WRITE)},
                        .window_count = 5,
                        .args.u = {rows, node->attrs.valid, logits->columns, backward}};
    tv_grid_rows(lowering, &launch, rows);
    tv_emit(lowering, node, &launch);
}

tv_err tv_lower_linear_cross_entropy(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *x = node->in[0], *w = node->in[1];
    const tv_tensor *dx = node->out[1], *logits = node->out[2], *dlogits = node->out[3];
    uint32_t chunk;
    // Windows of targets and losses start aligned every 64 rows.
    TV_TRY(tv_row_step(lowering, &logits, 1, TV_BINDING_ALIGNMENT / 4, logits->rows, &chunk));
    for (uint32_t first = 0; first < x->rows; first += chunk) {
        uint32_t rows = (uint32_t)tv_min_size(chunk, x->rows - first);
        tv_product forward = {.layout = TV_NT,
                              .m = rows,
                              .n = w->rows,
                              .k = w->columns,
                              .a = x,
                              .b = w,
                              .c = logits,
                              .a_first = first};
        TV_TRY(tv_lower_product(lowering, node, &forward));
        emit_cross_entropy(lowering, node, first, rows);
        if (!node->attrs.backward)
            continue;
        tv_product input = {.layout = TV_NN,
                            .m = rows,
                            .n = w->columns,
                            .k = w->rows,
                            .a = dlogits,
                            .b = w,
                            .c = dx,
                            .c_first = first};
        TV_TRY(tv_lower_product(lowering, node, &input));
        tv_product weight = {.layout = TV_TN,
                             .m = w->rows,
                             .n = w->columns,
                             .k = rows,
                             .a = dlogits,
                             .b = x,
                             .c = node->out[4],
                             .b_first = first,
                             .accumulate = true};
        TV_TRY(tv_lower_product(lowering, node, &weight));
    }
    return TV_OK;
}
