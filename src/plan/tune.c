// Tuning: timing the variants of a product, and the file that keeps which was fastest.
#include "plan/tune.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 20, KEY_LENGTH = 96, REPEATS = 4, RUNS = 4, DIMENSION_MOST = 4096 };

// One line of the file: a kind of product, a tab, and the variant.
typedef struct entry {
    char kind[KEY_LENGTH], variant[KEY_LENGTH];
} entry;

struct tv_tuner {
    tv_device *device;
    tv_text path; // of the file; empty: there is no place for it
    entry *entries;
    size_t count, capacity;
    bool changed;
    size_t pick; // this one without timing, unless it is NO_PICK
};
#define NO_PICK SIZE_MAX

// ------------------------------------------------------------------------------------------ names

// Sizes count by their order of magnitude in steps of 2.
static unsigned magnitude(uint32_t n)
{
    return (unsigned)ceil(log2(n));
}

// Rows that do not go in eights are a kind of their own: matrix units read them in another way.
static void name_kind(const tv_product *p, char kind[KEY_LENGTH])
{
    static const char *const layouts[] = {[TV_NT] = "nt", [TV_NN] = "nn", [TV_TN] = "tn"};
    static const char *const types[] = {[TV_F32] = "f32", [TV_F16] = "f16", [TV_BF16] = "bf16"};
    tv_offsets first = tv_product_offsets(p);
    bool odd = (p->a->columns | p->b->columns | first.a | first.b | first.c) % 8 != 0;
    snprintf(kind, KEY_LENGTH, "%s %s %s %s%s 2^%u 2^%u 2^%u", layouts[p->layout],
             types[p->a->dtype], types[p->b->dtype], types[p->c->dtype], odd ? " odd" : "",
             magnitude(p->m), magnitude(p->n), magnitude(p->k));
}

static void name_variant(const tv_variant *v, char name[KEY_LENGTH])
{
    const uint32_t *c = v->choice.constants;
    snprintf(name, KEY_LENGTH, "%s %u %u %u %u %u", v->choice.name, v->choice.group, c[0], c[1],
             c[2], c[3]);
}

// ------------------------------------------------------------------------------------------- file

