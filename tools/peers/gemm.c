// Trivium's matrix products against OpenBLAS's: the same data, taking turns, results compared.
// tools/peers/gemm.sh compiles and runs it.
#include "base/clock.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/rng.h"
#include "device/device.h"
#include "graph/graph.h"
#include "plan/plan.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS_MOST = 99, ROWS_MOST = 64, TYPES = 3 };

// As in cblas.h, which comes with OpenBLAS's development files only.
enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
char *openblas_get_config(void);
int openblas_get_num_threads(void);

typedef struct options {
    const char *device, *only;
    tv_dtype dtypes[TYPES];
    uint32_t dtype_count, rounds;
} options;

static const char *const dtype_names[] = {[TV_F32] = "f32", [TV_F16] = "f16", [TV_BF16] = "bf16"};

// A layer of M rows, N outputs and K inputs, whose weight is stored [N, K] (nt) or [K, N] (nn).
typedef struct shape {
    uint32_t m, n, k;
} shape;

static const shape shapes[] = {
    {512, 512, 512}, {1024, 1024, 1024}, {2048, 1536, 384}, {512, 3072, 768}, {512, 50257, 768},
};

// C [m, n] from inputs of inner size k.
typedef struct product {
    const char *role, *layout_name;
    tv_layout layout;
    uint32_t m, n, k;
} product;

enum { PRODUCTS = 6 };

typedef struct row {
    char title[64];
    double gflops[TYPES + 1]; // medians: ours by type, then OpenBLAS's
} row;

// --------------------------------------------------------------------------------------- products

static void list_products(const shape *s, product products[PRODUCTS])
{
    const product all[PRODUCTS] = {
        {"forward", "nt", TV_NT, s->m, s->n, s->k}, {"input", "nn", TV_NN, s->m, s->k, s->n},
        {"weight", "tn", TV_TN, s->n, s->k, s->m},  {"forward", "nn", TV_NN, s->m, s->n, s->k},
        {"input", "nt", TV_NT, s->m, s->k, s->n},   {"weight", "tn", TV_TN, s->k, s->n, s->m},
    };
    memcpy(products, all, sizeof all);
}

static void blas(const product *p, const float *a, const float *b, float *c)
{
    bool ta = p->layout == TV_TN, tb = p->layout == TV_NT;
    int m = (int)p->m, n = (int)p->n, k = (int)p->k;
    cblas_sgemm(ROW_MAJOR, ta ? TRANS : NO_TRANS, tb ? TRANS : NO_TRANS, m, n, k, 1, a, ta ? m : k,
                b, tb ? k : n, 0, c, n);
}

// ------------------------------------------------------------------------------------------ trial

// One product in one type, on both sides. Small ones are repeated in one program, as a step would
// have them.
typedef struct trial {
    const product *product;
    tv_dtype dtype;
    uint32_t repeats;
    tv_graph *graph;
    tv_tensor *a, *b, *c;
    tv_plan *plan;
    float *x, *y, *z, *own; // inputs, OpenBLAS's result, Trivium's
} trial;

static float *random_matrix(tv_dtype dtype, const tv_tensor *tensor, uint64_t stream)
{
    size_t count = (size_t)tv_tensor_count(tensor);
    float *x = tv_alloc(count, sizeof *x);
    uint16_t *halves = tv_alloc(count, sizeof *halves);
    tv_rng rng = tv_rng_init(4, stream);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)tv_rng_uniform(&rng) * 2 - 1;
    if (dtype != TV_F32) { // both sides compute with the same values
        tv_halves_from_floats(dtype == TV_BF16, x, halves, count);
        tv_floats_from_halves(dtype == TV_BF16, halves, x, count);
    }
    tv_free(halves);
    return x;
}

static void build_graph(trial *t)
{
    const product *p = t->product;
    tv_dtype dtype = t->dtype;
    bool tn = p->layout == TV_TN, nt = p->layout == TV_NT;
    uint32_t a_rows = tn ? p->k : p->m, a_columns = tn ? p->m : p->k;
    uint32_t b_rows = nt ? p->n : p->k, b_columns = nt ? p->k : p->n;
    t->graph = tv_graph_create();
    t->a = tv_graph_tensor(t->graph, TV_CONSTANT, dtype, a_rows, a_columns, "a");
    t->b = tv_graph_tensor(t->graph, TV_CONSTANT, dtype, b_rows, b_columns, "b");
    // Gradients of weights are floats in every mode.
    t->c = tv_graph_tensor(t->graph, TV_CACHE, tn ? TV_F32 : dtype, p->m, p->n, "c");
    tv_attrs attrs = {.layout = p->layout};
    tv_tensor *in[] = {t->a, t->b, NULL}, *out[] = {t->c};
    for (uint32_t i = 0; i < t->repeats; i++)
        tv_graph_add(t->graph, TV_OP_MATMUL, &attrs, in, out);
}

