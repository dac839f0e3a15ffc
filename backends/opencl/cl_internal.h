// The OpenCL backend's own parts. OpenCL 1.2 is the floor; what is newer is used where the device
// has it and its caps allow it.
#ifndef TV_OPENCL_CL_INTERNAL_H
#define TV_OPENCL_CL_INTERNAL_H

#include "base/text.h"
#include "device/backend.h"

#define CL_TARGET_OPENCL_VERSION 120
#define CL_ENABLE_BETA_EXTENSIONS // cl_khr_command_buffer, in newer headers
#include <CL/cl.h>
#include <CL/cl_ext.h>

enum { TV_CL_DEVICES_MAX = 64 };

// ---------------------------------------------------------------------------------------- loader

#define TV_CL_FUNCTIONS(X)                                                                         \
    X(clBuildProgram)                                                                              \
    X(clCreateBuffer)                                                                              \
    X(clCreateCommandQueue)                                                                        \
    X(clCreateContext)                                                                             \
    X(clCreateKernel)                                                                              \
    X(clCreateProgramWithBinary)                                                                   \
    X(clCreateProgramWithSource)                                                                   \
    X(clCreateSubBuffer)                                                                           \
    X(clEnqueueMapBuffer)                                                                          \
    X(clEnqueueMarkerWithWaitList)                                                                 \
    X(clEnqueueNDRangeKernel)                                                                      \
    X(clEnqueueReadBuffer)                                                                         \
    X(clEnqueueUnmapMemObject)                                                                     \
    X(clEnqueueWriteBuffer)                                                                        \
    X(clFinish)                                                                                    \
    X(clFlush)                                                                                     \
    X(clGetDeviceIDs)                                                                              \
    X(clGetDeviceInfo)                                                                             \
    X(clGetEventInfo)                                                                              \
    X(clGetEventProfilingInfo)                                                                     \
    X(clGetExtensionFunctionAddressForPlatform)                                                    \
    X(clGetKernelInfo)                                                                             \
    X(clGetKernelWorkGroupInfo)                                                                    \
    X(clGetPlatformIDs)                                                                            \
    X(clGetPlatformInfo)                                                                           \
    X(clGetProgramBuildInfo)                                                                       \
    X(clGetProgramInfo)                                                                            \
    X(clReleaseCommandQueue)                                                                       \
    X(clReleaseContext)                                                                            \
    X(clReleaseEvent)                                                                              \
    X(clReleaseKernel)                                                                             \
    X(clReleaseMemObject)                                                                          \
    X(clReleaseProgram)                                                                            \
    X(clSetEventCallback)                                                                          \
    X(clSetKernelArg)

// The loader's functions, by their own names.
typedef struct tv_cl_api {
#define X(name) __typeof__(&name) name;
    TV_CL_FUNCTIONS(X)
#undef X
} tv_cl_api;

// Opens the ICD loader; TV_ENODEVICE says what is missing. It stays open as long as the process:
// drivers leak, or worse, when they are unloaded.
tv_err tv_cl_api_open(tv_cl_api *cl);

// The name of an error code, and its tv_err with the line "clNAME: TEXT". CL_SUCCESS is TV_OK.
const char *tv_cl_status_text(cl_int status);
tv_err tv_cl_status(cl_int status, const char *call);
#define CL(call) tv_cl_status((call), #call)

// ------------------------------------------------------------------------------ physical device

// A device and what opening it takes.
typedef struct tv_cl_physical {
    cl_platform_id platform;
    cl_device_id handle;
    tv_device_info info; // caps unmasked
    char platform_version[256];
    bool exact_division; // takes -cl-fp32-correctly-rounded-divide-sqrt
} tv_cl_physical;

// Describes up to TV_CL_DEVICES_MAX devices, platform by platform, in the drivers' order.
tv_err tv_cl_physical_list(const tv_cl_api *cl, tv_cl_physical *list, size_t *count);

// Fills in `pci` and `uuid`. The UUID differs from those of the `count` devices of `others`.
void tv_cl_identify(const tv_cl_api *cl, tv_cl_physical *physical, const tv_cl_physical *others,
                    size_t count);

// An information as text, "" where the device does not have it.
void tv_cl_device_text(const tv_cl_api *cl, cl_device_id device, cl_device_info what, char *text,
                       size_t size);
bool tv_cl_has_extension(const tv_cl_api *cl, cl_device_id device, const char *name);

// ---------------------------------------------------------------------------------------- device

// cl_khr_command_buffer; all NULL where the device does not have it or may not use it.
typedef struct tv_cl_command_buffers {
    clCreateCommandBufferKHR_fn create;
    clCommandNDRangeKernelKHR_fn kernel;
    clFinalizeCommandBufferKHR_fn finalize;
    clEnqueueCommandBufferKHR_fn enqueue;
    clReleaseCommandBufferKHR_fn release;
} tv_cl_command_buffers;

