// trivium devices: every device, with what it can do.
#include "cmd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "device/device.h"
#include "device/selftest.h"
#include "dist/comm.h"
#include "train/precision.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: trivium devices [--all] [--json] [--mask ITEM,...] [--no-selftest]\n"
    "\n"
    "Lists every device, best first, with what it offers and what Trivium uses of that; the "
    "number\n"
    "in front is its index for --device. Each is opened, and a few kernels are run on it. Exits\n"
    "with 1 if there is none. Under mpirun: those of every host, below its name.\n"
    "\n"
    "  --all          also GPUs that are listed already, as another driver or API offers them\n"
    "  --json         as a JSON array\n"
    "  --mask ITEMS   as if the devices were poorer (default: TRIVIUM_MASK): no-f16 no-bf16\n"
    "                 no-coopmat no-coopmat2 no-storage16 no-subgroup no-timeline no-hostvisible\n"
    "                 no-copy-queue no-texel no-cpu-kernels range=BYTES alloc=BYTES shared=BYTES\n"
    "                 group=N subgroup=N speed=FRACTION, or the profile of a device:\n"
    "                 profile=spec-minimum|gtx960|rx580|uhd620|v3d\n"
    "  --no-selftest  opens no device and runs nothing\n"
    "  --quiet        no hints on stderr\n";

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
    const char *key, *name, *opencl_name;
    size_t offset;
} abilities[] = {
    {"storage16", "16-bit storage", "16-bit storage", offsetof(tv_caps, storage16)},
    {"f16", "16-bit floats", "16-bit floats", offsetof(tv_caps, f16)},
    {"bf16", "bfloat16", "bfloat16", offsetof(tv_caps, bf16)},
    {"cooperative_matrix", "cooperative matrices", "cooperative matrices", offsetof(tv_caps, coop)},
    {"cooperative_matrix2", "cooperative matrices 2", "cooperative matrices 2",
     offsetof(tv_caps, coop2)},
    {"timeline", "timeline semaphores", "command buffers", offsetof(tv_caps, timeline)},
    {"host_visible", "host-visible memory", "host-visible memory", offsetof(tv_caps, host_visible)},
    {"copy_queue", "a queue for copies", "a queue for copies", offsetof(tv_caps, copy_queue)},
    {"texel", "texel buffers", "texel buffers", offsetof(tv_caps, texel)},
    {"cpu_kernels", "kernels for CPUs", "kernels for CPUs", offsetof(tv_caps, cpu_kernels)},
};

enum { ABILITY_COUNT = sizeof abilities / sizeof *abilities };

static bool has_ability(const tv_caps *caps, size_t i)
{
    return *(const bool *)((const char *)caps + abilities[i].offset);
}

// A device of the list, and what became of it.
typedef struct entry {
    tv_device_info info; // caps are what it offers
    tv_caps used;        // after the mask and the self-test
    bool tested;
    double milliseconds; // that opening it and its test took
    char *failure;       // the line of an opening that failed, else NULL
} entry;

static bool is_vulkan(const entry *e)
{
    return strcmp(e->info.backend, "vulkan") == 0;
}

// What Trivium makes of a capability. `text` returns NULL where that does not apply.
static const char *storage_text(const entry *e, char buffer[64])
{
    (void)buffer;
    return e->used.storage16 ? "native" : "packed in 32-bit words";
}

static const char *halves_text(const entry *e, char buffer[64])
{
    (void)buffer;
    bool native = e->used.f16 && (e->used.storage16 || !is_vulkan(e));
    return native ? "driver" : "bit operations";
}

static const char *bf16_text(const entry *e, char buffer[64])
{
    (void)buffer;
    return e->used.bf16 ? "bit operations, matrix units" : "bit operations";
}

static const char *products_text(const entry *e, char buffer[64])
{
    const tv_caps *used = &e->used;
    if (!used->coop)
        return "vector units";
    snprintf(buffer, 64, "matrix units for f16%s%s", used->bf16 ? " and bf16" : "",
             used->coop2 ? ", by groups" : ", by subgroups");
    return buffer;
}

static const char *rows_text(const entry *e, char buffer[64])
{
    snprintf(buffer, 64, "subgroup of %u", (unsigned)e->used.subgroup);
    return e->used.subgroup ? buffer : "shared memory";
}

static const char *reads_text(const entry *e, char buffer[64])
{
    (void)buffer;
    if (!is_vulkan(e))
        return NULL;
    return e->used.texel ? "texel buffers" : "storage buffers";
}

