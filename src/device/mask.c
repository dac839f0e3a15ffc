// Masks: making a device look poorer, so that every fallback can be tried on any machine.
#include "device/device.h"

#include "base/memory.h"
#include "base/text.h"

#include <string.h>

typedef enum mask_kind {
    MASK_OFF,      // no-NAME: a bool becomes false
    MASK_SUBGROUP, // subgroup=N
    MASK_LIMIT32,  // NAME=N: lowers a uint32_t
    MASK_LIMIT64,  // NAME=BYTES: lowers a uint64_t
    MASK_SPEED,    // speed=FRACTION
    MASK_PROFILE,  // profile=NAME
} mask_kind;

static const struct mask_item {
    const char *name;
    mask_kind kind;
    size_t offset; // of the field in tv_caps
} mask_items[] = {
    {"no-f16", MASK_OFF, offsetof(tv_caps, f16)},
    {"no-bf16", MASK_OFF, offsetof(tv_caps, bf16)},
    {"no-coopmat", MASK_OFF, offsetof(tv_caps, coop)},
    {"no-coopmat2", MASK_OFF, offsetof(tv_caps, coop2)},
    {"no-storage16", MASK_OFF, offsetof(tv_caps, storage16)},
    {"no-timeline", MASK_OFF, offsetof(tv_caps, timeline)},
    {"no-hostvisible", MASK_OFF, offsetof(tv_caps, host_visible)},
    {"no-copy-queue", MASK_OFF, offsetof(tv_caps, copy_queue)},
    {"no-texel", MASK_OFF, offsetof(tv_caps, texel)},
    {"no-cpu-kernels", MASK_OFF, offsetof(tv_caps, cpu_kernels)},
    {"no-subgroup", MASK_SUBGROUP, 0},
    {"subgroup", MASK_SUBGROUP, 0},
    {"range", MASK_LIMIT64, offsetof(tv_caps, max_range)},
    {"alloc", MASK_LIMIT64, offsetof(tv_caps, max_alloc)},
    {"host", MASK_LIMIT64, offsetof(tv_caps, host_memory)},
    {"shared", MASK_LIMIT32, offsetof(tv_caps, shared_bytes)},
    {"group", MASK_LIMIT32, offsetof(tv_caps, max_group)},
    {"speed", MASK_SPEED, 0},
    {"profile", MASK_PROFILE, 0},
};

static const struct profile {
    const char *name;
    tv_caps caps;
} profiles[] = {
#define PROFILE(name, ...) {name, {__VA_ARGS__}},
#include "device/profiles.def"
#undef PROFILE
};

// The least that kernels for matrix units take: the smallest tile's subgroups and shared memory.
enum { COOP_SUBGROUPS = 4, COOP_SHARED = 16384 };

enum {
    MASK_ITEM_COUNT = sizeof mask_items / sizeof *mask_items,
    PROFILE_COUNT = sizeof profiles / sizeof *profiles
};

static uint64_t whole_windows(uint64_t bytes)
{
    return bytes / TV_BINDING_ALIGNMENT * TV_BINDING_ALIGNMENT;
}

static tv_err lower(const char *item, const char *value, uint64_t present, uint64_t *result)
{
    if (!tv_parse_bytes(value, result) || *result == 0)
        return tv_fail(TV_EUSAGE, "mask: '%s' needs a positive number such as 64K or 128M", item);
    if (*result > present)
        return tv_fail(TV_EUSAGE, "mask: '%s' asks for more than the device has (%llu)", item,
                       (unsigned long long)present);
    return TV_OK;
}

// Windows start at multiples of TV_BINDING_ALIGNMENT, so a range between two of them is of no use.
static tv_err lower_bytes(const char *item, const char *value, uint64_t *field)
{
    uint64_t bytes;
    TV_TRY(lower(item, value, *field, &bytes));
    if (bytes < TV_BINDING_ALIGNMENT)
        return tv_fail(TV_EUSAGE, "mask: '%s' is too small; %d bytes are the least", item,
                       TV_BINDING_ALIGNMENT);
    *field = whole_windows(bytes);
    return TV_OK;
}

static tv_err apply_subgroup(const char *item, const char *value, uint32_t *subgroup)
{
    uint64_t lanes = 0;
    if (value && !tv_parse_u64(value, &lanes))
        return tv_fail(TV_EUSAGE, "mask: '%s' needs a number of lanes", item);
    if (lanes != 0 && lanes != *subgroup)
        return tv_fail(TV_EUSAGE, "mask: '%s' cannot be had; the device's subgroup size is %u",
                       item, (unsigned)*subgroup);
    *subgroup = (uint32_t)lanes;
    return TV_OK;
}