static tv_err prepare(trial *t, tv_device *device)
{
    TV_TRY(tv_plan_create(t->graph, device, &t->plan));
    TV_TRY(tv_plan_write(t->plan, t->a, 0, tv_tensor_count(t->a), t->x));
    TV_TRY(tv_plan_write(t->plan, t->b, 0, tv_tensor_count(t->b), t->y));
    TV_TRY(tv_plan_execute(t->plan, 0)); // warms up: compiles
    blas(t->product, t->x, t->y, t->z);
    return tv_plan_read(t->plan, t->c, 0, tv_tensor_count(t->c), t->own);
}

// Sums of k products in another order, then rounded to the type of c.
static tv_err compare(const trial *t)
{
    const product *p = t->product;
    double unit = t->c->dtype == TV_F32 ? 0 : t->c->dtype == TV_F16 ? 0x1p-11 : 0x1p-8;
    for (uint64_t i = 0; i < tv_tensor_count(t->c); i++) {
        double bound = 1e-5 * sqrt(p->k) + 3e-7 * p->k + unit * fabs((double)t->z[i]);
        double error = fabs((double)t->own[i] - t->z[i]);
        if (!(error <= bound))
            return tv_fail(TV_EDATA, "%s %s %ux%ux%u: element %llu is %g, OpenBLAS has %g", p->role,
                           p->layout_name, p->m, p->n, p->k, (unsigned long long)i,
                           (double)t->own[i], (double)t->z[i]);
    }
    return TV_OK;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, uint32_t count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

// OpenMP's threads spin for some time after each product, and would disturb who comes next.
static void settle(void)
{
    usleep(20000);
}

static double seconds_of_blas(const trial *t)
{
    double start = tv_now_seconds();
    for (uint32_t j = 0; j < t->repeats; j++)
        blas(t->product, t->x, t->y, t->z);
    return tv_now_seconds() - start;
}

static tv_err take_turns(trial *trials, uint32_t count, uint32_t rounds, row *result)
{
    double seconds[TYPES + 1][ROUNDS_MOST];
    const product *p = trials->product;
    for (uint32_t i = 0; i < rounds; i++) {
        for (uint32_t j = 0; j < count; j++) {
            settle();
            double start = tv_now_seconds();
            TV_TRY(tv_plan_execute(trials[j].plan, 0));
            seconds[j][i] = tv_now_seconds() - start;
        }
        settle();
        seconds[count][i] = seconds_of_blas(trials);
    }
    double flop = 2e-9 * p->m * p->n * p->k * trials->repeats;
    for (uint32_t side = 0; side <= count; side++)
        result->gflops[side] = flop / median(seconds[side], rounds);
    return TV_OK;
}

static tv_err begin(trial *t, tv_device *device)
{
    build_graph(t);
    t->x = random_matrix(t->dtype, t->a, 1);
    t->y = random_matrix(t->dtype, t->b, 2);
    t->z = tv_alloc((size_t)tv_tensor_count(t->c), sizeof *t->z);
    t->own = tv_alloc((size_t)tv_tensor_count(t->c), sizeof *t->own);
    TV_TRY(prepare(t, device));
    return compare(t);
}

static void end(trial *t)
{
    tv_plan_destroy(&t->plan);
    tv_graph_destroy(&t->graph);
    tv_free(t->x);
    tv_free(t->y);
    tv_free(t->z);
    tv_free(t->own);
}

static tv_err measure(const options *o, tv_device *device, const product *p, row *result)
{
    double flop = 2.0 * p->m * p->n * p->k;
    trial trials[TYPES] = {0};
    tv_err err = TV_OK;
    for (uint32_t i = 0; i < o->dtype_count && err == TV_OK; i++) {
        trials[i] =
            (trial){.product = p, .dtype = o->dtypes[i], .repeats = (uint32_t)fmax(1, 12e9 / flop)};
        err = begin(&trials[i], device);
    }
    if (err == TV_OK)
        err = take_turns(trials, o->dtype_count, o->rounds, result);
    for (uint32_t i = 0; i < o->dtype_count; i++)
        end(&trials[i]);
    return err;
}

// ----------------------------------------------------------------------------------------- report

static void summarise(const char *what, const row *rows, uint32_t count, uint32_t side,
                      uint32_t other)
{
    double ratios[ROWS_MOST], least = INFINITY;
    const row *worst = rows;
    for (uint32_t i = 0; i < count; i++) {
        ratios[i] = rows[i].gflops[side] / rows[i].gflops[other];
        if (ratios[i] < least) {
            least = ratios[i];
            worst = &rows[i];
        }
    }
    printf("%s: median %.2f, worst %.2f (%s)\n", what, median(ratios, count), least, worst->title);
}

static void summarise_all(const options *o, const row *rows, uint32_t count)
{
    char what[64];
    for (uint32_t i = 0; i < o->dtype_count; i++) {
        snprintf(what, sizeof what, "ratio of %s to OpenBLAS", dtype_names[o->dtypes[i]]);
        summarise(what, rows, count, i, o->dtype_count);
    }
    for (uint32_t i = 1; i < o->dtype_count; i++) {
        snprintf(what, sizeof what, "ratio of %s to %s", dtype_names[o->dtypes[i]],
                 dtype_names[o->dtypes[0]]);
        summarise(what, rows, count, i, 0);
    }
}

static void print_head(const options *o)
{
    printf("%-32s", "MxNxK role layout");
    for (uint32_t i = 0; i < o->dtype_count; i++)
        printf(" %9s", dtype_names[o->dtypes[i]]);
    printf(" %9s", "OpenBLAS");
    for (uint32_t i = 0; i < o->dtype_count; i++)
        printf(" %6s", "ratio");
    printf("\n");
}

static void print_row(const options *o, const row *r)
{
    printf("%-32s", r->title);
    for (uint32_t i = 0; i <= o->dtype_count; i++)
        printf(" %9.1f", r->gflops[i]);
    for (uint32_t i = 0; i < o->dtype_count; i++)
        printf(" %6.2f", r->gflops[i] / r->gflops[o->dtype_count]);
    printf("\n");
    fflush(stdout);
}

static tv_err measure_all(const options *o, tv_device *device)
{
    static row rows[ROWS_MOST];
    uint32_t count = 0;
    print_head(o);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape *s = &shapes[i];
        product products[PRODUCTS];
        list_products(s, products);
        for (int j = 0; j < PRODUCTS; j++) {
            row *r = &rows[count];
            snprintf(r->title, sizeof r->title, "%ux%ux%u %s %s", s->m, s->n, s->k,
                     products[j].role, products[j].layout_name);
            if (o->only && !strstr(r->title, o->only))
                continue;
            TV_TRY(measure(o, device, &products[j], r));
            print_row(o, r);
            count++;
        }
    }
    if (count == 0)
        return tv_fail(TV_EUSAGE, "--only %s: no row of that name", o->only);
    summarise_all(o, rows, count);
    return TV_OK;
}

