// Ranks: what they must have in common, and who takes which device.
#include "train/ranks.h"

#include "base/build.h"
#include "base/memory.h"
#include "formats/checksum.h"

#include <stdio.h>
#include <string.h>

typedef struct held {
    char host[64], value[64];
} held;

tv_err tv_ranks_compare(tv_comm *comm, const char *what, const char *value)
{
    uint32_t size = tv_comm_size(comm), other = 0;
    held mine = {{0}, {0}}, *all = tv_alloc(size, sizeof *all);
    snprintf(mine.host, sizeof mine.host, "%s", tv_comm_host(comm));
    snprintf(mine.value, sizeof mine.value, "%s", value);
    tv_err err = tv_comm_gather(comm, &mine, sizeof mine, all);
    for (uint32_t r = size - 1; r > 0 && err == TV_OK; r--)
        if (strcmp(all[r].value, all[0].value) != 0)
            other = r;
    if (other)
        err = tv_fail(TV_ENET,
                      "rank %u on %s has another %s than rank 0 on %s (%s, not %s); all need the "
                      "same",
                      other, all[other].host, what, all[0].host, all[other].value, all[0].value);
    tv_free(all);
    return err;
}

tv_err tv_ranks_compare_setup(tv_comm *comm, const tv_config *config)
{
    tv_text text = {0};
    tv_config common = *config;
    common.device = common.mask = "";
    common.trainer.offload_optimizer = common.trainer.offload_activations = false;
    tv_config_print(&common, false, &text);
    tv_checksum sum = tv_checksum_memory(text.data, text.length);
    tv_text_finish(&text);
    TV_TRY(tv_ranks_compare(comm, "version of trivium", TV_VERSION));
    TV_TRY(tv_ranks_compare(comm, "build of trivium", tv_build_id));
    return tv_ranks_compare(comm, "configuration", sum.xxh3);
}

// ------------------------------------------------------------------------------------- devices

// Item `index` of "A,B,C"; the only item is everybody's.
static tv_err choose_listed(const char *list, uint32_t index, uint32_t ranks, tv_text *which)
{
    uint32_t items = 1;
    for (const char *c = list; *c; c++)
        items += *c == ',';
    if (items > 1 && items < ranks)
        return tv_fail(TV_EUSAGE,
                       "device: %s names %u devices, but %u ranks run on this machine; name one "
                       "for each",
                       list, items, ranks);
    for (uint32_t i = 0; items > 1 && i < index; i++)
        list = strchr(list, ',') + 1;
    list += strspn(list, " ");
    tv_text_append(which, list, items > 1 ? strcspn(list, ",") : strlen(list));
    return TV_OK;
}

static bool is_candidate(const tv_device_info *info, bool gpus)
{
    return !info->problem[0] && (!gpus || info->device_class != TV_CLASS_CPU);
}

// The list is sorted best first, so that a GPU stands at its head if there is any.
static tv_err choose_auto(uint32_t index, tv_text *which)
{
    tv_device_info *infos;
    size_t count, candidates = 0;
    TV_TRY(tv_device_list(&infos, &count));
    bool gpus = false;
    for (size_t i = 0; i < count; i++)
        gpus = gpus || is_candidate(&infos[i], true);
    for (size_t i = 0; i < count; i++)
        candidates += is_candidate(&infos[i], gpus);
    size_t left = candidates ? index % candidates : 0;
    for (size_t i = 0; i < count && candidates; i++)
        if (is_candidate(&infos[i], gpus) && left-- == 0) {
            tv_text_printf(which, "%zu", i);
            break;
        }
    tv_free(infos);
    if (!candidates)
        tv_text_puts(which, "auto"); // opening it says what is missing
    return TV_OK;
}

tv_err tv_ranks_choose_device(const tv_comm *comm, const char *configured, tv_text *which)
{
    uint32_t local = tv_comm_local_rank(comm), ranks = tv_comm_local_size(comm);
    if (ranks > 1 && strcmp(configured, "auto") == 0)
        return choose_auto(local, which);
    return choose_listed(configured, local, ranks, which);
}

typedef struct opened {
    char host[64];
    tv_device_info info;
} opened;

// One device, whichever API offers it. Without PCI addresses, a UUID that two cards of one driver
// share tells nothing; software devices have none of either.
static bool is_same_device(const opened *a, const opened *b)
{
    if (strcmp(a->host, b->host) != 0)
        return false;
    if (tv_device_is_same(&a->info, &b->info))
        return true;
    return !(a->info.pci[0] && b->info.pci[0]) && a->info.index == b->info.index &&
           strcmp(a->info.backend, b->info.backend) == 0 && strcmp(a->info.name, b->info.name) == 0;
}

tv_err tv_ranks_compare_devices(tv_comm *comm, const tv_device_info *info, bool shared)
{
    uint32_t size = tv_comm_size(comm);
    opened mine, *all = tv_alloc(size, sizeof *all);
    memset(&mine, 0, sizeof mine);
    snprintf(mine.host, sizeof mine.host, "%s", tv_comm_host(comm));
    mine.info = *info;
    tv_err err = tv_comm_gather(comm, &mine, sizeof mine, all);
    for (uint32_t r = 1; r < size && err == TV_OK && !shared; r++)
        for (uint32_t s = 0; s < r && err == TV_OK; s++)
            if (is_same_device(&all[s], &all[r]))
                err = tv_fail(TV_EUSAGE,
                              "ranks %u and %u on %s would both use %s; start fewer ranks, name "
                              "others with --device A,B, or allow it with --share-device",
                              s, r, all[r].host, all[r].info.name);
    tv_free(all);
    return err;
}

// ---------------------------------------------------------------------------------------- texts

tv_err tv_ranks_any(tv_comm *comm, bool *flag)
{
    uint64_t any = *flag;
    TV_TRY(tv_comm_max(comm, &any, 1));
    *flag = any != 0;
    return TV_OK;
}

tv_err tv_ranks_send_text(tv_comm *comm, tv_text *text)
{
    uint64_t length = text->length;
    TV_TRY(tv_comm_broadcast(comm, &length, sizeof length));
    char *bytes = tv_alloc((size_t)length + 1, 1);
    if (tv_comm_rank(comm) == 0 && length)
        memcpy(bytes, text->data, (size_t)length);
    tv_err err = tv_comm_broadcast(comm, bytes, (size_t)length);
    tv_text_clear(text);
    tv_text_append(text, bytes, (size_t)length);
    tv_free(bytes);
    return err;
}
