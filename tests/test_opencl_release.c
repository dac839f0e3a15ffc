// What the OpenCL backend calls, seen from between it and the driver: nothing is released that
// something else still uses, everything once; a command buffer is run again when it may be.
#include "harness/harness.h"

#include "../backends/opencl/cl_internal.h"
#include "base/memory.h"

#include <string.h>

enum { N = 1000, OBJECTS_MAX = 400 };

// What was made, in that order, and what of it is left.
typedef struct object {
    const void *handle;
    const void *parent;   // of a window
    const void *uses[16]; // of a kernel: its arguments
    size_t end;           // of a window
    bool alive, queued; // queued: a command may use it that was enqueued since the queue was empty
} object;

static object objects[OBJECTS_MAX];
static size_t object_count;
static size_t refusals; // of command buffers, still to come
static tv_cl_api real;
static clEnqueueCommandBufferKHR_fn real_enqueue;

static object *find(const void *handle)
{
    for (size_t i = object_count; i-- > 0;)
        if (objects[i].handle == handle && objects[i].alive)
            return &objects[i];
    fail_msg("%p is not there, or no more", handle);
    return NULL;
}

static void *note(void *handle, const void *parent)
{
    assert_true(object_count < OBJECTS_MAX && handle);
    objects[object_count++] = (object){.handle = handle, .parent = parent, .alive = true};
    return handle;
}

// Neither a command on its way nor a living part or user has it.
static void release(const void *handle)
{
    assert_false(find(handle)->queued);
    find(handle)->alive = false;
    for (size_t i = 0; i < object_count; i++) {
        if (!objects[i].alive)
            continue;
        assert_ptr_not_equal(objects[i].parent, handle);
        for (size_t u = 0; u < 16; u++)
            assert_ptr_not_equal(objects[i].uses[u], handle);
    }
}

static cl_mem create_buffer(cl_context context, cl_mem_flags flags, size_t size, void *host,
                            cl_int *status)
{
    return note(real.clCreateBuffer(context, flags, size, host, status), NULL);
}

static cl_mem create_window(cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type,
                            const void *region, cl_int *status)
{
    const cl_buffer_region *part = region;
    size_t end = part->origin + part->size;
    for (size_t i = 0; i < object_count; i++) // a driver crashes on them
        if (objects[i].alive && objects[i].parent == buffer)
            assert_int_not_equal(objects[i].end, end);
    cl_mem window =
        note(real.clCreateSubBuffer(buffer, flags, type, region, status), find(buffer)->handle);
    find(window)->end = end;
    return window;
}

static cl_kernel create_kernel(cl_program program, const char *name, cl_int *status)
{
    return note(real.clCreateKernel(program, name, status), NULL);
}

static cl_int set_argument(cl_kernel kernel, cl_uint index, size_t size, const void *value)
{
    if (size == sizeof(cl_mem)) {
        cl_mem memory;
        memcpy(&memory, value, sizeof memory);
        find(kernel)->uses[index] = find(memory)->handle;
    }
    return real.clSetKernelArg(kernel, index, size, value);
}

static cl_int release_memory(cl_mem memory)
{
    release(memory);
    return real.clReleaseMemObject(memory);
}

static cl_int release_kernel(cl_kernel kernel)
{
    release(kernel);
    return real.clReleaseKernel(kernel);
}

static void queue_all(bool queued)
{
    for (size_t i = 0; i < object_count; i++)
        objects[i].queued = queued;
}

static cl_int enqueue_kernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions,
                             const size_t *offset, const size_t *items, const size_t *group,
                             cl_uint count, const cl_event *events, cl_event *event)
{
    queue_all(true);
    return real.clEnqueueNDRangeKernel(queue, kernel, dimensions, offset, items, group, count,
                                       events, event);
}

static cl_int unmap(cl_command_queue queue, cl_mem memory, void *mapped, cl_uint count,
                    const cl_event *events, cl_event *event)
{
    find(memory)->queued = true;
    return real.clEnqueueUnmapMemObject(queue, memory, mapped, count, events, event);
}

static cl_int CL_API_CALL enqueue_commands(cl_uint queues, cl_command_queue *list,
                                           cl_command_buffer_khr commands, cl_uint count,
                                           const cl_event *events, cl_event *event)
{
    if (refusals > 0) {
        refusals--;
        return CL_INVALID_OPERATION;
    }
    queue_all(true);
    return real_enqueue(queues, list, commands, count, events, event);
}

