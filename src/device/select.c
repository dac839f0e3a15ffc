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

typedef struct listed {
    tv_device_info info;
    size_t place; // keeps the sort stable
} listed;

static int by_class(const void *a, const void *b)
{
    const listed *x = a, *y = b;
    if (x->info.device_class != y->info.device_class)
        return x->info.device_class < y->info.device_class ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

static void sort_infos(tv_device_info *infos, size_t count)
{
    listed *list = tv_alloc(count, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = (listed){infos[i], i};
    qsort(list, count, sizeof *list, by_class);
    for (size_t i = 0; i < count; i++)
        infos[i] = list[i].info;
    tv_free(list);
}

tv_err tv_device_list(tv_device_info **infos, size_t *count)
{
    size_t capacity = DEVICES_MAX * (sizeof backends / sizeof *backends);
    tv_device_info *list = tv_alloc(capacity, sizeof *list);
    size_t total = 0;
    for (size_t i = 0; backends[i]; i++) {
        size_t found = 0;
        tv_err err = backends[i]->enumerate(list + total, DEVICES_MAX, &found);
        if (err != TV_OK) {
            tv_free(list);
            return err;
        }
        total += found;
    }
    if (total > 1)
        sort_infos(list, total);
    *infos = list;
    *count = total;
    return TV_OK;
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

static tv_err use(const tv_device_info *info, tv_selection *selection)
{
    if (info->problem[0])
        return tv_fail(TV_ENODEVICE, "device '%s' cannot be used: %s", info->name, info->problem);
    selection->backend = find_backend(info->backend, strlen(info->backend));
    selection->info = *info;
    return TV_OK;
}

static tv_err select_first(const tv_device_info *infos, size_t count, tv_selection *selection)
{
    for (size_t i = 0; i < count; i++)
        if (!infos[i].problem[0])
            return use(&infos[i], selection);
    if (count > 0)
        return use(&infos[0], selection); // fails with its problem
    return tv_fail(TV_ENODEVICE, "no device found: install a Vulkan driver (mesa-vulkan-drivers "
                                 "also runs without a GPU); `trivium doctor` says what is missing");
}

static tv_err select_named(const char *name, const tv_device_info *infos, size_t count,
                           tv_selection *selection)
{
    const tv_device_info *found = NULL;
    size_t matches = 0;
    tv_text all = {0};
    for (size_t i = 0; i < count; i++) {
        if (!tv_contains_nocase(infos[i].name, name))
            continue;
        tv_text_printf(&all, "%s%zu: %s", matches ? ", " : "", i, infos[i].name);
        found = &infos[i];
        matches++;
    }
    tv_err err;
    if (matches > 1)
        err = tv_fail(TV_EUSAGE, "device '%s' could be any of %s; name it by index or UUID", name,
                      all.data);
    else if (matches == 1)
        err = use(found, selection);
    else
        err = tv_fail(TV_ENODEVICE, "no device '%s'; `trivium devices` lists what there is", name);
    tv_text_finish(&all);
    return err;
}

static tv_err select_from(const char *which, const tv_device_info *infos, size_t count,
                          tv_selection *selection)
{
    if (!which || !*which || strcmp(which, "auto") == 0)
        return select_first(infos, count, selection);
    const char *colon = strchr(which, ':');
    const tv_backend *backend = colon ? find_backend(which, (size_t)(colon - which)) : NULL;
    uint64_t index;
    uint8_t uuid[16];
    if (backend && tv_parse_u64(colon + 1, &index)) {
        for (size_t i = 0; i < count; i++)
            if (infos[i].index == index && strcmp(infos[i].backend, backend->name) == 0)
                return use(&infos[i], selection);
        return tv_fail(TV_ENODEVICE, "no device '%s'; `trivium devices` lists what there is",
                       which);
    }
    if (tv_parse_u64(which, &index)) {
        if (index >= count)
            return tv_fail(TV_ENODEVICE,
                           "no device %s: %zu found; `trivium devices` lists what there is", which,
                           count);
        return use(&infos[index], selection);
    }
    if (parse_uuid(which, uuid))
        for (size_t i = 0; i < count; i++)
            if (memcmp(infos[i].uuid, uuid, sizeof uuid) == 0)
                return use(&infos[i], selection);
    return select_named(which, infos, count, selection);
}

tv_err tv_device_select(const char *which, tv_selection *selection)
{
    if (which && strcmp(which, "null") == 0) {
        size_t one;
        selection->backend = &tv_backend_null;
        return tv_backend_null.enumerate(&selection->info, 1, &one);
    }
    tv_device_info *infos;
    size_t count;
    TV_TRY(tv_device_list(&infos, &count));
    tv_err err = select_from(which, infos, count, selection);
    tv_free(infos);
    return err;
}