static const char *copies_text(const entry *e, char buffer[64])
{
    snprintf(buffer, 64, "%s%s", e->used.host_visible ? "mapped device memory" : "staging buffers",
             e->used.copy_queue ? ", beside programs" : "");
    return buffer;
}

static const char *segments_text(const entry *e, char buffer[64])
{
    (void)buffer;
    if (is_vulkan(e))
        return e->used.timeline ? "timeline semaphores" : "fences";
    return e->used.timeline ? "command buffers" : "one command after the other";
}

static const char *precision_text(const entry *e, char buffer[64])
{
    (void)buffer;
    tv_precision_choice choice = tv_precision_auto(&e->used, e->info.device_class);
    return tv_precision_get_info(choice.precision)->name;
}

static const struct use {
    const char *key, *name;
    const char *(*text)(const entry *e, char buffer[64]);
} uses[] = {
    {"storage16", "16-bit storage", storage_text},
    {"half_conversion", "half conversion", halves_text},
    {"bfloat16", "bfloat16", bf16_text},
    {"products", "matrix products", products_text},
    {"row_reductions", "row reductions", rows_text},
    {"reads", "reads", reads_text},
    {"copies", "copies", copies_text},
    {"segments", "segments", segments_text},
    {"precision", "precision: auto", precision_text},
};

enum { USE_COUNT = sizeof uses / sizeof *uses };

