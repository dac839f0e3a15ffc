// Storage types on a device: what loads and stores make of every half and of floats of every kind,
// native and emulated, against the host's conversion.
#include "base/half.h"
#include "base/memory.h"
#include "harness/harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// How a device can come to 16-bit storage; each must give the same bits.
static const char *const masks[] = {
    "",        "no-f16", "no-storage16", "no-f16,no-storage16", "no-texel,no-f16,no-storage16",
    "no-texel"};

static bool bf16_of(uint8_t type)
{
    return type == TV_TYPE_BF16;
}

// Runs convert on `count` elements from one storage type to another. *out, which the caller frees,
// holds `count` elements and what lies behind them: 64 bytes of 0xA5.
static tv_err convert(tv_device *device, uint8_t from, uint8_t to, const void *in, size_t count,
                      uint8_t **out)
{
    size_t size_in = count * (from ? 2 : 4), size_out = count * (to ? 2 : 4);
    tv_kernel_choice choice = {.name = "convert", .storage = {from, to}};
    tv_buffer *x = NULL, *y = NULL;
    tv_program *program = NULL;
    tv_err err;
    *out = tv_alloc(size_out + 64, 1);
    memset(*out, 0xA5, size_out + 64);
    TV_GOTO(done, tv_buffer_create(device, tv_align_up(size_in, 16), &x));
    TV_GOTO(done, tv_buffer_create(device, tv_align_up(size_out + 64, 16), &y));
    TV_GOTO(done, tv_buffer_write(x, 0, in, size_in));
    TV_GOTO(done, tv_buffer_write(y, 0, *out, size_out + 64));
    tv_dispatch dispatch = {.bindings = {{x, 0, tv_align_up(size_in, 16), TV_READ},
                                         {y, 0, tv_align_up(size_out, 16), TV_WRITE}},
                            .binding_count = 2,
                            .args.u = {(uint32_t)count},
                            .label = "convert"};
    TV_GOTO(done, tv_device_kernel(device, &choice, &dispatch.kernel));
    dispatch.groups[0] = (uint32_t)tv_div_up(count, 256 * 4) + 1;
    dispatch.groups[1] = dispatch.groups[2] = 1;
    TV_GOTO(done, tv_program_create(device, &program));
    tv_program_dispatch(program, &dispatch);
    TV_GOTO(done, tv_program_finish(program));
    TV_GOTO(done, tv_program_run(program));
    TV_GOTO(done, tv_program_wait(program, TV_MARK_END, 0));
    TV_GOTO(done, tv_buffer_read(y, 0, *out, size_out + 64));
done:
    tv_program_destroy(&program);
    tv_buffer_destroy(&x);
    tv_buffer_destroy(&y);
    return err;
}

static void check_tail(const uint8_t *tail)
{
    for (int i = 0; i < 64; i++)
        assert_int_equal(tail[i], 0xA5);
}

// A NaN needs to be one; which one, and of which sign, is the driver's affair (NVIDIA's makes
// 7fffffff of all).
static bool same_float(uint32_t got, uint32_t want)
{
    bool nan = (want & 0x7FFFFFFF) > 0x7F800000;
    return got == want || (nan && (got & 0x7FFFFFFF) > 0x7F800000);
}

static bool same_half(uint16_t got, uint16_t want, bool bf16)
{
    uint32_t infinite = bf16 ? 0x7F80 : 0x7C00;
    bool nan = (want & 0x7FFFu) > infinite;
    return got == want || (nan && (got & 0x7FFFu) > infinite);
}

static void check_widening(tv_device *device, uint8_t type, size_t count)
{
    uint16_t *halves = tv_alloc(count, sizeof *halves);
    uint8_t *out;
    for (size_t i = 0; i < count; i++)
        halves[i] = (uint16_t)i;
    assert_ok(convert(device, type, TV_TYPE_F32, halves, count, &out));
    for (size_t i = 0; i < count; i++) {
        float want;
        uint32_t got, bits;
        tv_floats_from_halves(bf16_of(type), &halves[i], &want, 1);
        memcpy(&bits, &want, 4);
        memcpy(&got, out + i * 4, 4);
        if (!same_float(got, bits))
            fail_msg("type %d, %04x: %08x, should be %08x", type, halves[i], got, bits);
    }
    check_tail(out + count * 4);
    tv_free(out);
    tv_free(halves);
}

enum { SWEEP = 256 * 2 * 14 + 3 }; // an odd length, so that the last elements are stored singly

// Every exponent with mantissas around the halfway cases of both types.
static void fill_sweep(uint32_t *floats)
{
    static const uint32_t mantissas[] = {0,      1,       0x0FFF,   0x1000,  0x1001,
                                         0x2FFF, 0x3000,  0x3001,   0x7FFF,  0x8000,
                                         0x8001, 0x18000, 0x3FFFFF, 0x7FFFFF};
    size_t n = 0;
    for (uint32_t exponent = 0; exponent < 256; exponent++)
        for (uint32_t sign = 0; sign < 2; sign++)
            for (size_t i = 0; i < 14; i++)
                floats[n++] = sign << 31 | exponent << 23 | mantissas[i];
    while (n < SWEEP)
        floats[n++] = 0x477FEFFF; // just below what becomes infinite
}

static void check_narrowing(tv_device *device, uint8_t type)
{
    uint32_t *floats = tv_alloc(SWEEP, sizeof *floats);
    uint8_t *out;
    fill_sweep(floats);
    assert_ok(convert(device, TV_TYPE_F32, type, floats, SWEEP, &out));
    for (size_t i = 0; i < SWEEP; i++) {
        float value;
        uint16_t got, want;
        memcpy(&value, &floats[i], 4);
        memcpy(&got, out + i * 2, 2);
        tv_halves_from_floats(bf16_of(type), &value, &want, 1);
        if (!same_half(got, want, bf16_of(type)))
            fail_msg("type %d, [%zu] %08x: %04x, should be %04x", type, i, floats[i], got, want);
    }
    check_tail(out + SWEEP * 2);
    tv_free(out);
    tv_free(floats);
}

static void test_conversions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        tv_device *device = tv_test_device(masks[i]);
        assert_non_null(device);
        print_message("mask '%s'\n", masks[i]);
        for (uint8_t type = TV_TYPE_F16; type <= TV_TYPE_BF16; type++) {
            check_widening(device, type, 65536);
            check_widening(device, type, 13);
            check_narrowing(device, type);
        }
        assert_true(tv_test_device_done(&device));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_conversions)};
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