static uint32_t least32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint64_t least64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Lowers to what both have. The subgroup size stays the device's own.
static void lower_to(const tv_caps *profile, tv_caps *caps)
{
    for (size_t i = 0; i < MASK_ITEM_COUNT; i++)
        if (mask_items[i].kind == MASK_OFF &&
            !*(const bool *)((const char *)profile + mask_items[i].offset))
            *(bool *)((char *)caps + mask_items[i].offset) = false;
    caps->subgroup = profile->subgroup ? caps->subgroup : 0;
    caps->max_group = least32(caps->max_group, profile->max_group);
    caps->shared_bytes = least32(caps->shared_bytes, profile->shared_bytes);
    for (int i = 0; i < 3; i++)
        caps->max_groups[i] = least32(caps->max_groups[i], profile->max_groups[i]);
    caps->max_range = least64(caps->max_range, whole_windows(profile->max_range));
    caps->max_alloc = least64(caps->max_alloc, whole_windows(profile->max_alloc));
}

static tv_err apply_profile(const char *name, tv_caps *caps)
{
    const char *names[PROFILE_COUNT];
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        names[i] = profiles[i].name;
        if (strcmp(name, names[i]) == 0) {
            lower_to(&profiles[i].caps, caps);
            return TV_OK;
        }
    }
    const char *near = tv_nearest_name(name, names, PROFILE_COUNT);
    if (near)
        return tv_fail(TV_EUSAGE, "mask: no profile '%s'; did you mean '%s'?", name, near);
    tv_text all = {0};
    for (size_t i = 0; i < PROFILE_COUNT; i++)
        tv_text_printf(&all, "%s%s", i ? ", " : "", names[i]);
    tv_err err = tv_fail(TV_EUSAGE, "mask: no profile '%s'; there are %s", name, all.data);
    tv_text_finish(&all);
    return err;
}

static tv_err apply_item(const struct mask_item *row, const char *item, const char *value,
                         tv_caps *caps)
{
    void *field = (char *)caps + row->offset;
    uint64_t number;
    bool bare = row->kind == MASK_OFF || tv_starts_with(row->name, "no-");
    if (bare && value)
        return tv_fail(TV_EUSAGE, "mask: '%s' takes no value", row->name);
    if (!bare && !value)
        return tv_fail(TV_EUSAGE, "mask: '%s' needs a value: %s=...", item, row->name);
    switch (row->kind) {
    case MASK_OFF:
        *(bool *)field = false;
        break;
    case MASK_SUBGROUP:
        return apply_subgroup(item, value, &caps->subgroup);
    case MASK_LIMIT32:
        TV_TRY(lower(item, value, *(uint32_t *)field, &number));
        *(uint32_t *)field = (uint32_t)number;
        break;
    case MASK_LIMIT64:
        return lower_bytes(item, value, field);
    case MASK_PROFILE:
        return apply_profile(value, caps);
    case MASK_SPEED:
        if (!tv_parse_double(value, &caps->speed) || caps->speed <= 0 || caps->speed > 1)
            return tv_fail(TV_EUSAGE, "mask: '%s' needs a fraction above 0 and up to 1", item);
        break;
    }
    return TV_OK;
}

static tv_err find_and_apply(char *item, tv_caps *caps)
{
    const char *names[MASK_ITEM_COUNT];
    char *equals = strchr(item, '=');
    size_t length = equals ? (size_t)(equals - item) : strlen(item);
    for (size_t i = 0; i < MASK_ITEM_COUNT; i++) {
        names[i] = mask_items[i].name;
        if (strlen(names[i]) == length && strncmp(names[i], item, length) == 0)
            return apply_item(&mask_items[i], item, equals ? equals + 1 : NULL, caps);
    }
    item[length] = 0;
    const char *near = tv_nearest_name(item, names, MASK_ITEM_COUNT);
    return tv_fail(TV_EUSAGE, "mask: no item '%s'%s%s%s", item, near ? "; did you mean '" : "",
                   near ? near : "", near ? "'?" : "");
}

tv_err tv_mask_apply(const char *mask, tv_caps *caps)
{
    tv_caps masked = *caps;
    char *items = tv_strdup(mask ? mask : ""), *rest = items;
    tv_err err = TV_OK;
    for (char *item = strsep(&rest, ","); item && err == TV_OK; item = strsep(&rest, ",")) {
        item += strspn(item, " ");
        item[strcspn(item, " ")] = 0;
        if (*item)
            err = find_and_apply(item, &masked);
    }
    tv_free(items);
    masked.coop = masked.coop && masked.f16 && masked.storage16 && masked.subgroup &&
                  masked.max_group >= COOP_SUBGROUPS * masked.subgroup &&
                  masked.shared_bytes >= COOP_SHARED;
    masked.coop2 = masked.coop2 && masked.coop;
    if (err == TV_OK)
        *caps = masked;
    return err;
}
