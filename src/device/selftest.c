// The self-test: checks of kernels that every run depends on, all in one program.
#include "device/selftest.h"

#include "device/front.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGE_BYTES = 64 << 10, CHECKS_MAX = 16, FLIP = 0x40004000 };
static const double TOLERANCE = 1e-4; // of the largest value; wrong code is off by far more

// What a result is compared with; TV_TYPE_* for bits, or floats within the tolerance.
enum { WANT_NOTHING = -2, WANT_CLOSE = -1 };

// A window of the buffer, whose bytes on the host are at image + offset.
typedef struct slot {
    uint32_t offset, count, bytes;
    tv_access access;
    int want;             // WANT_*, or the storage type of `bits`
    const double *values; // for WANT_CLOSE
    const uint32_t *bits;
} slot;

typedef struct check {
    const char *name; // see selftest.h
    bool halves;      // tests the driver's half conversions
    tv_kernel_choice choice;
    uint32_t groups[3];
    tv_args args;
    slot slots[TV_MAX_BINDINGS];
    uint32_t slot_count;
} check;

typedef struct selftest {
    tv_device *device;
    const tv_caps *caps;
    tv_rng rng;
    tv_arena arena; // expected values
    check checks[CHECKS_MAX];
    size_t check_count;
    uint8_t *image; // of the buffer
    uint32_t used;
} selftest;

// -------------------------------------------------------------------------------- making a check

static check *add_check(selftest *test, const char *name, const char *kernel)
{
    TV_CHECK(test->check_count < CHECKS_MAX, "too many checks");
    check *made = &test->checks[test->check_count++];
    *made = (check){.name = name, .choice.name = kernel, .groups = {1, 1, 1}};
    return made;
}

static slot *add_slot(selftest *test, check *to, uint32_t count, uint32_t type, tv_access access)
{
    slot *made = &to->slots[to->slot_count];
    to->choice.storage[to->slot_count++] = (uint8_t)type;
    uint32_t bytes = (uint32_t)tv_align_up(count * (type == TV_TYPE_F32 ? 4 : 2), 16);
    *made = (slot){test->used, count, bytes, access, WANT_NOTHING, NULL, NULL};
    test->used += (uint32_t)tv_align_up(bytes, TV_BINDING_ALIGNMENT);
    TV_CHECK(test->used <= IMAGE_BYTES, "the checks need a larger image");
    return made;
}

static void *data_of(const selftest *test, const slot *of)
{
    return test->image + of->offset;
}

// Values between -2 and 2, as float and as double.
static slot *add_random(selftest *test, check *to, uint32_t count, double **values)
{
    slot *made = add_slot(test, to, count, TV_TYPE_F32, TV_READ);
    float *data = data_of(test, made);
    *values = tv_arena_alloc(&test->arena, count, sizeof **values);
    for (uint32_t i = 0; i < count; i++) {
        data[i] = (float)(4 * tv_rng_uniform(&test->rng) - 2);
        (*values)[i] = data[i];
    }
    return made;
}

static uint32_t *add_words(selftest *test, check *to, uint32_t count)
{
    return data_of(test, add_slot(test, to, count, TV_TYPE_F32, TV_READ));
}

// A result; returns where its expected values go.
static double *add_close(selftest *test, check *to, uint32_t count)
{
    slot *made = add_slot(test, to, count, TV_TYPE_F32, TV_WRITE);
    double *values = tv_arena_alloc(&test->arena, count, sizeof *values);
    made->want = WANT_CLOSE;
    made->values = values;
    return values;
}

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// ------------------------------------------------------------------------------------- the checks