static cl_int finish(cl_command_queue queue)
{
    cl_int status = real.clFinish(queue);
    queue_all(false);
    return status;
}

static tv_device *open_watched(const char *mask)
{
    tv_device *opened = tv_test_device(mask);
    assert_non_null(opened);
    tv_cl_device *device = (tv_cl_device *)opened;
    assert_string_equal(tv_device_get_info(opened)->backend, "opencl");
    object_count = refusals = 0;
    real = device->cl;
    device->cl.clCreateBuffer = create_buffer;
    device->cl.clCreateSubBuffer = create_window;
    device->cl.clCreateKernel = create_kernel;
    device->cl.clSetKernelArg = set_argument;
    device->cl.clReleaseMemObject = release_memory;
    device->cl.clReleaseKernel = release_kernel;
    device->cl.clEnqueueNDRangeKernel = enqueue_kernel;
    device->cl.clEnqueueUnmapMemObject = unmap;
    device->cl.clFinish = finish;
    real_enqueue = device->command_buffers.enqueue;
    if (real_enqueue)
        device->command_buffers.enqueue = enqueue_commands;
    return opened;
}

// y = x + x, in windows that are equal, overlap, follow one another, and end with another.
static void record(tv_device *device, tv_buffer *buffer, tv_program *program)
{
    enum { BYTES = N * sizeof(float) };
    static const struct {
        uint64_t from, size, to;
    } places[] = {{0, BYTES, 4096},
                  {256, BYTES, 8192},
                  {4096, BYTES, 12288},
                  {0, BYTES, 4096},
                  {0, 4096 + BYTES, 16384}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        tv_binding x = {buffer, places[i].from, places[i].size, TV_READ};
        tv_dispatch dispatch = {.bindings = {x, x, {buffer, places[i].to, BYTES, TV_WRITE}},
                                .binding_count = 3,
                                .groups = {N, 1, 1},
                                .args.u = {N},
                                .label = "add"};
        assert_ok(tv_device_kernel(device, &(tv_kernel_choice){.name = "add"}, &dispatch.kernel));
        tv_program_dispatch(program, &dispatch);
        tv_program_barrier(program);
    }
    assert_ok(tv_program_finish(program));
}

static void use_and_release(const char *mask, bool wait)
{
    tv_device *device = open_watched(mask);
    tv_buffer *buffer = NULL, *other = NULL;
    tv_program *program = NULL;
    float values[N] = {0};
    assert_ok(tv_buffer_create(device, 32768, &buffer));
    assert_ok(tv_buffer_create(device, sizeof values, &other));
    assert_ok(tv_program_create(device, &program));
    record(device, buffer, program);
    assert_ok(tv_buffer_write(buffer, 0, values, sizeof values));
    assert_ok(tv_program_run(program));
    if (wait)
        assert_ok(tv_program_wait(program, TV_MARK_END, 0));
    tv_program_destroy(&program);
    assert_ok(tv_buffer_write(other, 0, values, sizeof values));
    tv_buffer_destroy(&buffer);
    assert_ok(tv_buffer_write(other, 0, values, sizeof values));
    tv_buffer_destroy(&other);
    for (size_t i = 0; i < object_count; i++)
        assert_false(objects[i].alive);
    assert_true(object_count >= 4);
    tv_device_close(&device);
}

static void nothing_in_use_is_released(void **state)
{
    (void)state;
    for (int wait = 0; wait < 2; wait++) {
        use_and_release("", wait);
        use_and_release("no-timeline", wait);
        use_and_release("no-hostvisible", wait);
    }
}

// PoCL 3.1 refuses a command buffer whose event is complete until a callback has come.
static void a_command_buffer_is_asked_again(void **state)
{
    (void)state;
    tv_device *device = open_watched("");
    tv_buffer *buffer = NULL;
    tv_program *program = NULL;
    if (!real_enqueue) {
        tv_device_close(&device);
        skip();
    }
    assert_ok(tv_buffer_create(device, 32768, &buffer));
    assert_ok(tv_program_create(device, &program));
    record(device, buffer, program);
    for (int i = 0; i < 3; i++) {
        refusals = 3;
        assert_ok(tv_program_run(program));
        assert_int_equal(refusals, 0);
        assert_ok(tv_program_wait(program, TV_MARK_END, 0));
    }
    tv_program_destroy(&program);
    tv_buffer_destroy(&buffer);
    tv_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_in_use_is_released),
        cmocka_unit_test(a_command_buffer_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
