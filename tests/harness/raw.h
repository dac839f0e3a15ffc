// Devices, buffers and programs without a plan, for tests of the device contract.
#ifndef TV_TESTS_RAW_H
#define TV_TESTS_RAW_H

#include "device/backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { GROUP = 256, PER_GROUP = 4 * GROUP }; // of the kernels fill and add

#define CHECKED(call)                                                                              \
    do {                                                                                           \
        if ((call) != TV_OK)                                                                       \
            fail_msg("%s: %s", #call, tv_error_message());                                         \
    } while (0)

// What masks can deny, one by one and all at once.
enum { RAW_MASK_COUNT = 6 };
extern const char *const raw_masks[RAW_MASK_COUNT];

// The device that TRIVIUM_TEST_DEVICE names, with this mask; and closing it, which fails on
// messages of the validation layer.
tv_device *raw_open_device(const char *mask);
void raw_close_device(tv_device *device);
// Group setup: turns the validation layer on where it is installed.
int raw_choose_validation(void **state);

tv_buffer *raw_make_buffer_in(tv_device *device, tv_memory where, uint64_t size);
tv_buffer *raw_make_buffer(tv_device *device, uint64_t size);
void raw_assert_filled(tv_buffer *buffer, uint32_t n, float value); // with n floats of that value

const tv_kernel *raw_kernel_named(tv_device *device, const char *name);
tv_binding raw_window(tv_buffer *buffer, uint64_t offset, uint32_t n, tv_access access);
// y[0..n) = value at `offset` of the buffer.
tv_dispatch raw_fill(tv_device *device, tv_buffer *y, uint64_t offset, uint32_t n, float value);
// y = a + b, all whole buffers of n floats.
tv_dispatch raw_add(tv_device *device, tv_buffer *a, tv_buffer *b, tv_buffer *y, uint32_t n);

tv_program *raw_make_program(tv_device *device);
void raw_record(tv_program *program, tv_dispatch dispatch);
void raw_run_to_end(tv_program *program);

#endif