static void format_uuid(const uint8_t uuid[16], char out[37])
{
    for (size_t i = 0; i < 16; i++)
        out += sprintf(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
}

// ------------------------------------------------------------------------------------- for people

static void print_limits(FILE *out, const tv_caps *caps)
{
    char memory[32], alloc[32], range[32], shared[32];
    tv_format_bytes(caps->memory, memory);
    tv_format_bytes(caps->max_alloc, alloc);
    tv_format_bytes(caps->max_range, range);
    tv_format_bytes(caps->shared_bytes, shared);
    fprintf(out, "   memory   %s; buffers up to %s, windows up to %s\n", memory, alloc, range);
    fprintf(out, "   groups   up to %u lanes, %s shared\n", (unsigned)caps->max_group, shared);
    if (caps->speed < 1)
        fprintf(out, "   speed    masked to %g of its own\n", caps->speed);
}

static void print_offers(FILE *out, const entry *e)
{
    const tv_caps *caps = &e->info.caps;
    const char *comma = "";
    fprintf(out, "   offers   ");
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        if (has_ability(caps, i)) {
            fprintf(out, "%s%s", comma,
                    is_vulkan(e) ? abilities[i].name : abilities[i].opencl_name);
            comma = ", ";
        }
    if (caps->subgroup)
        fprintf(out, "%ssubgroups of %u", comma, (unsigned)caps->subgroup);
    else if (!*comma)
        fprintf(out, "nothing beyond the least");
    fputc('\n', out);
}

static void print_uses(FILE *out, const entry *e)
{
    const char *title = "uses";
    for (size_t i = 0; i < USE_COUNT; i++) {
        char buffer[64];
        const char *text = uses[i].text(e, buffer);
        if (!text)
            continue;
        fprintf(out, "   %-8s %-16s %s\n", title, uses[i].name, text);
        title = "";
    }
}

static void print_device(FILE *out, size_t index, size_t listed_count, const entry *e,
                         const entry *same)
{
    const tv_device_info *info = &e->info;
    char uuid[37];
    format_uuid(info->uuid, uuid);
    if (index < listed_count)
        fprintf(out, "%zu  %s\n", index, info->name);
    else
        fprintf(out, "=  %s\n", info->name);
    fprintf(out, "   what     %s from %s, %s:%u\n", class_names[info->device_class], info->vendor,
            info->backend, (unsigned)info->index);
    if (same)
        fprintf(out, "   note     the same GPU as %s:%u; --device %s:%u takes it\n",
                same->info.backend, (unsigned)same->info.index, info->backend,
                (unsigned)info->index);
    fprintf(out, "   driver   %s\n", info->driver);
    fprintf(out, "   uuid     %s\n", uuid);
    if (info->pci[0])
        fprintf(out, "   pci      %s\n", info->pci);
    if (info->problem[0]) {
        fprintf(out, "   PROBLEM  %s\n", info->problem);
        return;
    }
    print_limits(out, &e->used);
    print_offers(out, e);
    print_uses(out, e);
    if (e->failure)
        fprintf(out, "   PROBLEM  %s\n", e->failure);
    else if (e->tested)
        fprintf(out, "   test     passed; opened and tested in %.0f ms\n", e->milliseconds);
}

// --------------------------------------------------------------------------------- for programs

static json_t *json_of_caps(const tv_caps *caps)
{
    json_t *object =
        json_pack("{s:I, s:I, s:I, s:[I,I,I], s:I, s:I, s:I, s:I, s:f}", "subgroup",
                  (json_int_t)caps->subgroup, "max_group", (json_int_t)caps->max_group,
                  "shared_bytes", (json_int_t)caps->shared_bytes, "max_groups",
                  (json_int_t)caps->max_groups[0], (json_int_t)caps->max_groups[1],
                  (json_int_t)caps->max_groups[2], "max_range", (json_int_t)caps->max_range,
                  "max_alloc", (json_int_t)caps->max_alloc, "memory", (json_int_t)caps->memory,
                  "host_memory", (json_int_t)caps->host_memory, "speed", caps->speed);
    for (size_t i = 0; i < ABILITY_COUNT; i++)
        json_object_set_new(object, abilities[i].key, json_boolean(has_ability(caps, i)));
    return object;
}

static json_t *json_of_uses(const entry *e)
{
    json_t *object = json_object();
    for (size_t i = 0; i < USE_COUNT; i++) {
        char buffer[64];
        const char *text = uses[i].text(e, buffer);
        if (text)
            json_object_set_new(object, uses[i].key, json_string(text));
    }
    return object;
}

static json_t *json_of_test(const entry *e)
{
    if (!e->tested)
        return json_null();
    if (e->failure)
        return json_pack("{s:b, s:s}", "passed", 0, "error", e->failure);
    return json_pack("{s:b, s:f}", "passed", 1, "ms", e->milliseconds);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

// `caps` are those that Trivium uses, after the mask; `offered` are the driver's.
static json_t *json_of(size_t index, size_t listed_count, const entry *e, const entry *same)
{
    const tv_device_info *info = &e->info;
    char uuid[37], place[32] = "";
    format_uuid(info->uuid, uuid);
    if (same)
        snprintf(place, sizeof place, "%s:%u", same->info.backend, (unsigned)same->info.index);
    json_t *object =
        json_pack("{s:o, s:s, s:I, s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:o}", "index",
                  index < listed_count ? json_integer((json_int_t)index) : json_null(), "backend",
                  info->backend, "backend_index", (json_int_t)info->index, "name", info->name,
                  "vendor", info->vendor, "driver", info->driver, "uuid", uuid, "pci",
                  text_or_null(info->pci), "class", class_keys[info->device_class], "same_as",
                  text_or_null(place), "problem", text_or_null(info->problem));
    json_object_set_new(object, "caps", json_of_caps(&e->used));
    json_object_set_new(object, "offered", json_of_caps(&info->caps));
    json_object_set_new(object, "uses", json_of_uses(e));
    json_object_set_new(object, "selftest", json_of_test(e));
    return object;
}

// ---------------------------------------------------------------------------------------- listing

static void open_entry(entry *e, const char *mask)
{
    char place[32];
    tv_device *device = NULL;
    double since = tv_now_seconds();
    snprintf(place, sizeof place, "%s:%u", e->info.backend, (unsigned)e->info.index);
    e->tested = true;
    if (tv_device_open(place, mask ? mask : "", &device) == TV_OK)
        e->used = tv_device_get_info(device)->caps; // the test may have taken something away
    else
        e->failure = tv_strdup(tv_error_message());
    e->milliseconds = 1e3 * (tv_now_seconds() - since);
    tv_device_close(&device);
}

static tv_err make_entries(const tv_device_info *infos, size_t count, const char *mask, bool test,
                           entry *entries)
{
    for (size_t i = 0; i < count; i++) {
        entry *e = &entries[i];
        e->info = infos[i];
        e->used = infos[i].caps;
        if (infos[i].problem[0])
            continue;
        if (tv_mask_apply(mask, &e->used) != TV_OK)
            return tv_fail_in(TV_EUSAGE, "%s", infos[i].name);
        if (test)
            open_entry(e, mask);
    }
    return TV_OK;
}

static const entry *same_listed(const entry *e, const entry *entries, size_t listed_count)
{
    for (size_t i = 0; i < listed_count; i++)
        if (e != &entries[i] && tv_device_is_same(&e->info, &entries[i].info))
            return &entries[i];
    return NULL;
}

static void print_entries(FILE *out, const entry *entries, size_t count, size_t listed_count,
                          bool json)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        const entry *same =
            i < listed_count ? NULL : same_listed(&entries[i], entries, listed_count);
        if (json)
            json_array_append_new(array, json_of(i, listed_count, &entries[i], same));
        else
            print_device(out, i, listed_count, &entries[i], same);
    }
    if (json) {
        json_dumpf(array, out, JSON_INDENT(2));
        fputc('\n', out);
    }
    json_decref(array);
}