// Rows: maxima and sums over a group or subgroup, exp and log.
static void add_cross_entropy(selftest *test)
{
    enum { ROWS = 5, WIDTH = 45, PITCH = 48 };
    static const uint32_t targets[ROWS] = {0, 44, 17, TV_IGNORE_TARGET, 43};
    double *x;
    check *made = add_check(test, "cross_entropy", "cross_entropy");
    made->choice.group = test->caps->subgroup; // 0: the kernel's own, as the plan has it
    made->groups[0] = ROWS;
    made->args = (tv_args){.u = {ROWS, WIDTH, PITCH, 1}};
    add_random(test, made, ROWS * PITCH, &x);
    memcpy(add_words(test, made, ROWS), targets, sizeof targets);
    add_words(test, made, TV_STEP_WORDS)[TV_STEP_LOSS_SCALE] = float_bits(0.5f);
    double *loss = add_close(test, made, ROWS), *gradient = add_close(test, made, ROWS * PITCH);
    for (uint32_t r = 0; r < ROWS; r++, x += PITCH, gradient += PITCH) {
        double sum = 0;
        if (targets[r] == TV_IGNORE_TARGET)
            continue; // all zero
        for (uint32_t i = 0; i < WIDTH; i++)
            sum += exp(x[i]);
        loss[r] = log(sum) - x[targets[r]];
        for (uint32_t i = 0; i < WIDTH; i++)
            gradient[i] = 0.5 * (exp(x[i]) / sum - (i == targets[r]));
    }
}

typedef struct matmul_kernel {
    const char *name;
    uint32_t group, tile_m, tile_n;
    bool in_fours;
} matmul_kernel;

// As lower_matmul.c has them, the preferred ones first. One layout stands for all: they are slow to
// compile, and each run uses this one anyway.
static const matmul_kernel matmul_kernels[] = {
    {"matmul_s16", 16, 64, 64, true},
    {"matmul_s8", 8, 32, 32, true},
    {"matmul_nt_v16", 1, 256, 144, false},
    {"matmul_nt", 0, 64, 64, false},
};

static const matmul_kernel *choose_matmul(const selftest *test)
{
    const matmul_kernel *row = matmul_kernels;
    while (row->group != 0 &&
           !(tv_device_has_kernel(test->device, row->name) &&
             (row->in_fours ? row->group == test->caps->subgroup : test->caps->cpu_kernels)))
        row++;
    return row;
}

// C = C + A B + bias, with sizes that leave tiles half empty; those of subgroups go in fours.
static void add_matmul(selftest *test)
{
    const matmul_kernel *row = choose_matmul(test);
    const uint32_t m = row->in_fours ? 36 : 37, n = row->in_fours ? 28 : 27,
                   k = row->in_fours ? 20 : 19;
    double *a, *b, *c, *bias;
    check *made = add_check(test, "matmul_nt", row->name);
    made->choice.group = row->group;
    made->groups[0] = (uint32_t)tv_div_up(n, row->tile_n);
    made->groups[1] = (uint32_t)tv_div_up(m, row->tile_m);
    made->args = (tv_args){.u = {m, n, k, k, k, n, TV_MATMUL_ACCUMULATE | TV_MATMUL_BIAS}};
    add_random(test, made, m * k, &a);
    add_random(test, made, n * k, &b);
    slot *result = add_random(test, made, m * n, &c);
    add_random(test, made, n, &bias);
    add_words(test, made, 4); // of no epilogue
    result->access = TV_READ_WRITE;
    result->want = WANT_CLOSE;
    result->values = c;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            c[i * n + j] += bias[j];
            for (uint32_t s = 0; s < k; s++)
                c[i * n + j] += a[i * k + s] * b[j * k + s];
        }
}

// A group that an elementwise kernel may have on this device.
static uint32_t lane_group(const selftest *test)
{
    uint32_t group = test->device->info.device_class == TV_CLASS_CPU ? 512 : 256;
    while (group > test->caps->max_group)
        group /= 2;
    return group;
}

