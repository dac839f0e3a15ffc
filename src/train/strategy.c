// Strategies: their names, and choosing one.
#include "train/strategy.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {[TV_STRATEGY_DDP] = "ddp",
                                    [TV_STRATEGY_ZERO1] = "zero1",
                                    [TV_STRATEGY_ZERO2] = "zero2",
                                    [TV_STRATEGY_FSDP] = "fsdp",
                                    [TV_STRATEGY_DILOCO] = "diloco"};

const char *tv_strategy_name(tv_strategy strategy)
{
    return names[strategy];
}

tv_sharded tv_strategy_sharded(tv_strategy strategy)
{
    static const tv_sharded levels[] = {[TV_STRATEGY_ZERO1] = TV_SHARDED_OPTIMIZER,
                                        [TV_STRATEGY_ZERO2] = TV_SHARDED_GRADIENTS,
                                        [TV_STRATEGY_FSDP] = TV_SHARDED_WEIGHTS,
                                        [TV_STRATEGY_DILOCO] = TV_SHARDED_NONE};
    return levels[strategy];
}

// What decides how a device rounds, and what it can hold.
typedef struct kind {
    char backend[16], name[256], driver[520];
    uint64_t memory;
} kind;

static bool round_alike(const kind *a, const kind *b)
{
    return strcmp(a->backend, b->backend) == 0 && strcmp(a->name, b->name) == 0 &&
           strcmp(a->driver, b->driver) == 0;
}

tv_err tv_strategy_choose(tv_comm *comm, const char *configured, const tv_device_info *info,
                          tv_strategy *strategy, const char **reason, double *shares)
{
    uint32_t size = tv_comm_size(comm);
    kind mine = {.memory = info->caps.memory}, *all = tv_alloc(size, sizeof *all);
    bool mixed = false, automatic = strcmp(configured, "auto") == 0;
    memcpy(mine.backend, info->backend, sizeof mine.backend);
    memcpy(mine.name, info->name, sizeof mine.name);
    memcpy(mine.driver, info->driver, sizeof mine.driver);
    tv_err err = tv_comm_gather(comm, &mine, sizeof mine, all);
    for (uint32_t r = 0; r < size; r++) {
        shares[r] = (double)all[r].memory;
        mixed = mixed || !round_alike(&all[0], &all[r]);
    }
    tv_free(all);
    *reason = !automatic ? NULL : mixed ? "the devices round differently" : "all devices are alike";
    *strategy = mixed ? TV_STRATEGY_ZERO1 : TV_STRATEGY_DDP;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(configured, names[i]) == 0)
            *strategy = (tv_strategy)i;
    return err;
}
