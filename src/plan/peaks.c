// Peaks: a sum of two long vectors, and square products, each through the plan's own kernels.
#include "plan/peaks.h"

#include "graph/ops.h"
#include "plan/plan.h"

#include <math.h>

static const double MEASURE_SECONDS = 0.2, PRODUCT_SECONDS = 0.01;
enum { LARGEST_PRODUCT = 8192, VECTOR_COLUMNS = 1024, VECTOR_ROWS_CPU = 8192, VECTOR_ROWS = 32768 };

static double seconds_of(const tv_plan *plan, uint32_t phase)
{
    size_t count;
    double seconds = 0;
    const tv_plan_dispatch *dispatches = tv_plan_dispatches(plan, phase, &count);
    for (size_t i = 0; i < count; i++)
        seconds += dispatches[i].seconds;
    return seconds;
}

// The shortest of the runs that fit the time; 0 where the device does not tell.
static tv_err shortest(tv_device *device, const tv_graph *graph, double *seconds)
{
    tv_plan *plan = NULL;
    double total = 0;
    tv_err err;
    *seconds = INFINITY;
    TV_GOTO(done, tv_plan_create(graph, device, &plan));
    TV_GOTO(done, tv_plan_execute(plan, 0));
    TV_GOTO(done, tv_plan_execute(plan, 1));
    for (int runs = 0; runs < 3 || (total<MEASURE_SECONDS && * seconds> 0); runs++) {
        TV_GOTO(done, tv_plan_profile(plan, 1));
        double run = seconds_of(plan, 1);
        total += run;
        *seconds = fmin(*seconds, run);
    }
done:
    tv_plan_destroy(&plan);
    return err;
}

// A graph that has `a` and `b` in phase 0, and is in phase 1.
static tv_graph *pair_of(tv_dtype storage, uint32_t rows, uint32_t columns, tv_tensor *pair[2])
{
    tv_graph *graph = tv_graph_create();
    graph->storage = storage;
    for (int i = 0; i < 2; i++) {
        pair[i] = tv_graph_tensor(graph, TV_CONSTANT, storage, rows, columns, i ? "b" : "a");
        tv_fill(graph, pair[i], 1);
    }
    tv_graph_new_phase(graph);
    return graph;
}

static tv_err measure_sum(tv_device *device, tv_peaks *peaks)
{
    bool cpu = tv_device_get_info(device)->device_class == TV_CLASS_CPU;
    uint32_t rows = cpu ? VECTOR_ROWS_CPU : VECTOR_ROWS;
    tv_tensor *pair[2];
    double seconds;
    tv_graph *graph = pair_of(TV_F32, rows, VECTOR_COLUMNS, pair);
    tv_add(graph, pair[0], pair[1]);
    tv_err err = shortest(device, graph, &seconds);
    tv_graph_destroy(&graph);
    if (err == TV_OK && seconds > 0)
        peaks->bytes_per_s = 12.0 * rows * VECTOR_COLUMNS / seconds;
    return err;
}

// The larger a product, the better, up to where it takes long enough.
static tv_err measure_products(tv_device *device, tv_dtype storage, tv_peaks *peaks)
{
    double seconds = 0;
    for (uint32_t n = 512; n <= LARGEST_PRODUCT && seconds < PRODUCT_SECONDS; n *= 2) {
        tv_tensor *pair[2];
        tv_graph *graph = pair_of(storage, n, n, pair);
        tv_linear(graph, pair[0], pair[1], NULL, TV_NT);
        tv_err err = shortest(device, graph, &seconds);
        tv_graph_destroy(&graph);
        if (err != TV_OK || seconds == 0)
            return err;
        peaks->flop_per_s = fmax(peaks->flop_per_s, 2.0 * n * n * n / seconds);
    }
    return TV_OK;
}

tv_err tv_peaks_measure(tv_device *device, tv_dtype storage, tv_peaks *peaks)
{
    *peaks = (tv_peaks){0};
    TV_TRY(measure_sum(device, peaks));
    return measure_products(device, storage, peaks);
}
