// The device contract: what an API (Vulkan, OpenCL, ...) must do to carry Trivium. One struct of
// functions per backend; adding one is a folder under backends/, a line in backends.def and a CMake
// block. device.c has already checked all arguments: a backend only acts.
//
// Objects are opened by the front, which owns the common head; a backend extends it by making the
// head the first member of its own struct.
#ifndef TV_DEVICE_BACKEND_H
#define TV_DEVICE_BACKEND_H

#include "device/device.h"
#include "device/kernels.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct tv_backend tv_backend;

struct tv_device {
    const tv_backend *backend;
    tv_device_info info;          // caps after the mask
    uint64_t allocated;           // bytes in buffers on the device
    uint64_t host_allocated;      // and on the host
    size_t buffers, programs;     // alive
    struct tv_kernel *kernels;    // all made so far, linked by `next`
    uint64_t runs, fault_run;     // program runs so far; the one that TRIVIUM_FAULT lets fail, or 0
    atomic_bool lost;             // every later call fails
    pthread_mutex_t lock;         // guards what is below, and each program's `running` and below
    double rate;                  // FLOP per second, measured; starts with a guess by device class
    double driver_seconds;        // CPU time that callers spent in the backend; guarded, too
    double slow_end;              // of the latest segment known to be over (tv_segment.end)
    struct tv_program *in_flight; // oldest program run and not known to be over, linked by `next`
};

struct tv_buffer {
    tv_device *device;
    tv_memory where;
    uint64_t size;
};

struct tv_kernel {
    struct tv_kernel *next;
    tv_device *device;
    tv_kernel_choice choice;
    const tv_kernel_code *code;
};

// One recorded command; programs are kept as a list so that they can be cut anew into submissions.
typedef enum tv_command_kind {
    TV_COMMAND_DISPATCH,
    TV_COMMAND_BARRIER,
    TV_COMMAND_MARK
} tv_command_kind;
typedef struct tv_command {
    tv_command_kind kind;
    tv_dispatch dispatch;
} tv_command;

// A run of commands that is submitted at once; ends at a mark or where the time budget is spent.
typedef struct tv_segment {
    size_t first, count; // commands
    double work;         // sum over its dispatches
    tv_mark mark;        // the mark at its end, TV_NO_MARK: none
    double end;          // of its latest run at a masked speed, in tv_now_seconds; 0: unknown
} tv_segment;
#define TV_NO_MARK UINT32_MAX

struct tv_program {
    tv_device *device;
    tv_command *commands;
    size_t command_count, command_capacity;
    tv_segment *segments;
    size_t segment_count, segment_capacity;
    uint32_t mark_count;
    bool finished, profiled;
    double cut_rate;         // the rate that the segments were cut for
    bool running;            // run and not known to be over
    struct tv_program *next; // the next younger one in flight
    size_t reached;          // segments of the latest run known to be over
    double started;          // the latest run, in tv_now_seconds
    size_t timed;            // its segments whose `end` is known
    uint64_t runs;           // so far
    double seconds;          // device time of the latest run
};

struct tv_backend {
    const char *name;

    // Writes up to `capacity` infos (uuid, names, class, unmasked caps) and their number. Must not
    // fail because there is no driver: then it writes 0 and explains in a tv_debug line.
    tv_err (*enumerate)(tv_device_info *infos, size_t capacity, size_t *count);

    // `info` is one that enumerate gave, with the mask applied: the backend must not use what its
    // caps deny. Allocates the device (its own, larger struct), leaves the head to the front.
    tv_err (*device_open)(const tv_device_info *info, tv_device **device);
    void (*device_close)(tv_device *device); // frees; everything made from it is gone already

    tv_err (*buffer_create)(tv_device *device, tv_memory where, uint64_t size, tv_buffer **buffer);
    void (*buffer_destroy)(tv_buffer *buffer);
    // No program is in flight during these two.
    tv_err (*buffer_write)(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size);
    tv_err (*buffer_read)(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size);
    // The same beside programs in flight, which do not write the window, or do not use it. Called
    // only where caps.copy_queue says that it can be done.
    tv_err (*buffer_peek)(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size);
    tv_err (*buffer_poke)(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size);
    // The memory, where the host sees it at full speed without flushing; NULL: it never does.
    void *(*buffer_host)(tv_buffer *buffer);

    // The row of tv_kernel_codes that the device would run for this name, NULL if it cannot.
    const tv_kernel_code *(*kernel_find)(const tv_device *device, const char *name);
    // Several threads may be in these two at once, and in no other function of the device.
    tv_err (*kernel_create)(tv_device *device, const tv_kernel_code *code,
                            const tv_kernel_choice *choice, tv_kernel **kernel);
    // Has the driver compile now what it would compile at the kernel's first dispatch. NULL where
    // drivers are done with a kernel when it is made.
    tv_err (*kernel_warm)(tv_kernel *kernel);
    void (*kernel_destroy)(tv_kernel *kernel);

    tv_err (*program_create)(tv_device *device, tv_program **program);
    void (*program_destroy)(tv_program *program); // waits for it, but not for ever
    // Records the commands of program->segments; called again when the front has cut them anew.
    tv_err (*program_record)(tv_program *program);
    // Submits all segments in order, without waiting. A failure leaves the device unusable.
    tv_err (*program_run)(tv_program *program);
    // Waits at most `timeout_s` for the end of a segment of the latest run; TV_ETIMEOUT if it has
    // not come. Two threads may be in here at once.
    tv_err (*program_wait)(tv_program *program, size_t segment, double timeout_s);
    // The device time of a segment of the latest run, which is over; 0: unknown.
    double (*segment_seconds)(const tv_program *program, size_t segment);

    // Messages of a validation layer so far; NULL where there is no such thing.
    uint64_t (*messages)(const tv_device *device);
};

#endif