// Integers: the random numbers of Philox need all 64 bits of products.
static void add_dropout(selftest *test)
{
    enum { SAMPLES = 5, PER_SAMPLE = 20, COUNT = SAMPLES * PER_SAMPLE, SITE = 3 };
    static const uint32_t key[2] = {0x89ABCDEF, 0xFEDCBA98};
    double *x;
    check *made = add_check(test, "dropout", "dropout");
    made->choice.group = lane_group(test);
    made->groups[0] = (uint32_t)tv_div_up(COUNT / 4, made->choice.group);
    made->args = (tv_args){.u = {COUNT, 0, PER_SAMPLE, SITE}, .f = {0.5f}};
    add_random(test, made, COUNT, &x);
    uint32_t *step = add_words(test, made, TV_STEP_WORDS);
    uint32_t *samples = add_words(test, made, SAMPLES);
    double *y = add_close(test, made, COUNT);
    step[TV_STEP_SEED_LOW] = key[0];
    step[TV_STEP_SEED_HIGH] = key[1];
    step[TV_STEP_STEP] = 1000;
    for (uint32_t i = 0; i < SAMPLES; i++)
        samples[i] = 0xFFFFFFFFu - i;
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint32_t counter[4] = {i % PER_SAMPLE / 4, SITE, samples[i / PER_SAMPLE], 1000};
        uint32_t words[4];
        tv_philox(key, counter, words);
        y[i] = words[i % 4] >> 31 ? 2 * x[i] : 0;
    }
}

// ------------------------------------------------------------------------------------ conversions

// Floats and the halves that they become: rounding to nearest even, subnormals, overflow. `exact`
// ones also come back. There are 4 n + 3 of both kinds: the last three go through single loads and
// stores.
static const struct pair {
    uint32_t wide, narrow;
    bool exact;
} f16_pairs[] = {
    {0x3F800000, 0x3C00, true},  // 1
    {0x00000000, 0x0000, true},  // 0
    {0x80000000, 0x8000, true},  // -0
    {0xC0490000, 0xC248, true},  // -3.140625
    {0x3F801000, 0x3C00, false}, // halfway to the next: to even, down
    {0x3F803000, 0x3C02, false}, // to even, up
    {0x3F801001, 0x3C01, false}, // just above halfway
    {0x3F802FFF, 0x3C01, false}, // just below
    {0x3FFFF000, 0x4000, false}, // carries into the exponent
    {0x477FE000, 0x7BFF, true},  // 65504, the largest
    {0x477FEFFF, 0x7BFF, false}, // rounds down to it
    {0x477FF000, 0x7C00, false}, // 65520: infinity
    {0xC77FF000, 0xFC00, false}, // and its negative
    {0x7E967699, 0x7C00, false}, // 1e38
    {0x7F800000, 0x7C00, true},  // infinity
    {0xFF800000, 0xFC00, true},  // and its negative
    {0x7FC00000, 0x7E00, true},  // not a number
    {0x38800000, 0x0400, true},  // 2^-14, the smallest normal
    {0x387FC000, 0x03FF, true},  // the largest subnormal
    {0x387FE000, 0x0400, false}, // halfway between these
    {0xB8000000, 0x8200, true},  // -2^-15
    {0x33800000, 0x0001, true},  // 2^-24, the smallest
    {0x33C00000, 0x0002, false}, // 1.5 of it: to even
    {0x33000000, 0x0000, false}, // half of it: to even
    {0x32FFFFFF, 0x0000, false}, // a little less
    {0x3E800000, 0x3400, true},  // 0.25
    {0xBF801FFF, 0xBC01, false}, // almost the next after -1
    {0x42280000, 0x5140, true},  // 42
    {0x33000001, 0x0001, false}, // a little more than half the smallest
    {0x40401000, 0x4200, false}, // halfway, down
    {0xB3800000, 0x8001, true},  // the smallest, negative
};

static const struct pair bf16_pairs[] = {
    {0x3F800000, 0x3F80, true},  // 1
    {0x00000000, 0x0000, true},  // 0
    {0x80000000, 0x8000, true},  // -0
    {0x3F808000, 0x3F80, false}, // halfway to the next: to even, down
    {0x3F818000, 0x3F82, false}, // to even, up
    {0x3F808001, 0x3F81, false}, // just above halfway
    {0x7F7FFFFF, 0x7F80, false}, // the largest float: infinity
    {0xFF800000, 0xFF80, true},  // minus infinity
    {0x7FC00000, 0x7FC0, true},  // not a number
    {0xC2280000, 0xC228, true},  // -42
    {0x3FFF8000, 0x4000, false}, // carries into the exponent
    {0x3F807FFF, 0x3F80, false}, // just below halfway
    {0xBF818000, 0xBF82, false}, // halfway, up, negative
    {0x7F7F0000, 0x7F7F, true},  // the largest
    {0x7F7F7FFF, 0x7F7F, false}, // rounds down to it
};

