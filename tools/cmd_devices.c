// trivium devices: every device, with what it can do.
#include "cmd.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "device/device.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: trivium devices [--json] [--mask ITEM,...]\n"
    "\n"
    "Lists every device, best first; the number in front is its index for --device. Exits with 1\n"
    "if there is none.\n"
    "\n"
    "  --json        as a JSON array\n"
    "  --mask ITEMS  as if the devices were poorer (default: TRIVIUM_MASK): no-f16 no-bf16\n"
    "                no-storage16 no-subgroup no-timeline no-hostvisible no-texel range=BYTES\n"
    "                alloc=BYTES shared=BYTES group=N subgroup=N speed=FRACTION\n"
    "  --quiet       no hints on stderr\n";

static const char *const class_names[] = {
    [TV_CLASS_DISCRETE] = "discrete GPU",
    [TV_CLASS_INTEGRATED] = "integrated GPU",
    [TV_CLASS_VIRTUAL] = "virtual GPU",
    [TV_CLASS_CPU] = "CPU (software driver)",
};

static const char *const class_keys[] = {
    [TV_CLASS_DISCRETE] = "discrete",
    [TV_CLASS_INTEGRATED] = "integrated",
    [TV_CLASS_VIRTUAL] = "virtual",
    [TV_CLASS_CPU] = "cpu",
};

static const struct ability {
    const char *key, *name;
    size_t offset;
} abilities[] = {
    {"storage16", "16-bit storage", offsetof(tv_caps, storage16)},
    {"f16", "16-bit floats", offsetof(tv_caps, f16)},
    {"bf16", "bfloat16", offsetof(tv_caps, bf16)},
    {"timeline", "timeline semaphores", offsetof(tv_caps, timeline)},
    {"host_visible", "host-visible memory", offsetof(tv_caps, host_visible)},
    {"texel", "texel reads", offsetof(tv_caps, texel)},
};

enum { ABILITY_COUNT = sizeof abilities / sizeof *abilities };

static bool has_ability(const tv_caps *caps, size_t i)
{
    return *(const bool *)((const char *)caps + abilities[i].offset);
}

static void format_uuid(const uint8_t uuid[16], char out[37])
{
    for (size_t i = 0; i < 16; i++)
        out += sprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

// ------------------------------------------------------------------------------------- for people

static void print_caps(const tv_caps *caps)
{
    char memory[32], alloc[32], range[32], shared[32];
    tv_format_bytes(caps->memory, memory);
    tv_format_bytes(caps->max_alloc, alloc);
    tv_format_bytes(caps->max_range, range);
    tv_format_bytes(caps->shared_bytes, shared);
    printf("   memory   %s; buffers up to %s, windows up to %s\n", memory, alloc, range);
    printf("   groups   up to %u lanes, %s shared", (unsigned)caps->max_group, shared);
    if (caps->subgroup)
        printf(", subgroups of %u", (unsigned)caps->subgroup);
    printf("\n   can      ");
    const char *comma = "";
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        if (has_ability(caps, i)) {
            printf("%s%s", comma, abilities[i].name);
            comma = ", ";
        }
    printf("%s\n", *comma ? "" : "nothing beyond the least");
    if (caps->speed < 1)
        printf("   speed    masked to %g of its own\n", caps->speed);
}

static void print_device(size_t index, const tv_device_info *info)
{
    char uuid[37];
    format_uuid(info->uuid, uuid);
    printf("%zu  %s\n", index, info->name);
    printf("   what     %s from %s, %s:%u\n", class_names[info->device_class], info->vendor,
           info->backend, (unsigned)info->index);
    printf("   driver   %s\n", info->driver);
    printf("   uuid     %s\n", uuid);
    if (info->problem[0])
        printf("   PROBLEM  %s\n", info->problem);
    else
        print_caps(&info->caps);
}

// --------------------------------------------------------------------------------- for programs

static json_t *json_of(size_t index, const tv_device_info *info)
{
    char uuid[37];
    const tv_caps *caps = &info->caps;
    format_uuid(info->uuid, uuid);
    json_t *object = json_pack(
        "{s:I, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:o}", "index", (json_int_t)index, "backend",
        info->backend, "backend_index", (json_int_t)info->index, "name", info->name, "vendor",
        info->vendor, "driver", info->driver, "uuid", uuid, "class", class_keys[info->device_class],
        "problem", info->problem[0] ? json_string(info->problem) : json_null());
    json_t *can = json_pack(
        "{s:I, s:I, s:I, s:[I,I,I], s:I, s:I, s:I, s:f}", "subgroup", (json_int_t)caps->subgroup,
        "max_group", (json_int_t)caps->max_group, "shared_bytes", (json_int_t)caps->shared_bytes,
        "max_groups", (json_int_t)caps->max_groups[0], (json_int_t)caps->max_groups[1],
        (json_int_t)caps->max_groups[2], "max_range", (json_int_t)caps->max_range, "max_alloc",
        (json_int_t)caps->max_alloc, "memory", (json_int_t)caps->memory, "speed", caps->speed);
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        json_object_set_new(can, abilities[i].key, json_boolean(has_ability(caps, i)));
    json_object_set_new(object, "caps", can);
    return object;
}

static void print_json(const tv_device_info *infos, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_of(i, &infos[i]));
    json_dumpf(array, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(array);
}

static tv_err apply_mask(const char *mask, tv_device_info *infos, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!infos[i].problem[0] && tv_mask_apply(mask, &infos[i].caps) != TV_OK)
            return tv_fail_in(TV_EUSAGE, "%s", infos[i].name);
    return TV_OK;
}

static tv_err list_devices(const char *mask, bool json)
{
    tv_device_info *infos;
    size_t count;
    TV_TRY(tv_device_list(&infos, &count));
    tv_err err = apply_mask(mask, infos, count);
    if (err == TV_OK && json)
        print_json(infos, count);
    for (size_t i = 0; err == TV_OK && !json && i < count; i++)
        print_device(i, &infos[i]);
    tv_free(infos);
    if (err == TV_OK && count == 0)
        return tv_fail(TV_ENODEVICE,
                       "no device found: install a Vulkan driver (mesa-vulkan-drivers also runs "
                       "without a GPU); `trivium doctor` says what is missing");
    return err;
}

int cmd_devices(int argc, char **argv)
{
    bool json = false, done;
    const char *mask = getenv("TRIVIUM_MASK");
    const cmd_option options[] = {{.name = "json", .flag = &json},
                                  {.name = "mask", .value = &mask}};
    int positional;
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &positional, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (positional > 0)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium devices takes no '%s'", argv[1]));
    return cmd_finish(list_devices(mask, json));
}
