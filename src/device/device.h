// Devices: what the rest of Trivium sees of a GPU. device.c checks every argument and passes the
// call on to the device's backend (backend.h).
//
// Devices are listed and opened by one thread at a time. Calls on one device come from one thread
// at a time, except tv_program_wait, which another thread may call while the first one runs
// programs.
//
// TV_ELOST poisons a device: every later call that can fail fails at once with TV_ELOST, and all
// that remains is to destroy what was made and to close it.
//
// Environment: TRIVIUM_MASK (see tv_mask_apply). TRIVIUM_FAULT=lost:N makes the N-th program run of
// each device opened (counted from 1) fail with TV_ELOST, for tests of what comes after; wrong:NAME
// spoils a result of the self-test (see selftest.h), which TRIVIUM_SELFTEST=0 skips; base/fault.h
// has more.
// TRIVIUM_VALIDATE=1 has the driver's calls checked by a validation layer (see
// tv_device_validation_messages); opening fails where the layer is not installed.
#ifndef TV_DEVICE_DEVICE_H
#define TV_DEVICE_DEVICE_H

#include "base/error.h"
#include "base/stage.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef TV_ARGS_DEFINED // shaders/args.h is shared with the kernels, which spell uint32_t uint
#define TV_ARGS_DEFINED
typedef uint32_t uint;
#include "args.h"
typedef struct tv_args tv_args;
#endif

typedef struct tv_device tv_device;
typedef struct tv_buffer tv_buffer;
typedef struct tv_kernel tv_kernel;
typedef struct tv_program tv_program;

enum { TV_MAX_BINDINGS = 8, TV_MAX_CONSTANTS = 4, TV_BINDING_ALIGNMENT = 256 };

typedef enum tv_device_class {
    TV_CLASS_DISCRETE,
    TV_CLASS_INTEGRATED,
    TV_CLASS_VIRTUAL,
    TV_CLASS_CPU, // a software driver
} tv_device_class;

// What a device can do, after the mask. A capability is a promise that Trivium may use it.
typedef struct tv_caps {
    bool storage16; // 16-bit loads and stores; else 16-bit types are packed in 32-bit words
    bool f16;       // the driver's half precision; else halves are converted by bit operations
    bool bf16;      // matrix units for bfloat16; kernels convert it by bit operations all the same
    bool coop;      // matrix units for halves and, with bf16, bfloat16: KHR_cooperative_matrix
    bool coop2;     // the same by NV_cooperative_matrix2
    bool timeline;  // Vulkan: timeline semaphores; OpenCL: command buffers
    bool host_visible; // device memory that the host can map
    bool copy_queue;   // copies can run beside programs, in a queue of their own
    bool texel;        // reads through texel buffers are preferred (software drivers)
    bool cpu_kernels;  // kernels made for CPUs are preferred where there are any
    uint32_t subgroup; // lanes per subgroup if its size is known and sums and shuffles work, else 0
    uint32_t coop_shape;    // of a subgroup's matrices: M + 256 N + 65536 K
    uint32_t max_group;     // invocations per work-group
    uint32_t shared_bytes;  // per work-group
    uint32_t max_groups[3]; // work-groups per dispatch
    uint64_t max_range;     // bytes that one binding may span
    uint64_t max_alloc;     // bytes of one buffer
    uint64_t memory;        // bytes that may be allocated in all
    uint64_t host_memory;   // the same of the host's memory: TV_ON_HOST
    double speed;           // 1, or the fraction of its speed that a mask leaves it
} tv_caps;

typedef struct tv_device_info {
    char backend[16]; // "vulkan", "opencl", "null"
    char name[256];
    char vendor[64];
    char driver[520]; // name and version
    uint8_t uuid[16];
    char pci[16];   // "0000:01:00.0": the same device under several APIs has one; empty: unknown
    uint32_t index; // within its backend
    tv_device_class device_class;
    tv_caps caps;
    char problem[256]; // why it cannot be used; empty if it can
} tv_device_info;