// Copies `from` one type `to` another; one of them is TV_TYPE_F32.
static void add_convert(selftest *test, uint32_t from, uint32_t to, const struct pair *pairs,
                        uint32_t count)
{
    check *made = add_check(test, "convert", "convert");
    uint32_t *bits = tv_arena_alloc(&test->arena, count, sizeof *bits), used = 0;
    slot *x = add_slot(test, made, count, from, TV_READ);
    slot *y = add_slot(test, made, count, to, TV_WRITE);
    for (uint32_t i = 0; i < count; i++) {
        if (from != TV_TYPE_F32 && !pairs[i].exact)
            continue;
        if (from == TV_TYPE_F32)
            ((uint32_t *)data_of(test, x))[used] = pairs[i].wide;
        else
            ((uint16_t *)data_of(test, x))[used] = (uint16_t)pairs[i].narrow;
        bits[used++] = from == TV_TYPE_F32 ? pairs[i].narrow : pairs[i].wide;
    }
    y->count = used;
    y->want = (int)to;
    y->bits = bits;
    made->halves = (from == TV_TYPE_F16 || to == TV_TYPE_F16) && test->caps->f16;
    made->choice.group = lane_group(test);
    made->args.u[0] = used;
}

static void add_converts(selftest *test)
{
    enum {
        F16 = sizeof f16_pairs / sizeof *f16_pairs,
        BF16 = sizeof bf16_pairs / sizeof *bf16_pairs
    };
    add_convert(test, TV_TYPE_F32, TV_TYPE_F16, f16_pairs, F16);
    add_convert(test, TV_TYPE_F16, TV_TYPE_F32, f16_pairs, F16);
    add_convert(test, TV_TYPE_F32, TV_TYPE_BF16, bf16_pairs, BF16);
    add_convert(test, TV_TYPE_BF16, TV_TYPE_F32, bf16_pairs, BF16);
}

// -------------------------------------------------------------------------------------- comparing

static uint32_t bits_at(const void *data, int type, uint32_t i)
{
    return type == TV_TYPE_F32 ? ((const uint32_t *)data)[i] : ((const uint16_t *)data)[i];
}

static bool is_nan(int type, uint32_t bits)
{
    static const uint32_t infinities[] = {
        [TV_TYPE_F32] = 0x7F800000, [TV_TYPE_F16] = 0x7C00, [TV_TYPE_BF16] = 0x7F80};
    uint32_t sign = type == TV_TYPE_F32 ? 0x80000000u : 0x8000u;
    return (bits & ~sign) > infinities[type];
}

// Any NaN will do for another. The line of a failure is only a part: where, what, and what instead.
static tv_err compare_bits(const void *data, const slot *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t got = bits_at(data, s->want, i), want = s->bits[i];
        if (got == want || (is_nan(s->want, got) && is_nan(s->want, want)))
            continue;
        return tv_fail(TV_EDEVICE, "element %u has the bits 0x%x, expected 0x%x", (unsigned)i,
                       (unsigned)got, (unsigned)want);
    }
    return TV_OK;
}

static tv_err compare_values(const float *data, const slot *s)
{
    double largest = 0;
    for (uint32_t i = 0; i < s->count; i++)
        largest = fmax(largest, fabs(s->values[i]));
    for (uint32_t i = 0; i < s->count; i++)
        if (!(fabs(data[i] - s->values[i]) <= TOLERANCE * largest))
            return tv_fail(TV_EDEVICE, "element %u is %.9g, expected %.9g", (unsigned)i,
                           (double)data[i], s->values[i]);
    return TV_OK;
}