static tv_err parse_dtypes(char *text, options *o)
{
    o->dtype_count = 0;
    for (char *name = strsep(&text, ","); name; name = strsep(&text, ",")) {
        tv_dtype dtype = TV_F32;
        while (dtype <= TV_BF16 && (!dtype_names[dtype] || strcmp(name, dtype_names[dtype]) != 0))
            dtype++;
        if (dtype > TV_BF16 || o->dtype_count == TYPES)
            return tv_fail(TV_EUSAGE, "--dtype %s: use up to %d of f32, f16 and bf16", name, TYPES);
        o->dtypes[o->dtype_count++] = dtype;
    }
    return TV_OK;
}

static tv_err parse(int argc, char **argv, options *o)
{
    static const struct option names[] = {{"device", required_argument, NULL, 'd'},
                                          {"dtype", required_argument, NULL, 't'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"only", required_argument, NULL, 'o'},
                                          {0}};
    for (int c = getopt_long(argc, argv, "", names, NULL); c != -1;
         c = getopt_long(argc, argv, "", names, NULL)) {
        if (c == 'd')
            o->device = optarg;
        else if (c == 'o')
            o->only = optarg;
        else if (c == 't')
            TV_TRY(parse_dtypes(optarg, o));
        else if (c == 'r')
            o->rounds = (uint32_t)strtoul(optarg, NULL, 10);
        else
            return tv_fail(TV_EUSAGE, "see the first lines of tools/peers/gemm.sh");
    }
    if (o->rounds < 1 || o->rounds > ROUNDS_MOST)
        return tv_fail(TV_EUSAGE, "--rounds: 1 to %d", ROUNDS_MOST);
    return TV_OK;
}

static tv_err run(int argc, char **argv)
{
    options o = {.dtype_count = 1, .rounds = 5};
    tv_device *device = NULL;
    TV_TRY(parse(argc, argv, &o));
    TV_TRY(tv_device_open(o.device, NULL, &device));
    const tv_device_info *info = tv_device_get_info(device);
    char wall[32];
    tv_wall_time(wall);
    printf("%s, %s\n%s:%u %s, %s\nOpenBLAS on %d threads: %s\nGFLOP/s, medians of %u rounds\n",
           wall, "products of layers: M rows, N outputs, K inputs", info->backend, info->index,
           info->name, info->driver, openblas_get_num_threads(), openblas_get_config(), o.rounds);
    tv_err err = measure_all(&o, device);
    tv_device_close(&device);
    return err;
}

int main(int argc, char **argv)
{
    tv_err err = run(argc, argv);
    if (err != TV_OK)
        fprintf(stderr, "gemm: %s\n", tv_error_message());
    return tv_exit_code(err);
}
