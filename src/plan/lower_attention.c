// Lowering of attention: one group per block of rows of a head, split by sequences.
#include "plan/lower.h"

// Software drivers gain from two rows, but large heads then spill, and compile for minutes.
static uint32_t rows_per_lane(const tv_lowering *lowering, uint32_t head_size)
{
    bool cpu = tv_device_get_info(lowering->device)->device_class == TV_CLASS_CPU;
    return cpu && head_size <= 64 ? 2 : 1;
}

// Sequences that a launch may take at a time: rows of a tensor [B*T, n] count as one row per
// sequence.
static tv_err sequence_step(const tv_lowering *lowering, const tv_node *node,
                            const tv_tensor *const *tensors, size_t count, uint32_t *step)
{
    uint32_t batch = node->attrs.batch;
    tv_tensor views[TV_MAX_BINDINGS];
    const tv_tensor *sequences[TV_MAX_BINDINGS];
    for (size_t i = 0; i < count; i++) {
        views[i] = *tensors[i];
        views[i].rows = batch;
        views[i].columns = (uint32_t)(tv_tensor_count(tensors[i]) / batch);
        sequences[i] = &views[i];
    }
    return tv_row_step(lowering, sequences, count, 1, batch, step);
}

// Emits `kernel` over all sequences; tensors in slot order, the last `written` of them written.
static tv_err emit_sequences(tv_lowering *lowering, const tv_node *node, const char *kernel,
                             const tv_tensor *const *tensors, uint32_t count, uint32_t written,
                             uint32_t heads, double work)
{
    const tv_attrs *attrs = &node->attrs;
    uint32_t step, batch = attrs->batch, group = tv_row_group(lowering);
    uint32_t lane_rows = rows_per_lane(lowering, attrs->head_size), rows = group * lane_rows;
    tv_kernel_choice choice = {
        .name = kernel, .group = group, .constants = {attrs->head_size, lane_rows}};
    tv_coop_attention(lowering, kernel, tensors[0], attrs->head_size, &choice, &rows);
    TV_TRY(sequence_step(lowering, node, tensors, count, &step));
    while (step > 1 && work * step / batch > lowering->budget) {
        uint32_t half = step / 2;
        if (half % TV_WINDOW_UNIT != 0) // smaller steps might not start aligned
            break;
        step = half;
    }
    for (uint32_t first = 0; first < batch; first += step) {
        uint32_t n = (uint32_t)tv_min_size(step, batch - first);
        tv_launch launch = {.choice = choice,
                            .window_count = count,
                            .groups = {(uint32_t)tv_div_up(attrs->time, rows), heads, n},
                            .args.u = {n, attrs->time, attrs->heads, attrs->kv_heads},
                            .args.f = {attrs->scale},
                            .work = work * n / batch};
        for (uint32_t i = 0; i < count; i++) {
            uint64_t each = tensors[i]->rows / batch;
            launch.windows[i] = tv_rows(tensors[i], first * each, n * each,
                                        i < count - written ? TV_READ : TV_WRITE);
        }
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}

// FLOP of one product of causal T x T scores with D columns, over all heads and sequences.
static double half_square(const tv_attrs *a)
{
    return 1.0 * a->batch * a->heads * a->time * a->time * a->head_size;
}

tv_err tv_lower_attention(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *tensors[] = {node->in[0], node->out[0], node->out[1]};
    return emit_sequences(lowering, node, "attention", tensors, 3, 2, node->attrs.heads,
                          2 * half_square(&node->attrs));
}

tv_err tv_lower_attention_grad(tv_lowering *lowering, const tv_node *node)
{
    const tv_attrs *attrs = &node->attrs;
    const tv_tensor *tensors[] = {node->in[0], node->in[1], node->in[2], node->in[3], node->out[0]};
    TV_TRY(emit_sequences(lowering, node, "attention_dq", tensors, 5, 1, attrs->heads,
                          3 * half_square(attrs)));
    return emit_sequences(lowering, node, "attention_dkv", tensors, 5, 1, attrs->kv_heads,
                          4 * half_square(attrs));
}

tv_err tv_lower_attention_delta(tv_lowering *lowering, const tv_node *node)
{
    const tv_attrs *attrs = &node->attrs;
    const tv_tensor *tensors[] = {node->in[0], node->in[1], node->out[0]};
    uint32_t step, batch = attrs->batch;
    TV_TRY(sequence_step(lowering, node, tensors, 3, &step));
    for (uint32_t first = 0; first < batch; first += step) {
        uint32_t n = (uint32_t)tv_min_size(step, batch - first), rows = n * attrs->time;
        tv_launch launch = {.choice.constants = {attrs->head_size},
                            .window_count = 3,
                            .args.u = {rows, attrs->heads, attrs->time}};
        for (uint32_t i = 0; i < 3; i++) {
            uint64_t each = tensors[i]->rows / batch;
            launch.windows[i] =
                tv_rows(tensors[i], first * each, n * each, i < 2 ? TV_READ : TV_WRITE);
        }
        tv_grid_lanes(lowering, &launch, (uint64_t)rows * attrs->heads);
        tv_emit(lowering, node, &launch);
    }
    return TV_OK;
}

tv_err tv_lower_kv_append(tv_lowering *lowering, const tv_node *node)
{
    const tv_attrs *attrs = &node->attrs;
    const tv_tensor *qkv = node->in[0];
    tv_launch launch = {.windows = {tv_whole(qkv, TV_READ), tv_whole(node->in[1], TV_READ),
                                    tv_whole(node->out[0], TV_READ_WRITE),
                                    tv_whole(node->out[1], TV_READ_WRITE)},
                        .window_count = 4,
                        .args.u = {qkv->rows, attrs->heads, attrs->kv_heads, attrs->head_size}};
    launch.work = 64.0 * qkv->rows * qkv->columns;
    tv_grid_lanes(lowering, &launch,
                  tv_div_up((uint64_t)qkv->rows * attrs->kv_heads * attrs->head_size, 4));
    tv_emit(lowering, node, &launch);
    return TV_OK;
}

tv_err tv_lower_attention_cache(tv_lowering *lowering, const tv_node *node)
{
    const tv_attrs *attrs = &node->attrs;
    const tv_tensor *qkv = node->in[0], *cache = node->in[1];
    tv_launch launch = {.choice.constants = {attrs->head_size},
                        .windows = {tv_whole(qkv, TV_READ), tv_whole(cache, TV_READ),
                                    tv_whole(node->in[2], TV_READ), tv_whole(node->in[3], TV_READ),
                                    tv_whole(node->out[0], TV_WRITE)},
                        .window_count = 5,
                        .args.u = {qkv->rows, attrs->heads, attrs->kv_heads, cache->rows},
                        .args.f = {attrs->scale}};
    launch.work = 4.0 * qkv->rows * attrs->heads * attrs->head_size * cache->rows;
    launch.choice.group = tv_row_group(lowering);
    launch.groups[0] = attrs->heads;
    launch.groups[1] = qkv->rows;
    launch.groups[2] = 1;
    tv_emit(lowering, node, &launch);
    return TV_OK;
}
