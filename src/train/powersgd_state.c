// powersgd.safetensors: scale [1]; q.WEIGHT [rank, columns], and rank.N.error.WEIGHT [rows,
// columns] for each rank.
#include "train/powersgd_state.h"

#include "base/file.h"
#include "base/memory.h"
#include "dist/lowrank.h"
#include "formats/safetensors.h"

#include <stdio.h>
#include <string.h>

#define FILE_NAME "powersgd.safetensors"

// ----------------------------------------------------------------------------------------- saving

typedef struct item {
    const void *values; // NULL: an error of a rank
    uint32_t rank;
    size_t matrix;
} item;

typedef struct saving {
    tv_collect *from;
    double scale;
    item *items; // of the file
    tv_safetensors_spec *specs;
    size_t count;
    tv_arena arena;
} saving;

static tv_err fetch(void *context, size_t index, size_t offset, void *out, size_t size)
{
    const saving *s = context;
    const item *wanted = &s->items[index];
    if (!wanted->values)
        return tv_collect_read_error(s->from, wanted->rank, wanted->matrix, offset / sizeof(float),
                                     size / sizeof(float), out);
    memcpy(out, (const char *)wanted->values + offset, size);
    return TV_OK;
}

static void add(saving *s, item what, tv_safetensors_spec spec)
{
    s->items[s->count] = what;
    s->specs[s->count++] = spec;
}

static void list_items(saving *s)
{
    const tv_powersgd *p = s->from->powersgd;
    size_t matrices = tv_powersgd_count(p), ranks = tv_comm_size(s->from->comm);
    s->items = tv_alloc(1 + matrices * (1 + ranks), sizeof *s->items);
    s->specs = tv_alloc(1 + matrices * (1 + ranks), sizeof *s->specs);
    add(s, (item){.values = &s->scale}, (tv_safetensors_spec){"scale", TV_ST_F64, 1, {1}});
    for (size_t i = 0; i < matrices; i++) {
        const tv_powersgd_matrix *m = tv_powersgd_get(p, i);
        const char *name = tv_arena_printf(&s->arena, "q.%s", m->weight->name);
        add(s, (item){.values = m->right},
            (tv_safetensors_spec){name, TV_ST_F32, 2, {tv_powersgd_rank(p), m->columns}});
        for (uint32_t r = 0; r < ranks; r++) {
            name = tv_arena_printf(&s->arena, "rank.%u.error.%s", r, m->weight->name);
            add(s, (item){.rank = r, .matrix = i},
                (tv_safetensors_spec){name, TV_ST_F32, 2, {m->rows, m->columns}});
        }
    }
}

tv_err tv_powersgd_save(tv_collect *from, const char *folder)
{
    if (!from->powersgd || tv_powersgd_scale(from->powersgd) == 0)
        return TV_OK;
    saving s = {.from = from, .scale = tv_powersgd_scale(from->powersgd)};
    tv_text path = {0};
    list_items(&s);
    tv_err err = tv_safetensors_write(tv_path_join(&path, folder, FILE_NAME), s.specs, s.count,
                                      NULL, 0, fetch, &s, NULL);
    tv_free(s.items);
    tv_free(s.specs);
    tv_arena_finish(&s.arena);
    tv_text_finish(&path);
    return err;
}

// -------------------------------------------------------------------------------------- restoring

// *found is false where there is none, or one of another shape where that is `allowed`.
static tv_err read(const tv_safetensors *file, const char *name, size_t rows, size_t columns,
                   bool allowed, float *out, bool *found)
{
    const tv_safetensor *tensor = tv_safetensors_find(file, name);
    bool fits =
        tensor && tensor->rank == 2 && tensor->shape[0] == rows && tensor->shape[1] == columns;
    *found = fits;
    if (!tensor || (!fits && allowed))
        return TV_OK;
    if (!fits)
        return tv_fail(TV_EFORMAT, "%s: %s is not of this model: not [%zu, %zu]", file->file, name,
                       rows, columns);
    TV_TRY(tv_safetensors_read_f32(tensor, out, rows * columns));
    if (!tv_lowrank_is_sound(out, rows * columns))
        return tv_fail(TV_EFORMAT, "%s: %s has a value that is not finite", file->file, name);
    return TV_OK;
}

static tv_err restore_matrix(const tv_collect *to, const tv_safetensors *file, size_t ranks,
                             const tv_powersgd_matrix *m, float *room)
{
    char name[256];
    bool found;
    size_t count = m->rows * m->columns;
    snprintf(name, sizeof name, "q.%s", m->weight->name);
    TV_TRY(read(file, name, tv_powersgd_rank(to->powersgd), m->columns, true, m->right, &found));
    for (size_t r = tv_comm_rank(to->comm); r < ranks; r += tv_comm_size(to->comm)) {
        snprintf(name, sizeof name, "rank.%zu.error.%s", r, m->weight->name);
        TV_TRY(read(file, name, m->rows, m->columns, false, room, &found));
        for (size_t i = 0; i < count && found; i++)
            m->error[i] += room[i];
    }
    return TV_OK;
}

// How many ranks' errors there are.
static size_t count_ranks(const tv_safetensors *file)
{
    size_t ranks = 0;
    for (size_t i = 0; i < file->count; i++) {
        unsigned rank;
        if (sscanf(file->tensors[i].name, "rank.%u.error.", &rank) == 1)
            ranks = tv_max_size(ranks, (size_t)rank + 1);
    }
    return ranks;
}

static tv_err restore(const tv_collect *to, const tv_safetensors *file)
{
    const tv_safetensor *tensor;
    double scale;
    size_t ranks = count_ranks(file), most = 0;
    TV_TRY(tv_safetensors_get(file, "scale", &tensor));
    if (tensor->dtype != TV_ST_F64 || tensor->count != 1)
        return tv_fail(TV_EFORMAT, "%s: scale is no number", file->file);
    memcpy(&scale, tensor->data, sizeof scale);
    if (!(scale >= 1 && scale < 1e38))
        return tv_fail(TV_EFORMAT, "%s: scale is out of range", file->file);
    tv_powersgd_set_scale(to->powersgd, scale);
    for (size_t i = 0; i < tv_powersgd_count(to->powersgd); i++)
        most = tv_max_size(most, tv_tensor_count(tv_powersgd_get(to->powersgd, i)->weight));
    float *room = tv_alloc(most, sizeof *room);
    tv_err err = TV_OK;
    for (size_t i = 0; i < tv_powersgd_count(to->powersgd) && err == TV_OK; i++)
        err = restore_matrix(to, file, ranks, tv_powersgd_get(to->powersgd, i), room);
    tv_free(room);
    return err;
}

tv_err tv_powersgd_restore(const tv_collect *to, const char *folder)
{
    tv_text path = {0};
    tv_safetensors file = {0};
    tv_err err = TV_OK;
    tv_path_join(&path, folder, FILE_NAME);
    if (to->powersgd && tv_path_exists(path.data)) {
        err = tv_safetensors_open(path.data, &file);
        if (err == TV_OK)
            err = restore(to, &file);
        tv_safetensors_close(&file);
    }
    tv_text_finish(&path);
    return err;
}