static tv_err find_path(const tv_device_info *info, tv_text *path)
{
    uint32_t hash = 2166136261u; // FNV-1a of the driver's name and version
    for (const char *c = info->driver; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    TV_TRY(tv_cache_dir(path));
    tv_text_printf(path, "/products-%s-", info->backend);
    for (size_t i = 0; i < sizeof info->uuid; i++)
        tv_text_printf(path, "%02x", info->uuid[i]);
    tv_text_printf(path, "-%08x.txt", (unsigned)hash);
    return TV_OK;
}

static void remember(tv_tuner *t, const char *kind, const char *variant)
{
    size_t i = 0;
    while (i < t->count && strcmp(t->entries[i].kind, kind) != 0)
        i++;
    if (i == t->count) {
        TV_RESERVE(t->entries, t->capacity, t->count + 1);
        t->count++;
    }
    snprintf(t->entries[i].kind, KEY_LENGTH, "%s", kind);
    snprintf(t->entries[i].variant, KEY_LENGTH, "%s", variant);
}

// A line that is not understood is left out: it is measured again.
static void read_lines(tv_tuner *t, char *text)
{
    for (char *line = strsep(&text, "\n"); line; line = strsep(&text, "\n")) {
        char *tab = strchr(line, '\t');
        if (!tab)
            continue;
        *tab = 0;
        remember(t, line, tab + 1);
    }
}

tv_tuner *tv_tuner_open(tv_device *device)
{
    const tv_device_info *info = tv_device_get_info(device);
    const char *wanted = getenv("TRIVIUM_TUNE");
    if (strcmp(info->backend, "null") == 0 ||
        (wanted ? strcmp(wanted, "0") == 0 : info->device_class == TV_CLASS_CPU))
        return NULL;
    tv_tuner *t = tv_alloc(1, sizeof *t);
    uint8_t *data = NULL;
    size_t size = 0;
    t->device = device;
    t->pick = wanted && tv_starts_with(wanted, "pick:") ? strtoul(wanted + 5, NULL, 10) : NO_PICK;
    if (t->pick != NO_PICK)
        return t;
    if (find_path(info, &t->path) != TV_OK)
        tv_debug("products are tuned anew each time: %s", tv_error_message());
    else if (tv_path_exists(t->path.data) &&
             tv_file_read(t->path.data, FILE_LIMIT, &data, &size) == TV_OK)
        read_lines(t, (char *)data); // a zero byte is behind it
    tv_free(data);
    return t;
}

void tv_tuner_close(tv_tuner **tuner)
{
    tv_tuner *t = *tuner;
    *tuner = NULL;
    if (!t)
        return;
    tv_text lines = {0};
    for (size_t i = 0; i < t->count; i++)
        tv_text_printf(&lines, "%s\t%s\n", t->entries[i].kind, t->entries[i].variant);
    if (t->changed && t->path.length > 0 &&
        tv_file_write(t->path.data, lines.data, lines.length) != TV_OK)
        tv_debug("what was tuned is not kept: %s", tv_error_message());
    tv_text_finish(&lines);
    tv_text_finish(&t->path);
    tv_free(t->entries);
    tv_free(t);
}

// ------------------------------------------------------------------------------------------ timing

// A product of this kind on scratch tensors of its own, a, b and c one after the other.
typedef struct stand_in {
    tv_product product;
    tv_tensor a, b, c;
    uint64_t offsets[3], bytes[3], total;
} stand_in;

// As large, but for what would take scratch memory or time without telling more.
static void choose_size(const tv_product *p, double budget, uint32_t size[3])
{
    size[0] = p->m;
    size[1] = p->n;
    size[2] = p->k;
    for (;;) {
        uint32_t *largest = &size[0];
        for (int i = 1; i < 3; i++)
            largest = size[i] > *largest ? &size[i] : largest;
        bool long_enough = 2.0 * size[0] * size[1] * size[2] > budget / REPEATS;
        if (*largest <= 64 || (*largest <= DIMENSION_MOST && !long_enough))
            return;
        *largest /= 2;
    }
}

static void place(stand_in *s, int i, tv_tensor *tensor, const tv_tensor *like, uint32_t rows,
                  uint32_t columns)
{
    *tensor = (tv_tensor){.dtype = like->dtype, .rows = rows};
    tensor->columns = (uint32_t)tv_align_up(columns, 8);
    s->bytes[i] = tv_align_up((uint64_t)rows * tensor->columns * tv_dtype_bytes(like->dtype), 16);
    s->offsets[i] = s->total;
    s->total += tv_align_up(s->bytes[i], TV_BINDING_ALIGNMENT);
}

static void make_stand_in(stand_in *s, const tv_product *p, double budget)
{
    uint32_t size[3];
    choose_size(p, budget, size);
    uint32_t m = size[0], n = size[1], k = size[2];
    bool tn = p->layout == TV_TN, nt = p->layout == TV_NT;
    *s = (stand_in){.product = {.layout = p->layout, .m = m, .n = n, .k = k}};
    place(s, 0, &s->a, p->a, tn ? k : m, tn ? m : k);
    place(s, 1, &s->b, p->b, nt ? n : k, nt ? k : n);
    place(s, 2, &s->c, p->c, m, n);
    s->product.a = &s->a;
    s->product.b = &s->b;
    s->product.c = &s->c;
}

static tv_err record(tv_tuner *t, const stand_in *s, const tv_variant *v, tv_buffer *buffer,
                     tv_program *program)
{
    const tv_product *p = &s->product;
    tv_kernel_choice choice = v->choice;
    tv_dispatch dispatch = {
        .binding_count = 5,
        .groups = {(uint32_t)tv_div_up(p->n, v->tile_n), (uint32_t)tv_div_up(p->m, v->tile_m), 1},
        .args.u = {p->m, p->n, p->k, s->a.columns, s->b.columns, s->c.columns},
        .work = 2.0 * p->m * p->n * p->k,
        .label = "tuning"};
    const tv_tensor *tensors[] = {&s->a, &s->b, &s->c, &s->a, &s->c};
    static const int places[] = {0, 1, 2, 0, 2};
    for (int i = 0; i < 5; i++) {
        choice.storage[i] = tv_storage_type(tensors[i]->dtype);
        dispatch.bindings[i] = (tv_binding){buffer, s->offsets[places[i]], s->bytes[places[i]],
                                            places[i] == 2 ? TV_READ_WRITE : TV_READ};
    }
    TV_TRY(tv_device_kernel(t->device, &choice, &dispatch.kernel));
    for (int i = 0; i < REPEATS; i++) {
        tv_program_barrier(program);
        tv_program_dispatch(program, &dispatch);
    }
    return tv_program_finish(program);
}

// The least device time of some runs behind a first one; infinite where it cannot be had.
static double seconds_of(tv_tuner *t, const stand_in *s, const tv_variant *v, tv_buffer *buffer)
{
    tv_program *program = NULL;
    double best = INFINITY;
    tv_err err = tv_program_create(t->device, &program);
    if (err == TV_OK)
        err = record(t, s, v, buffer, program);
    for (int i = 0; i < RUNS && err == TV_OK; i++) {
        err = tv_program_run(program);
        if (err == TV_OK)
            err = tv_program_wait(program, TV_MARK_END, 0);
        double seconds = err == TV_OK ? tv_program_seconds(program) : 0;
        if (i > 0 && seconds > 0)
            best = fmin(best, seconds);
    }
    if (err != TV_OK)
        tv_debug("%s is not tuned: %s", v->choice.name, tv_error_message());
    tv_program_destroy(&program);
    return best;
}

static size_t measure(tv_tuner *t, const char *kind, const tv_product *p,
                      const tv_variant *variants, size_t count)
{
    const tv_caps *caps = &tv_device_get_info(t->device)->caps;
    stand_in s;
    tv_buffer *buffer = NULL;
    size_t fastest = 0;
    double least = INFINITY;
    make_stand_in(&s, p, tv_device_dispatch_budget(t->device));
    for (int i = 0; i < 3; i++)
        if (s.bytes[i] > caps->max_range)
            return 0;
    if (s.total > caps->max_alloc || tv_buffer_create(t->device, s.total, &buffer) != TV_OK)
        return 0;
    for (size_t i = 0; i < count; i++) {
        double seconds = seconds_of(t, &s, &variants[i], buffer);
        tv_debug("tuning %s: %s, tile %u x %u: %.3f ms", kind, variants[i].choice.name,
                 variants[i].tile_m, variants[i].tile_n, 1e3 * seconds / REPEATS);
        if (seconds < least) {
            least = seconds;
            fastest = i;
        }
    }
    tv_buffer_destroy(&buffer);
    return fastest;
}

size_t tv_tuner_pick(tv_tuner *t, const tv_product *p, const tv_variant *variants, size_t count)
{
    char kind[KEY_LENGTH], name[KEY_LENGTH];
    if (!t || count < 2)
        return 0;
    if (t->pick != NO_PICK)
        return tv_min_size(t->pick, count - 1);
    if (variants[0].packed || variants[1].packed)
        return 0;
    name_kind(p, kind);
    for (size_t i = 0; i < t->count; i++)
        for (size_t v = 0; v < count && strcmp(t->entries[i].kind, kind) == 0; v++) {
            name_variant(&variants[v], name);
            if (strcmp(t->entries[i].variant, name) == 0)
                return v;
        }
    size_t fastest = measure(t, kind, p, variants, count);
    name_variant(&variants[fastest], name);
    remember(t, kind, name);
    t->changed = true;
    return fastest;
}