// Looks the functions up; false where one is missing or an in-order queue does not do.
bool tv_cl_command_buffers_open(const tv_cl_api *cl, cl_platform_id platform, cl_device_id device,
                                tv_cl_command_buffers *functions);

typedef struct tv_cl_bell tv_cl_bell;

typedef struct tv_cl_device {
    tv_device head;
    tv_cl_api cl;
    tv_cl_physical physical;
    const tv_caps *caps; // masked
    tv_cl_command_buffers command_buffers;
    cl_context context;
    cl_command_queue queue;      // in order, with profiling
    cl_command_queue copy_queue; // for copies beside programs; NULL until the first
    tv_cl_bell *bell;            // NULL on GPUs, whose segments are short
} tv_cl_device;

// Waits until the queue is empty, unless the device was lost: nothing is released that a command on
// its way may use, whatever a driver makes of the specification's promises.
void tv_cl_settle(const tv_cl_device *device);

typedef struct tv_cl_buffer {
    tv_buffer head;
    cl_mem memory;
    bool mapped; // copies go through a mapping
    // Windows made so far, which live as long as the buffer: programs share them.
    struct tv_cl_window *windows;
    size_t window_count, window_capacity;
} tv_cl_buffer;

typedef struct tv_cl_kernel {
    tv_kernel head;
    cl_program program;
    cl_uint slots; // bindings that it takes; the argument block comes after them
} tv_cl_kernel;

// cl_memory.c
tv_err tv_cl_buffer_create(tv_device *device, tv_memory where, uint64_t size, tv_buffer **buffer);
void tv_cl_buffer_destroy(tv_buffer *buffer);
tv_err tv_cl_buffer_write(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size);
// NVIDIA's driver 580.159.04 crashed in each release of a buffer of which two sub-buffers ended at
// one byte, and in no other. A later one therefore ends a few bytes further on, in room that
// buffers have to spare.
enum { TV_CL_SPARE_BYTES = 4096 };
// `size` bytes of the buffer from `offset` on, or a few more, as a memory object that the buffer
// owns.
tv_err tv_cl_buffer_window(tv_buffer *buffer, uint64_t offset, uint64_t size, cl_mem *window);
tv_err tv_cl_buffer_read(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size);
tv_err tv_cl_buffer_peek(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size);
tv_err tv_cl_buffer_poke(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size);

// cl_kernel.c
const tv_kernel_code *tv_cl_kernel_find(const tv_device *device, const char *name);
tv_err tv_cl_kernel_create(tv_device *device, const tv_kernel_code *code,
                           const tv_kernel_choice *choice, tv_kernel **kernel);
void tv_cl_kernel_destroy(tv_kernel *kernel);

// cl_build.c: a program out of the disk's cache, or compiled. TV_EDEVICE with the compiler's first
// error; its whole log goes to debug lines.
tv_err tv_cl_build(const tv_cl_device *device, const char *text, const char *options,
                   cl_program *program);

// cl_cache.c: the drivers' binaries on disk, one file for each text, option and driver. Failures
// are debug lines: a cache is a convenience.
void tv_cl_cache_path(const tv_cl_device *device, const char *text, const char *options,
                      tv_text *path); // stays empty where there is no cache folder
// NULL where there is none. The caller frees it.
uint8_t *tv_cl_cache_load(const char *path, size_t *size);
void tv_cl_cache_save(const char *path, const uint8_t *binary, size_t size);
void tv_cl_cache_remove(const char *path);

// cl_calls.c: the dispatches of a program. Each has a kernel object of its own: PoCL 3.1 reads the
// arguments of a recorded command when it runs.
typedef struct tv_cl_calls {
    cl_kernel *kernels; // one per command; NULL where it is no dispatch
    size_t count;
} tv_cl_calls;
tv_err tv_cl_calls_init(const tv_cl_device *device, const tv_command *commands, size_t count,
                        tv_cl_calls *calls);
void tv_cl_calls_finish(const tv_cl_device *device, tv_cl_calls *calls);

// cl_bell.c: rings when something is over. A bell may outlive its device where a callback never
// comes.
tv_cl_bell *tv_cl_bell_create(void);
void tv_cl_bell_destroy(tv_cl_bell *bell); // waits for the callbacks; accepts NULL
void tv_cl_bell_attach(const tv_cl_device *device,
                       cl_event event);      // to the device's, if it has one
uint64_t tv_cl_bell_rings(tv_cl_bell *bell); // so far; 0 without a bell
// Until it has rung more often than `rings` times, or the time is over.
void tv_cl_bell_wait(tv_cl_bell *bell, uint64_t rings, double seconds);

// cl_program.c
tv_err tv_cl_program_create(tv_device *device, tv_program **program);
void tv_cl_program_destroy(tv_program *program);
tv_err tv_cl_program_record(tv_program *program);
tv_err tv_cl_program_run(tv_program *program);
tv_err tv_cl_program_wait(tv_program *program, size_t segment, double timeout_s);
double tv_cl_segment_seconds(const tv_program *program, size_t segment);

#endif
