// The self-test of matrix units: a product with edges on all sides and a bias, in each 16-bit type.
// Drivers that offer cooperative matrices and compute something else are known.
#include "device/selftest.h"

#include "device/front.h"

#include "base/half.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    M = 70,
    N = 67,
    K = 150,
    A_AT = 0,
    B_AT = 24576,
    BIAS_AT = 49152,
    C_AT = 49408,
    OTHER_AT = 68352,
    BYTES = 68608
};
enum { GROUP_LANES = 128, GROUP_K = 64, SUBGROUPS_2_BY_2 = 2 << 24 | 2 << 28, STEP_32 = 32 + 256 };
static const double TOLERANCE = 1e-4; // of the largest value; wrong code is off by far more

// Numbers that both types hold exactly, so that only the sums round.
static void fill(tv_rng *rng, bool bf16, uint16_t *halves, double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value = (float)((int)(tv_rng_uniform(rng) * 255) - 127) / 64;
        values[i] = value;
        tv_halves_from_floats(bf16, &value, &halves[i], 1);
    }
}

static tv_dispatch product(const tv_caps *caps, tv_kernel_choice *choice, bool bf16)
{
    uint8_t type = bf16 ? TV_TYPE_BF16 : TV_TYPE_F16;
    if (caps->coop2)
        *choice = (tv_kernel_choice){.name = bf16 ? "matmul_cm2_bf16" : "matmul_cm2_f16",
                                     .group = GROUP_LANES,
                                     .constants = {64, 64, GROUP_K, 0}};
    else
        *choice =
            (tv_kernel_choice){.name = bf16 ? "matmul_coop_bf16" : "matmul_coop_f16",
                               .group = 4 * caps->subgroup,
                               .constants = {64, 64, caps->coop_shape | SUBGROUPS_2_BY_2, STEP_32}};
    memcpy(choice->storage, (uint8_t[]){type, type, TV_TYPE_F32, type}, 4);
    return (tv_dispatch){.bindings = {{NULL, A_AT, 2 * M * K, TV_READ},
                                      {NULL, B_AT, 2 * N * K, TV_READ},
                                      {NULL, C_AT, 4 * M * N, TV_WRITE},
                                      {NULL, BIAS_AT, 144, TV_READ},
                                      {NULL, OTHER_AT, 16, TV_WRITE}}, // of no epilogue
                         .binding_count = 5,
                         .groups = {2, 2, 1},
                         .args.u = {M, N, K, K, K, N, TV_MATMUL_BIAS},
                         .work = 2.0 * M * N * K,
                         .label = "matrix units"};
}

static tv_err run(tv_device *device, bool bf16, uint8_t *image)
{
    tv_kernel_choice choice;
    tv_dispatch dispatch = product(&device->info.caps, &choice, bf16);
    return tv_device_run_once(device, &choice, &dispatch, 1, image, BYTES);
}

static bool matches(const double *a, const double *b, const double *bias, const float *c)
{
    double worst = 0, largest = 0;
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            double sum = bias[n], got = c[m * N + n];
            for (size_t k = 0; k < K; k++)
                sum += a[m * K + k] * b[n * K + k];
            worst = isfinite(got) ? fmax(worst, fabs(got - sum)) : INFINITY;
            largest = fmax(largest, fabs(sum));
        }
    return worst <= TOLERANCE * largest;
}

static tv_err check(tv_device *device, bool bf16, bool *good)
{
    const char *fault = getenv("TRIVIUM_FAULT");
    tv_rng rng = tv_rng_init(2, bf16);
    uint8_t *image = tv_alloc(BYTES, 1);
    double *a = tv_alloc(M * K, sizeof *a), *b = tv_alloc(N * K, sizeof *b), bias[N];
    fill(&rng, bf16, (uint16_t *)(image + A_AT), a, M * K);
    fill(&rng, bf16, (uint16_t *)(image + B_AT), b, N * K);
    fill(&rng, bf16, (uint16_t *)(image + BIAS_AT), bias, N);
    tv_err err = run(device, bf16, image);
    if (fault && strcmp(fault, "wrong:matrix_units") == 0)
        image[C_AT + 3] ^= 0x40;
    *good = err == TV_OK && matches(a, b, bias, (const float *)(image + C_AT));
    tv_free(image);
    tv_free(a);
    tv_free(b);
    return err;
}

tv_err tv_device_test_matrix_units(tv_device *device, bool *wrong)
{
    const tv_caps *caps = &device->info.caps;
    *wrong = false;
    for (int bf16 = 0; bf16 <= caps->bf16 && caps->coop && !*wrong; bf16++) {
        bool good;
        TV_TRY(check(device, bf16, &good));
        *wrong = !good;
    }
    if (*wrong)
        tv_warn("%s (%s): its matrix units compute wrongly; they are not used (mask no-coopmat)",
                device->info.name, device->info.driver);
    return TV_OK;
}
