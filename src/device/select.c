// Devices by name: the list of all backends' devices, and which one is meant.
#include "device/front.h"

#include "base/memory.h"
#include "base/text.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICES_MAX = 64 }; // per backend

#define BACKEND(name) extern const tv_backend tv_backend_##name;
#include "device/backends.def"
#undef BACKEND
extern const tv_backend tv_backend_null; // opened by its name only

static const tv_backend *const backends[] = {
#define BACKEND(name) &tv_backend_##name,
#include "device/backends.def"
#undef BACKEND
    NULL,
};

static const tv_backend *find_backend(const char *name, size_t length)
{
    for (size_t i = 0; backends[i]; i++)
        if (strlen(backends[i]->name) == length && strncmp(backends[i]->name, name, length) == 0)
            return backends[i];
    return NULL;
}

// ---------------------------------------------------------------------------------------- listing

static bool uuid_known(const uint8_t uuid[16])
{
    for (int i = 0; i < 16; i++)
        if (uuid[i] != 0)
            return true;
    return false;
}

// Within one backend a UUID that two devices share tells nothing: drivers have given all of a
// model's cards the same one.
bool tv_device_is_same(const tv_device_info *a, const tv_device_info *b)
{
    if (a->device_class == TV_CLASS_CPU || b->device_class == TV_CLASS_CPU)
        return false;
    if (a->pci[0] && b->pci[0])
        return strcmp(a->pci, b->pci) == 0;
    return strcmp(a->backend, b->backend) != 0 && uuid_known(a->uuid) &&
           memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0;
}

typedef struct listed {
    tv_device_info info;
    size_t place; // keeps the sort stable
    bool again;   // another one is the same device and preferred
} listed;

// Of devices that are the same, the first usable one is preferred, or the first where none is.
static bool is_preferred_to(const listed *a, const listed *b)
{
    bool a_usable = !a->info.problem[0], b_usable = !b->info.problem[0];
    return a_usable != b_usable ? a_usable : a->place < b->place;
}

static int by_class(const void *a, const void *b)
{
    const listed *x = a, *y = b;
    if (x->again != y->again)
        return x->again ? 1 : -1;
    if (x->info.device_class != y->info.device_class)
        return x->info.device_class < y->info.device_class ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

size_t tv_device_arrange(tv_device_info *infos, size_t count)
{
    listed *list = tv_alloc(count + 1, sizeof *list);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        list[i] = (listed){.info = infos[i], .place = i};
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count && !list[i].again; j++)
            list[i].again = i != j && tv_device_is_same(&list[i].info, &list[j].info) &&
                            is_preferred_to(&list[j], &list[i]);
        kept += !list[i].again;
    }
    qsort(list, count, sizeof *list, by_class);
    for (size_t i = 0; i < count; i++)
        infos[i] = list[i].info;
    tv_free(list);
    return kept;
}

// A backend's devices. What they may take of the host's memory is the same for all.
static tv_err enumerate(const tv_backend *backend, tv_device_info *infos, size_t capacity,
                        size_t *count)
{
    TV_TRY(backend->enumerate(infos, capacity, count));
    for (size_t i = 0; i < *count; i++)
        infos[i].caps.host_memory = tv_host_memory();
    return TV_OK;
}

tv_err tv_device_list_all(tv_device_info **infos, size_t *count, size_t *listed_count)
{
    size_t capacity = DEVICES_MAX * (sizeof backends / sizeof *backends);
    tv_device_info *list = tv_alloc(capacity, sizeof *list);
    size_t total = 0;
    for (size_t i = 0; backends[i]; i++) {
        size_t found = 0;
        tv_err err = enumerate(backends[i], list + total, DEVICES_MAX, &found);
        if (err != TV_OK) {
            tv_free(list);
            return err;
        }
        total += found;
    }
    *infos = list;
    *count = total;
    *listed_count = tv_device_arrange(list, total);
    return TV_OK;
}

tv_err tv_device_list(tv_device_info **infos, size_t *count)
{
    size_t all;
    return tv_device_list_all(infos, &all, count);
}

// 32 hexadecimal digits, with or without dashes.
static bool parse_uuid(const char *text, uint8_t uuid[16])
{
    size_t digits = 0;
    for (; *text; text++) {
        if (*text == '-')
            continue;
        if (!isxdigit((unsigned char)*text) || digits == 32)
            return false;
        int digit = isdigit((unsigned char)*text) ? *text - '0' : (*text | 32) - 'a' + 10;
        uuid[digits / 2] = (uint8_t)(digits % 2 ? uuid[digits / 2] | digit : digit << 4);
        digits++;
    }
    return digits == 32;
}

// ------------------------------------------------------------------------------- finding by name

static tv_err use(const tv_device_info *info, const tv_device_info **found)
{
    if (info->problem[0])
        return tv_fail(TV_ENODEVICE, "device '%s' cannot be used: %s", info->name, info->problem);
    *found = info;
    return TV_OK;
}