// All devices of all backends that are built in, best first (discrete, integrated, virtual, CPU),
// without the null device. A GPU that several drivers or APIs offer is listed once, by the backend
// that comes first in backends.def. The caller frees *infos with tv_free. No device is not an
// error. A backend that cannot be used at all says why in a debug line and lists none.
tv_err tv_device_list(tv_device_info **infos, size_t *count);
// The same, and behind the first *listed_count infos those that tv_device_list leaves out.
tv_err tv_device_list_all(tv_device_info **infos, size_t *count, size_t *listed_count);
// True if both are one GPU: by PCI address or, where one is unknown, by UUID. Software devices
// never are.
bool tv_device_is_same(const tv_device_info *a, const tv_device_info *b);

// Opens a device. `which`: NULL or "auto" (the first usable one of the list), an index into the
// list, a UUID, a part of a name, "vulkan" (the best one of that backend), "vulkan:N" (its
// N-th) or "null". A backend's name and a UUID also find what the list leaves out. `mask`: NULL or
// comma-separated items that make the device look poorer (see tv_mask_apply); NULL takes
// TRIVIUM_MASK from the environment. TV_ENODEVICE if there is none, TV_EUSAGE if a name fits
// several. The device is tested first (see selftest.h): TV_EDEVICE if it computes wrongly.
tv_err tv_device_open(const char *which, const char *mask, tv_device **device);
void tv_device_close(tv_device **device);
const tv_device_info *tv_device_get_info(const tv_device *device);
// FLOP per second that it was seen to reach, in products or in a program; 0 where it has run none.
double tv_device_measured_rate(const tv_device *device);

// Warnings and errors of the validation layer so far; 0 without TRIVIUM_VALIDATE=1.
uint64_t tv_device_validation_messages(const tv_device *device);

// Applies a mask: no-f16 no-bf16 no-coopmat no-coopmat2 no-storage16 no-subgroup no-timeline
// no-hostvisible no-copy-queue no-texel no-cpu-kernels range=BYTES alloc=BYTES host=BYTES
// shared=BYTES group=N subgroup=N speed=FRACTION profile=NAME. TV_EUSAGE names the item that cannot
// be meant, or that asks for more than the device has. A subgroup size cannot be chosen: subgroup=N
// only insists that the device has N, and subgroup=0 is no-subgroup. A profile (profiles.def)
// lowers what the device has to what a well-known one has, and never asks for more. On failure caps
// are unchanged. NULL is no mask.
tv_err tv_mask_apply(const char *mask, tv_caps *caps);

// CPU seconds that the threads calling tv_buffer_* and tv_program_* have spent in the driver so
// far: what is left of a thread's own time is Trivium's.
double tv_device_driver_seconds(const tv_device *device);

// ------------------------------------------------------------------------------------- memory

// Where a buffer lies. Kernels and copies use both alike; what the host holds they reach over the
// bus. On software drivers and integrated GPUs both are one memory, and counted apart all the same.
typedef enum tv_memory { TV_ON_DEVICE, TV_ON_HOST } tv_memory;

// `size` bytes of device memory, not cleared. TV_EMEMORY if there is not enough; size must not
// exceed caps.max_alloc. A buffer outlives the programs that use it.
tv_err tv_buffer_create(tv_device *device, uint64_t size, tv_buffer **buffer);
tv_err tv_buffer_create_in(tv_device *device, tv_memory where, uint64_t size, tv_buffer **buffer);
void tv_buffer_destroy(tv_buffer **buffer);
uint64_t tv_buffer_size(const tv_buffer *buffer);

// Copies between host and device. Both wait for the programs in flight first, and block until done.
tv_err tv_buffer_write(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size);
tv_err tv_buffer_read(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size);

// Reads while programs run: the caller has waited for a mark behind which nothing in flight writes
// the window. Where a device cannot copy beside a program, this waits like tv_buffer_read.
tv_err tv_buffer_peek(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size);
// Writes while programs run, none of which uses the window; what is run later sees it. Where a
// device cannot copy beside a program, this waits like tv_buffer_write.
tv_err tv_buffer_poke(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size);

