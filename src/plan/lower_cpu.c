// Lowering for CPUs: kernels NAME_cpu, which take more at a time than the general ones, in vectors.
#include "plan/lower.h"

#include <string.h>

// What becomes a work-group.
typedef enum pieces {
    OF_TIME,     // 32 of u1 rows of each head, for one lane
    OF_ROWS,     // a row, for one lane
    OF_COLUMNS,  // 16 of u1 columns, for one lane
    OF_ELEMENTS, // lanes with 16 of u0 elements
    OF_BLOCKS,   // lanes with 64 of u0 elements
    OF_MATRIX,   // lanes with 16 of u0 times u1 elements
    OF_PAIRS,    // lanes with 16 of the u3 / 2 pairs of a head, of u0 rows with u2 heads each
} pieces;

static const struct cpu_kernel {
    const char *general, *name;
    pieces pieces;
} kernels[] = {
    {"attention", "attention_cpu", OF_TIME},
    {"attention_dq", "attention_dq_cpu", OF_TIME},
    {"attention_dkv", "attention_dkv_cpu", OF_TIME},
    {"layernorm", "layernorm_cpu", OF_ROWS},
    {"layernorm_grad", "layernorm_grad_cpu", OF_ROWS},
    {"layernorm_partial", "layernorm_partial_cpu", OF_COLUMNS},
    {"add_layernorm", "add_layernorm_cpu", OF_ROWS},
    {"layernorm_grad_add", "layernorm_grad_add_cpu", OF_ROWS},
    {"rmsnorm", "rmsnorm_cpu", OF_ROWS},
    {"rmsnorm_grad", "rmsnorm_grad_cpu", OF_ROWS},
    {"add_rmsnorm", "add_rmsnorm_cpu", OF_ROWS},
    {"rmsnorm_grad_add", "rmsnorm_grad_add_cpu", OF_ROWS},
    {"rmsnorm_partial", "rmsnorm_partial_cpu", OF_COLUMNS},
    {"colsum", "colsum_cpu", OF_COLUMNS},
    {"cross_entropy", "cross_entropy_cpu", OF_ROWS},
    {"sumsq", "sumsq_cpu", OF_ROWS},
    {"gelu", "gelu_cpu", OF_ELEMENTS},
    {"gelu_grad", "gelu_grad_cpu", OF_ELEMENTS},
    {"dropout", "dropout_cpu", OF_BLOCKS},
    {"dropout_add", "dropout_add_cpu", OF_BLOCKS},
    {"swiglu", "swiglu_cpu", OF_MATRIX},
    {"swiglu_grad", "swiglu_grad_cpu", OF_MATRIX},
    {"rope", "rope_cpu", OF_PAIRS},
};

enum { VECTOR = 16, ROWS_AT_A_TIME = 32 };

static const struct cpu_kernel *find(const char *name)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].general, name) == 0)
            return &kernels[i];
    return NULL;
}

void tv_prefer_cpu_kernel(const tv_lowering *lowering, tv_launch *launch)
{
    const struct cpu_kernel *kernel =
        lowering->caps->cpu_kernels ? find(launch->choice.name) : NULL;
    if (!kernel || !tv_device_has_kernel(lowering->device, kernel->name))
        return;
    const uint32_t *u = launch->args.u;
    launch->choice.name = kernel->name;
    launch->choice.group = 1;
    switch (kernel->pieces) {
    case OF_TIME:
        launch->groups[0] = (uint32_t)tv_div_up(u[1], ROWS_AT_A_TIME);
        break;
    case OF_ROWS:
        break;
    case OF_COLUMNS:
        launch->groups[0] = (uint32_t)tv_div_up(u[1], VECTOR);
        break;
    case OF_ELEMENTS:
        tv_grid_lanes(lowering, launch, tv_div_up(u[0], VECTOR));
        break;
    case OF_BLOCKS:
        tv_grid_lanes(lowering, launch, tv_div_up(u[0], 4 * VECTOR));
        break;
    case OF_MATRIX:
        tv_grid_lanes(lowering, launch, tv_div_up((uint64_t)u[0] * u[1], VECTOR));
        break;
    case OF_PAIRS:
        tv_grid_lanes(lowering, launch, (uint64_t)u[0] * u[2] * tv_div_up(u[3] / 2, VECTOR));
        break;
    }
}