static const char *fault_name(void)
{
    const char *fault = getenv("TRIVIUM_FAULT");
    return fault && tv_starts_with(fault, "wrong:") ? fault + strlen("wrong:") : "";
}

static tv_err compare(const selftest *test, const check *c)
{
    const char *fault = fault_name();
    bool spoil = strcmp(fault, c->halves ? "half" : c->name) == 0 || strcmp(fault, c->name) == 0;
    for (uint32_t i = 0; i < c->slot_count; i++) {
        const slot *s = &c->slots[i];
        uint32_t *data = data_of(test, s);
        if (s->want == WANT_NOTHING)
            continue;
        if (spoil)
            data[0] ^= FLIP;
        TV_TRY(s->want == WANT_CLOSE ? compare_values((float *)data, s) : compare_bits(data, s));
    }
    return TV_OK;
}

// The first wrong result is the line of the failure.
static tv_err judge(const selftest *test, bool *wrong_halves)
{
    const tv_device_info *info = &test->device->info;
    for (size_t i = 0; i < test->check_count; i++) {
        const check *c = &test->checks[i];
        if ((c->halves && *wrong_halves) || compare(test, c) == TV_OK)
            continue;
        if (!c->halves)
            return tv_fail(TV_EDEVICE,
                           "%s (%s): kernel '%s' computes wrongly: %s; try another driver "
                           "(--no-selftest skips this check)",
                           info->name, info->driver, c->choice.name, tv_error_message());
        *wrong_halves = true;
        tv_warn("%s (%s): its half conversions are wrong: kernel '%s': %s; converting by bit "
                "operations instead",
                info->name, info->driver, c->choice.name, tv_error_message());
    }
    return TV_OK;
}

// ---------------------------------------------------------------------------------------- running

static tv_err run(const selftest *test)
{
    tv_kernel_choice choices[CHECKS_MAX];
    tv_dispatch dispatches[CHECKS_MAX];
    for (size_t i = 0; i < test->check_count; i++) {
        const check *c = &test->checks[i];
        choices[i] = c->choice;
        dispatches[i] = (tv_dispatch){
            .binding_count = c->slot_count, .args = c->args, .work = 1, .label = c->choice.name};
        memcpy(dispatches[i].groups, c->groups, sizeof c->groups);
        for (uint32_t j = 0; j < c->slot_count; j++)
            dispatches[i].bindings[j] =
                (tv_binding){NULL, c->slots[j].offset, c->slots[j].bytes, c->slots[j].access};
    }
    return tv_device_run_once(test->device, choices, dispatches, test->check_count, test->image,
                              test->used);
}

bool tv_selftest_wanted(void)
{
    const char *wanted = getenv("TRIVIUM_SELFTEST");
    return !wanted || strcmp(wanted, "0") != 0;
}

tv_err tv_device_selftest(tv_device *device, bool *wrong_halves)
{
    *wrong_halves = false;
    if (strcmp(device->info.backend, "null") == 0)
        return TV_OK;
    double since = tv_now_seconds();
    selftest test = {.device = device, .caps = &device->info.caps, .rng = tv_rng_init(1, 1)};
    test.image = tv_alloc(IMAGE_BYTES, 1);
    add_cross_entropy(&test);
    add_matmul(&test);
    add_dropout(&test);
    add_converts(&test);
    tv_err err = run(&test);
    if (err == TV_OK)
        err = judge(&test, wrong_halves);
    tv_debug("%s: the self-test took %.1f ms", device->info.name, 1e3 * (tv_now_seconds() - since));
    tv_arena_finish(&test.arena);
    tv_free(test.image);
    return err;
}

tv_err tv_selftest_check_fault(const char *name)
{
    static const char *const names[] = {"cross_entropy", "matmul_nt", "dropout",
                                        "convert",       "half",      "matrix_units"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return TV_OK;
    return tv_fail(TV_EUSAGE, "TRIVIUM_FAULT=wrong:%s: the self-test has no such check", name);
}