static tv_err list_devices(FILE *out, const char *mask, bool all, bool json, bool test)
{
    tv_device_info *infos;
    size_t count, listed_count;
    TV_TRY(tv_device_list_all(&infos, &count, &listed_count));
    count = all ? count : listed_count;
    entry *entries = tv_alloc(count + 1, sizeof *entries);
    tv_err err = make_entries(infos, count, mask, test, entries);
    if (err == TV_OK)
        print_entries(out, entries, count, listed_count, json);
    for (size_t i = 0; i < count; i++)
        tv_free(entries[i].failure);
    tv_free(entries);
    tv_free(infos);
    if (err == TV_OK && count == 0)
        return tv_fail(TV_ENODEVICE,
                       "no device found: install a Vulkan driver (mesa-vulkan-drivers also runs "
                       "without a GPU); `trivium doctor` says what is missing");
    return err;
}

// ------------------------------------------------------------------------------------ several
// hosts

// What a rank has to say: the first one on each host its list, the others nothing.
typedef struct told {
    char host[64];
    uint64_t size;
} told;

static void print_hosts(const told *all, const char *texts, uint32_t ranks, bool json)
{
    const char *before = json ? "{\n" : "";
    for (uint32_t r = 0; r < ranks; r++) {
        if (all[r].size == 0)
            continue;
        if (json)
            printf("%s\"%s\": %.*s", before, all[r].host, (int)all[r].size, texts);
        else
            printf("%s%s\n%.*s", before, all[r].host, (int)all[r].size, texts);
        texts += all[r].size;
        before = json ? ", " : "\n";
    }
    if (json)
        puts("}");
}

// Rank 0 prints a list for each host, below its name.
static tv_err print_together(tv_comm *comm, const char *text, size_t size, bool json)
{
    uint32_t ranks = tv_comm_size(comm);
    told mine = {.size = size}, *all = tv_alloc(ranks, sizeof *all);
    uint64_t *sizes = tv_alloc(ranks, sizeof *sizes), total = 0;
    snprintf(mine.host, sizeof mine.host, "%s", tv_comm_host(comm));
    tv_err err = tv_comm_gather(comm, &mine, sizeof mine, all);
    for (uint32_t r = 0; r < ranks; r++)
        total += sizes[r] = all[r].size;
    char *texts = tv_comm_rank(comm) == 0 ? tv_alloc((size_t)total + 1, 1) : NULL;
    if (err == TV_OK)
        err = tv_comm_collect(comm, text, sizes, texts);
    if (err == TV_OK && texts)
        print_hosts(all, texts, ranks, json);
    tv_free(texts);
    tv_free(sizes);
    tv_free(all);
    return err;
}

static tv_err list_on_hosts(tv_comm *comm, const char *mask, bool all, bool json, bool test)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return tv_fail(TV_EIO, "no memory for a list of devices");
    bool lists = tv_comm_local_rank(comm) == 0;
    tv_err err = lists ? list_devices(out, mask, all, json, test) : TV_OK;
    fclose(out);
    err = tv_comm_agree(comm, err);
    if (err == TV_OK)
        err = print_together(comm, text, size, json);
    free(text);
    return err;
}

// The exit code; rank 0 speaks for all.
static int list(const char *mask, bool all, bool json, bool test)
{
    tv_comm *comm;
    tv_err err = tv_comm_open(&comm);
    if (err != TV_OK)
        return cmd_finish(err);
    bool speaks = tv_comm_rank(comm) == 0;
    err = tv_comm_size(comm) > 1 ? list_on_hosts(comm, mask, all, json, test)
                                 : list_devices(stdout, mask, all, json, test);
    int code = speaks ? cmd_finish(err) : tv_exit_code(err);
    tv_comm_close(&comm);
    return code;
}

int cmd_devices(int argc, char **argv)
{
    bool all = false, json = false, done;
    const char *mask = getenv("TRIVIUM_MASK");
    const cmd_option options[] = {{.name = "all", .flag = &all},
                                  {.name = "json", .flag = &json},
                                  {.name = "mask", .value = &mask},
                                  CMD_NO_SELFTEST};
    int positional;
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &positional, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (positional > 0)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium devices takes no '%s'", argv[1]));
    return list(mask, all, json, tv_selftest_wanted());
}