static tv_err none_such(const char *which)
{
    return tv_fail(TV_ENODEVICE, "no device '%s'; `trivium devices` lists what there is", which);
}

static bool is_better(const tv_device_info *a, const tv_device_info *b)
{
    if (!a->problem[0] != !b->problem[0])
        return !a->problem[0];
    return a->device_class < b->device_class;
}

// The best one of a backend, or of all backends where that is NULL.
static tv_err find_best(const char *backend, const tv_device_info *infos, size_t count,
                        const tv_device_info **found)
{
    const tv_device_info *best = NULL;
    for (size_t i = 0; i < count; i++)
        if ((!backend || strcmp(infos[i].backend, backend) == 0) &&
            (!best || is_better(&infos[i], best)))
            best = &infos[i];
    if (best)
        return use(best, found);
    if (backend)
        return tv_fail(TV_ENODEVICE, "no device of %s; `trivium devices` lists what there is",
                       backend);
    return tv_fail(TV_ENODEVICE, "no device found: install a Vulkan driver (mesa-vulkan-drivers "
                                 "also runs without a GPU); `trivium doctor` says what is missing");
}

static tv_err find_place(const char *which, const char *backend, uint64_t index,
                         const tv_device_info *infos, size_t count, const tv_device_info **found)
{
    for (size_t i = 0; i < count; i++)
        if (infos[i].index == index && strcmp(infos[i].backend, backend) == 0)
            return use(&infos[i], found);
    return none_such(which);
}

// *matched is the number of devices whose names contain `name`.
static tv_err find_named(const char *name, const tv_device_info *infos, size_t count,
                         size_t *matched, const tv_device_info **found)
{
    const tv_device_info *match = NULL;
    tv_text all = {0};
    *matched = 0;
    for (size_t i = 0; i < count; i++) {
        if (!tv_contains_nocase(infos[i].name, name))
            continue;
        tv_text_printf(&all, "%s%s:%u (%s)", *matched ? ", " : "", infos[i].backend,
                       (unsigned)infos[i].index, infos[i].name);
        match = &infos[i];
        (*matched)++;
    }
    tv_err err;
    if (*matched > 1)
        err = tv_fail(TV_EUSAGE, "device '%s' could be any of %s", name, all.data);
    else
        err = match ? use(match, found) : none_such(name);
    tv_text_finish(&all);
    return err;
}

// The name of a backend that is built in or has devices, for the first `length` bytes of `text`.
static const char *backend_name(const char *text, size_t length, const tv_device_info *infos,
                                size_t count)
{
    const tv_backend *backend = find_backend(text, length);
    for (size_t i = 0; i < count && !backend; i++)
        if (strlen(infos[i].backend) == length && strncmp(infos[i].backend, text, length) == 0)
            return infos[i].backend;
    return backend ? backend->name : NULL;
}

tv_err tv_device_find(const char *which, const tv_device_info *infos, size_t count,
                      size_t listed_count, const tv_device_info **found)
{
    if (!which || !*which || strcmp(which, "auto") == 0)
        return find_best(NULL, infos, listed_count, found);
    size_t length = strcspn(which, ":");
    const char *backend = backend_name(which, length, infos, count);
    uint64_t index;
    uint8_t uuid[16];
    if (backend && which[length] == 0)
        return find_best(backend, infos, count, found);
    if (backend && tv_parse_u64(which + length + 1, &index))
        return find_place(which, backend, index, infos, count, found);
    if (tv_parse_u64(which, &index)) {
        if (index >= listed_count)
            return tv_fail(TV_ENODEVICE,
                           "no device %s: %zu found; `trivium devices` lists what there is", which,
                           listed_count);
        return use(&infos[index], found);
    }
    if (parse_uuid(which, uuid))
        for (size_t i = 0; i < count; i++)
            if (memcmp(infos[i].uuid, uuid, sizeof uuid) == 0)
                return use(&infos[i], found);
    size_t matched;
    tv_err err = find_named(which, infos, listed_count, &matched, found);
    if (matched > 0)
        return err;
    return find_named(which, infos + listed_count, count - listed_count, &matched, found);
}

tv_err tv_device_select(const char *which, tv_selection *selection)
{
    if (which && strcmp(which, "null") == 0) {
        size_t one;
        selection->backend = &tv_backend_null;
        return enumerate(&tv_backend_null, &selection->info, 1, &one);
    }
    tv_device_info *infos;
    const tv_device_info *found = NULL;
    size_t count, listed_count;
    TV_TRY(tv_device_list_all(&infos, &count, &listed_count));
    tv_err err = tv_device_find(which, infos, count, listed_count, &found);
    if (err == TV_OK) {
        selection->backend = find_backend(found->backend, strlen(found->backend));
        selection->info = *found;
    }
    tv_free(infos);
    return err;
}