// The buffer's memory itself, where the host reads and writes it as fast as its own; else NULL. The
// rule of tv_buffer_peek holds for reading it, and for writing that nothing in flight uses it.
void *tv_buffer_host(tv_buffer *buffer);

// ------------------------------------------------------------------------------------- kernels

typedef struct tv_kernel_choice {
    const char *name;                     // of an embedded kernel: "layernorm", "matmul_nt"
    uint32_t group;                       // work-group size; 0: the kernel's own
    uint32_t constants[TV_MAX_CONSTANTS]; // further compile-time constants, meaning per kernel
    uint8_t storage[TV_MAX_BINDINGS];     // TV_TYPE_* of each slot; unsigned slots are 0
} tv_kernel_choice;

// True if this device can run the kernel of that name (some exist for one API or width only).
bool tv_device_has_kernel(const tv_device *device, const char *name);

// The compiled kernel; made on first use and owned by the device. TV_EDEVICE if the driver refuses.
tv_err tv_device_kernel(tv_device *device, const tv_kernel_choice *choice,
                        const tv_kernel **kernel);

// Makes those of the kernels that are not there yet, so that tv_device_kernel finds them: on all
// cores, and drivers that would compile at the first dispatch do so now. TV_STAGE_KERNELS says how
// many are done.
tv_err tv_device_kernels(tv_device *device, const tv_kernel_choice *choices, size_t count,
                         const tv_stages *stages);
#define TV_STAGE_KERNELS "compiling kernels"

// ------------------------------------------------------------------------------------ programs

typedef enum tv_access { TV_READ = 1, TV_WRITE = 2, TV_READ_WRITE = 3 } tv_access;

// A window of a buffer: offset a multiple of TV_BINDING_ALIGNMENT, size at most caps.max_range.
typedef struct tv_binding {
    tv_buffer *buffer;
    uint64_t offset, size;
    tv_access access;
} tv_binding;

typedef struct tv_dispatch {
    const tv_kernel *kernel;
    tv_binding bindings[TV_MAX_BINDINGS];
    uint32_t binding_count;
    uint32_t groups[3];
    tv_args args;
    double work;       // FLOP, or 4 per byte moved if that is more: what submissions are cut by
    const char *label; // for error messages and traces; must outlive the program
} tv_dispatch;

typedef uint32_t tv_mark; // marks of a program count from 1; TV_MARK_END is its end
#define TV_MARK_END 0u

// A program is recorded once (dispatches, barriers and marks in order), finished, and then run any
// number of times. Dispatches between two barriers may overlap: they must not depend on each other.
// A mark is no barrier. Finishing fails with TV_EDEVICE, naming the label, where a dispatch does
// not fit its buffers, its kernel or the device's limits.
tv_err tv_program_create(tv_device *device, tv_program **program);
void tv_program_destroy(tv_program **program); // waits for it
void tv_program_dispatch(tv_program *program, const tv_dispatch *dispatch);
void tv_program_barrier(tv_program *program); // what follows sees what went before
tv_mark tv_program_mark(tv_program *program); // reached when all before it is done
tv_err tv_program_finish(tv_program *program);

// Starts the program and returns. Programs of one device run one after the other, as if a barrier
// stood between them. A program must be waited for to its end before it is run again.
tv_err tv_program_run(tv_program *program);

// Waits until the mark of the latest run is reached. TV_ETIMEOUT if nothing at all was reached for
// `timeout_s` seconds (0: 120), TV_ELOST if the device was lost.
tv_err tv_program_wait(tv_program *program, tv_mark mark, double timeout_s);

// Device seconds of the latest run that was waited for, summed over its submissions; 0 where
// unknown.
double tv_program_seconds(const tv_program *program);

// Profiling: while on, each dispatch is a submission of its own. The program must be finished and
// not running.
tv_err tv_program_profile(tv_program *program, bool on);
// Device seconds of each dispatch, in their order, of the latest run, which was profiled and waited
// for; 0 where unknown.
void tv_program_dispatch_seconds(tv_program *program, double *seconds);

// FLOP that one dispatch may cost so that no watchdog bites (about 50 ms at the measured speed).
double tv_device_dispatch_budget(const tv_device *device);

#endif
