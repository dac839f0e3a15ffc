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
} mask_kind;

static const struct mask_item {
    const char *name;
    mask_kind kind;
    size_t offset; // of the field in tv_caps
} mask_items[] = {
    {"no-f16", MASK_OFF, offsetof(tv_caps, f16)},
    {"no-bf16", MASK_OFF, offsetof(tv_caps, bf16)},
    {"no-storage16", MASK_OFF, offsetof(tv_caps, storage16)},
    {"no-timeline", MASK_OFF, offsetof(tv_caps, timeline)},
    {"no-hostvisible", MASK_OFF, offsetof(tv_caps, host_visible)},
    {"no-texel", MASK_OFF, offsetof(tv_caps, texel)},
    {"no-subgroup", MASK_SUBGROUP, 0},
    {"subgroup", MASK_SUBGROUP, 0},
    {"range", MASK_LIMIT64, offsetof(tv_caps, max_range)},
    {"alloc", MASK_LIMIT64, offsetof(tv_caps, max_alloc)},
    {"shared", MASK_LIMIT32, offsetof(tv_caps, shared_bytes)},
    {"group", MASK_LIMIT32, offsetof(tv_caps, max_group)},
    {"speed", MASK_SPEED, 0},
};

enum { MASK_ITEM_COUNT = sizeof mask_items / sizeof *mask_items };

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
    *field = bytes / TV_BINDING_ALIGNMENT * TV_BINDING_ALIGNMENT;
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
    if (err == TV_OK)
        *caps = masked;
    return err;
}
