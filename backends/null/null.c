// The null device: allocates and copies, computes nothing, and checks each program for dispatches
// that may overlap though one writes what the other uses. For tests of what the planner records.
#include "device/backend.h"

#include "base/memory.h"

#include <string.h>

typedef struct null_buffer {
    tv_buffer head;
    uint8_t *data;
} null_buffer;

// ----------------------------------------------------------------------------------------- device

static tv_err enumerate(tv_device_info *infos, size_t capacity, size_t *count)
{
    *count = 0;
    if (capacity == 0)
        return TV_OK;
    infos[0] = (tv_device_info){
        .backend = "null",
        .name = "null",
        .vendor = "Trivium",
        .driver = "computes nothing",
        .device_class = TV_CLASS_VIRTUAL,
        .caps = {.storage16 = true,
                 .f16 = true,
                 .timeline = true,
                 .host_visible = true,
                 .subgroup = 32,
                 .max_group = 1024,
                 .shared_bytes = 32 << 10,
                 .max_groups = {65535, 65535, 65535},
                 .max_range = UINT64_C(128) << 20,
                 .max_alloc = UINT64_C(1) << 30,
                 .memory = UINT64_C(8) << 30,
                 .speed = 1},
    };
    *count = 1;
    return TV_OK;
}

static tv_err open_device(const tv_device_info *info, tv_device **device)
{
    (void)info;
    *device = tv_alloc(1, sizeof **device);
    return TV_OK;
}

static void close_device(tv_device *device)
{
    tv_free(device);
}

static tv_err buffer_create(tv_device *device, tv_memory where, uint64_t size, tv_buffer **buffer)
{
    (void)device, (void)where;
    null_buffer *made = tv_alloc(1, sizeof *made);
    made->data = tv_alloc(size, 1);
    *buffer = &made->head;
    return TV_OK;
}

static void buffer_destroy(tv_buffer *buffer)
{
    tv_free(((null_buffer *)buffer)->data);
    tv_free(buffer);
}

static tv_err buffer_write(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size)
{
    memcpy(((null_buffer *)buffer)->data + offset, data, size);
    return TV_OK;
}

static tv_err buffer_read(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    memcpy(data, ((null_buffer *)buffer)->data + offset, size);
    return TV_OK;
}

static void *buffer_host(tv_buffer *buffer)
{
    return ((null_buffer *)buffer)->data;
}

// The plainest flavour: its descriptors are those of a GPU.
static const tv_kernel_code *kernel_find(const tv_device *device, const char *name)
{
    const tv_kernel_code *best = NULL;
    (void)device;
    for (size_t i = 0; i < tv_kernel_code_count; i++)
        if (strcmp(tv_kernel_codes[i].name, name) == 0 &&
            (!best || tv_kernel_codes[i].flavor < best->flavor))
            best = &tv_kernel_codes[i];
    return best;
}

static tv_err kernel_create(tv_device *device, const tv_kernel_code *code,
                            const tv_kernel_choice *choice, tv_kernel **kernel)
{
    (void)device, (void)code, (void)choice;
    *kernel = tv_alloc(1, sizeof **kernel);
    return TV_OK;
}

static void kernel_destroy(tv_kernel *kernel)
{
    tv_free(kernel);
}

// ---------------------------------------------------------------------------------------- hazards

static bool overlap(const tv_binding *a, const tv_binding *b)
{
    return a->buffer == b->buffer && a->offset < b->offset + b->size &&
           b->offset < a->offset + a->size;
}

static const char *hazard_name(const tv_binding *first, const tv_binding *second)
{
    if (!(second->access & TV_WRITE))
        return "read after write";
    return first->access & TV_WRITE ? "write after write" : "write after read";
}

static tv_err check_pair(const tv_dispatch *first, const tv_dispatch *second)
{
    for (uint32_t i = 0; i < first->binding_count; i++)
        for (uint32_t j = 0; j < second->binding_count; j++) {
            const tv_binding *a = &first->bindings[i], *b = &second->bindings[j];
            if (!((a->access | b->access) & TV_WRITE) || !overlap(a, b))
                continue;
            return tv_fail(TV_EDEVICE,
                           "no barrier: %s between '%s' binding %u (%llu bytes at %llu) and '%s' "
                           "binding %u (%llu bytes at %llu)",
                           hazard_name(a, b), first->label, i, (unsigned long long)a->size,
                           (unsigned long long)a->offset, second->label, j,
                           (unsigned long long)b->size, (unsigned long long)b->offset);
        }
    return TV_OK;
}

// Segments do not count as barriers here, since where they end depends on the device's speed.
static tv_err program_record(tv_program *program)
{
    const tv_command *commands = program->commands;
    size_t since = 0; // the latest barrier
    for (size_t i = 0; i < program->command_count; i++) {
        if (commands[i].kind == TV_COMMAND_BARRIER)
            since = i;
        if (commands[i].kind != TV_COMMAND_DISPATCH)
            continue;
        for (size_t j = since; j < i; j++)
            if (commands[j].kind == TV_COMMAND_DISPATCH)
                TV_TRY(check_pair(&commands[j].dispatch, &commands[i].dispatch));
    }
    return TV_OK;
}

// --------------------------------------------------------------------------------------- programs

static tv_err program_create(tv_device *device, tv_program **program)
{
    (void)device;
    *program = tv_alloc(1, sizeof **program);
    return TV_OK;
}

static void program_destroy(tv_program *program)
{
    tv_free(program);
}

static tv_err program_run(tv_program *program)
{
    (void)program;
    return TV_OK;
}

static tv_err program_wait(tv_program *program, size_t segment, double timeout_s)
{
    (void)program, (void)segment, (void)timeout_s;
    return TV_OK;
}

static double segment_seconds(const tv_program *program, size_t segment)
{
    (void)program, (void)segment;
    return 0;
}

const tv_backend tv_backend_null = {
    .name = "null",
    .enumerate = enumerate,
    .device_open = open_device,
    .device_close = close_device,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .buffer_host = buffer_host,
    .kernel_find = kernel_find,
    .kernel_create = kernel_create,
    .kernel_destroy = kernel_destroy,
    .program_create = program_create,
    .program_destroy = program_destroy,
    .program_record = program_record,
    .program_run = program_run,
    .program_wait = program_wait,
    .segment_seconds = segment_seconds,
};
