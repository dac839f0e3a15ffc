// Lowering for CPUs: kernels NAME_cpu, whose lanes work alone on large pieces with vectors.
#include "plan/lower.h"

#include <string.h>

// What a launch is divided by; its pieces become work-groups of one lane. A kernel finds its piece
// by the number of groups, so sizes here are no part of the contract.
typedef enum pieces {
    OF_TIME, // blocks of u1 rows, for each group in y and z: exactly `size` rows each
} pieces;

static const struct cpu_kernel {
    const char *general, *name;
    pieces pieces;
    uint32_t size;
} kernels[] = {
    {"attention", "attention_cpu", OF_TIME, 32},
    {"attention_dq", "attention_dq_cpu", OF_TIME, 32},
    {"attention_dkv", "attention_dkv_cpu", OF_TIME, 32},

};

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
    launch->choice.name = kernel->name;
    launch->choice.group = 1;
    switch (kernel->pieces) {
    case OF_TIME:
        launch->groups[0] = (uint32_t)tv_div_up(launch->args.u[1], kernel->size);
        break;
    }
}
