// Kernels: looking them up among those that are made, and making them, several at once.
#include "device/front.h"

#include "base/memory.h"
#include "base/parallel.h"

#include <stdlib.h>
#include <string.h>

bool tv_device_has_kernel(const tv_device *device, const char *name)
{
    return device->backend->kernel_find(device, name) != NULL;
}

static bool is_same(const tv_kernel_choice *a, const tv_kernel_choice *b)
{
    return a->group == b->group && strcmp(a->name, b->name) == 0 &&
           memcmp(a->constants, b->constants, sizeof a->constants) == 0 &&
           memcmp(a->storage, b->storage, sizeof a->storage) == 0;
}

static const tv_kernel *find_made(const tv_device *device, const tv_kernel_choice *choice)
{
    for (const tv_kernel *kernel = device->kernels; kernel; kernel = kernel->next)
        if (is_same(&kernel->choice, choice))
            return kernel;
    return NULL;
}

uint64_t tv_kernel_shared_bytes(const tv_kernel_code *code, uint32_t group)
{
    return code->shared_bytes + (uint64_t)code->shared_lane_bytes * group;
}

static tv_err check_limits(const tv_device *device, const tv_kernel_code *code,
                           const tv_kernel_choice *choice)
{
    const tv_device_info *info = &device->info;
    if (choice->group > info->caps.max_group)
        return tv_fail(TV_EDEVICE, "%s: kernel '%s' needs groups of %u lanes, the device takes %u",
                       info->name, choice->name, (unsigned)choice->group,
                       (unsigned)info->caps.max_group);
    uint64_t shared = tv_kernel_shared_bytes(code, choice->group);
    if (shared > info->caps.shared_bytes)
        return tv_fail(TV_EDEVICE,
                       "%s: kernel '%s' needs %llu bytes of shared memory, the device has %u",
                       info->name, choice->name, (unsigned long long)shared,
                       (unsigned)info->caps.shared_bytes);
    return TV_OK;
}

// What a choice stands for, with everything filled in.
static tv_err complete(const tv_device *device, const tv_kernel_choice *choice,
                       tv_kernel_choice *full, const tv_kernel_code **code)
{
    TV_CHECK(choice->name, "a kernel without a name");
    *code = device->backend->kernel_find(device, choice->name);
    if (!*code)
        return tv_fail(TV_EDEVICE, "%s: there is no kernel '%s' that it can run", device->info.name,
                       choice->name);
    *full = *choice;
    full->name = (*code)->name; // the caller's string may not live as long
    full->group = choice->group ? choice->group : (*code)->group;
    return TV_OK;
}

static tv_err make(tv_device *device, const tv_kernel_code *code, const tv_kernel_choice *choice,
                   tv_kernel **made)
{
    TV_TRY(check_limits(device, code, choice));
    TV_TRY(tv_device_note(device, device->backend->kernel_create(device, code, choice, made)));
    (*made)->device = device;
    (*made)->code = code;
    (*made)->choice = *choice;
    return TV_OK;
}

static void keep(tv_device *device, tv_kernel *made)
{
    made->next = device->kernels;
    device->kernels = made;
}

tv_err tv_device_kernel(tv_device *device, const tv_kernel_choice *choice, const tv_kernel **kernel)
{
    TV_CHECK(device && choice && kernel, "no device, no choice or no place");
    const tv_kernel_code *code;
    tv_kernel_choice full;
    TV_TRY(tv_device_alive(device));
    TV_TRY(complete(device, choice, &full, &code));
    *kernel = find_made(device, &full);
    if (*kernel)
        return TV_OK;
    tv_kernel *made = NULL;
    TV_TRY(make(device, code, &full, &made));
    keep(device, made);
    *kernel = made;
    return TV_OK;
}

// ------------------------------------------------------------------------------ several at once

// A kernel to be made; `line` says what failed.
typedef struct job {
    const tv_kernel_code *code;
    tv_kernel_choice choice;
    tv_kernel *made;
    tv_err err;
    char *line;
} job;

typedef struct jobs {
    tv_device *device;
    job *list;   // as asked for: the first failure is the one that counts
    job **order; // that they are made in
    size_t count;
    const tv_stages *stages;
} jobs;

static bool is_listed(const jobs *all, const tv_kernel_choice *choice)
{
    for (size_t i = 0; i < all->count; i++)
        if (is_same(&all->list[i].choice, choice))
            return true;
    return false;
}

static tv_err list_missing(jobs *all, const tv_kernel_choice *choices, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        job *next = &all->list[all->count];
        TV_TRY(complete(all->device, &choices[i], &next->choice, &next->code));
        all->count += !find_made(all->device, &next->choice) && !is_listed(all, &next->choice);
    }
    return TV_OK;
}

static size_t length_of(const tv_kernel_code *code)
{
    return code->opencl ? strlen(code->opencl) : code->spirv_words;
}

// The longest text first, so that no core is left with it alone.
static int compare_jobs(const void *a, const void *b)
{
    size_t x = length_of((*(job *const *)a)->code), y = length_of((*(job *const *)b)->code);
    return x > y ? -1 : x < y;
}

static void make_piece(void *context, size_t index)
{
    const jobs *all = context;
    const tv_backend *backend = all->device->backend;
    job *j = all->order[index];
    j->err = make(all->device, j->code, &j->choice, &j->made);
    if (j->err == TV_OK && backend->kernel_warm)
        j->err = tv_device_note(all->device, backend->kernel_warm(j->made));
    if (j->err != TV_OK)
        j->line = tv_strdup(tv_error_message()); // each thread has a line of its own
}

static void tell(void *context, size_t done)
{
    const jobs *all = context;
    tv_stage(all->stages, TV_STAGE_KERNELS, done, all->count);
}

tv_err tv_device_kernels(tv_device *device, const tv_kernel_choice *choices, size_t count,
                         const tv_stages *stages)
{
    TV_CHECK(device && (choices || count == 0), "no device, or no choices");
    TV_TRY(tv_device_alive(device));
    jobs all = {.device = device, .list = tv_alloc(count + 1, sizeof *all.list), .stages = stages};
    tv_err err = list_missing(&all, choices, count);
    if (err == TV_OK) {
        all.order = tv_alloc(all.count + 1, sizeof *all.order);
        for (size_t i = 0; i < all.count; i++)
            all.order[i] = &all.list[i];
        qsort(all.order, all.count, sizeof *all.order, compare_jobs);
        tell(&all, 0);
        tv_parallel_each(all.count, make_piece, tell, &all);
    }
    for (size_t i = 0; i < all.count; i++) {
        job *j = &all.list[i];
        if (j->made)
            keep(device, j->made);
        if (err == TV_OK && j->err != TV_OK)
            err = tv_fail(j->err, "%s", j->line);
        tv_free(j->line);
    }
    tv_free(all.order);
    tv_free(all.list);
    return err;
}
