// Weights and optimizer state between a plan and safetensors files.
#include "train/weights.h"

#include "base/half.h"
#include "base/memory.h"
#include "base/text.h"
#include "formats/safetensors.h"

#include <string.h>

// What a file holds: one of its tensors is rows [first, first+rows) of a device tensor, or of its
// master where it has one.
typedef struct stored {
    const char *name;
    const tv_tensor *tensor;
    uint32_t first, rows;
    bool matrix;
} stored;

typedef struct stored_list {
    stored *items;
    size_t count;
    tv_arena arena;
} stored_list;

// Appends the parts of weight `index`, which live in `tensor`.
static void list_parts(stored_list *list, const tv_model *model, size_t index,
                       const tv_tensor *tensor, const char *prefix)
{
    const tv_weight *weight = model->weights[index]->weight;
    for (uint32_t i = 0; i < weight->part_count; i++) {
        const tv_weight_part *part = &weight->parts[i];
        list->items[list->count++] =
            (stored){tv_arena_printf(&list->arena, "%s%s", prefix, part->name), tensor, part->first,
                     part->rows, weight->matrix};
    }
}

static stored_list list_weights(const tv_model *model)
{
    stored_list list = {.items = tv_alloc(model->weight_count * TV_WEIGHT_PARTS, sizeof(stored))};
    for (size_t i = 0; i < model->weight_count; i++)
        list_parts(&list, model, i, model->weights[i], "");
    return list;
}

static stored_list list_moments(const tv_model *model, const tv_moments *moments)
{
    stored_list list = {.items =
                            tv_alloc(2 * model->weight_count * TV_WEIGHT_PARTS, sizeof(stored))};
    for (size_t i = 0; i < model->weight_count; i++) {
        list_parts(&list, model, i, moments->first[i], "exp_avg.");
        list_parts(&list, model, i, moments->second[i], "exp_avg_sq.");
    }
    return list;
}

static void list_finish(stored_list *list)
{
    tv_free(list->items);
    tv_arena_finish(&list->arena);
}

// The tensor that holds the values in full.
static const tv_tensor *holder(const tv_tensor *tensor)
{
    return tensor->master ? tensor->master : tensor;
}

// Elements of a tensor and of its master, rounded to what each stores.
static tv_err write_both(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                         const float *values)
{
    if (tensor->master)
        TV_TRY(tv_plan_write(plan, tensor->master, first, count, values));
    return tv_plan_write(plan, tensor, first, count, values);
}

// ----------------------------------------------------------------------------------- as an array

tv_err tv_weights_read(tv_plan *plan, const tv_model *model, size_t first_weight, size_t end_weight,
                       float *values)
{
    for (size_t i = first_weight; i < end_weight; i++) {
        uint64_t count = tv_tensor_count(model->weights[i]);
        TV_TRY(tv_plan_read(plan, holder(model->weights[i]), 0, count, values));
        values += count;
    }
    return TV_OK;
}

tv_err tv_weights_write(tv_plan *plan, const tv_model *model, size_t first_weight,
                        size_t end_weight, const float *values)
{
    for (size_t i = first_weight; i < end_weight; i++) {
        uint64_t count = tv_tensor_count(model->weights[i]);
        TV_TRY(write_both(plan, model->weights[i], 0, count, values));
        values += count;
    }
    return TV_OK;
}

tv_err tv_moments_read(tv_plan *plan, const tv_model *model, tv_tensor *const *tensors,
                       float *values)
{
    for (size_t i = 0; i < model->weight_count; i++) {
        uint64_t count = tv_tensor_count(tensors[i]);
        TV_TRY(tv_plan_read(plan, tensors[i], 0, count, values));
        values += count;
    }
    return TV_OK;
}

tv_err tv_moments_write(tv_plan *plan, const tv_model *model, tv_tensor *const *tensors,
                        const float *values)
{
    for (size_t i = 0; i < model->weight_count; i++) {
        uint64_t count = tv_tensor_count(tensors[i]);
        TV_TRY(tv_plan_write(plan, tensors[i], 0, count, values));
        values += count;
    }
    return TV_OK;
}

// ------------------------------------------------------------------------------------- loading

// A base model's checkpoint has no "transformer." or "model." before its names.
static const tv_safetensor *find_tensor(const tv_safetensors *file, const char *name)
{
    static const char *const prefixes[] = {"transformer.", "model."};
    const tv_safetensor *tensor = tv_safetensors_find(file, name);
    for (size_t i = 0; i < 2 && !tensor; i++)
        if (tv_starts_with(name, prefixes[i]))
            tensor = tv_safetensors_find(file, name + strlen(prefixes[i]));
    return tensor;
}

static tv_err check_shape(const tv_safetensor *t, const stored *s)
{
    uint32_t columns = s->tensor->columns;
    if (s->matrix && (t->rank != 2 || t->shape[0] != s->rows || t->shape[1] != columns))
        return tv_fail(TV_EFORMAT,
                       "%s: %s must have shape [%u, %u] in this model; config.json and "
                       "weights do not belong together",
                       t->file, t->name, s->rows, columns);
    if (!s->matrix && (t->rank != 1 || t->shape[0] != columns))
        return tv_fail(TV_EFORMAT,
                       "%s: %s must have shape [%u] in this model; config.json and "
                       "weights do not belong together",
                       t->file, t->name, columns);
    return TV_OK;
}

static tv_err load_one(tv_plan *plan, const tv_safetensors *file, const stored *s)
{
    const tv_safetensor *tensor = find_tensor(file, s->name);
    if (!tensor)
        return tv_safetensors_get(file, s->name, &tensor);
    TV_TRY(check_shape(tensor, s));
    float *values = tv_alloc(tensor->count, sizeof *values);
    tv_err err = tv_safetensors_read_f32(tensor, values, tensor->count);
    if (err == TV_OK)
        err = write_both(plan, s->tensor, (uint64_t)s->first * s->tensor->columns, tensor->count,
                         values);
    tv_free(values);
    return err;
}

// Buffers that old checkpoints carry and that are no weights; a tied head that was stored all the
// same.
static bool is_ignored(const char *name, bool tied)
{
    return tv_ends_with(name, ".attn.bias") || tv_ends_with(name, ".attn.masked_bias") ||
           tv_ends_with(name, ".rotary_emb.inv_freq") ||
           (tied && strcmp(name, "lm_head.weight") == 0);
}

static tv_err check_unused(const tv_safetensors *file, const stored_list *list, bool tied)
{
    for (size_t i = 0; i < file->count; i++) {
        const tv_safetensor *tensor = &file->tensors[i];
        bool used = is_ignored(tensor->name, tied);
        for (size_t j = 0; j < list->count && !used; j++)
            used = find_tensor(file, list->items[j].name) == tensor;
        if (!used)
            return tv_fail(TV_EFORMAT, "%s: tensor %s does not belong to this model", file->file,
                           tensor->name);
    }
    return TV_OK;
}

static tv_err load_list(tv_plan *plan, const stored_list *list, const char *path, bool tied)
{
    tv_safetensors file = {0};
    tv_err err = tv_safetensors_open(path, &file);
    for (size_t i = 0; i < list->count && err == TV_OK; i++)
        err = load_one(plan, &file, &list->items[i]);
    if (err == TV_OK)
        err = check_unused(&file, list, tied);
    tv_safetensors_close(&file);
    return err;
}

tv_err tv_weights_load(tv_plan *plan, const tv_model *model, const char *path)
{
    stored_list list = list_weights(model);
    tv_err err = load_list(plan, &list, path, model->head == model->embedding);
    list_finish(&list);
    return err == TV_OK ? tv_weights_fill_tables(plan, model) : err;
}

tv_err tv_moments_load(tv_plan *plan, const tv_model *model, const tv_moments *moments,
                       const char *path)
{
    stored_list list = list_moments(model, moments);
    tv_err err = load_list(plan, &list, path, false);
    list_finish(&list);
    return err;
}

// -------------------------------------------------------------------------------------- saving

typedef struct save_context {
    tv_collect *from;
    const stored_list *list;
} save_context;

// Weights and moments are stored as floats or bfloat16.
static tv_st_dtype file_dtype(const tv_tensor *tensor)
{
    TV_CHECK(tensor->dtype == TV_F32 || tensor->dtype == TV_BF16, "%s is saved", tensor->name);
    return tensor->dtype == TV_BF16 ? TV_ST_BF16 : TV_ST_F32;
}

static tv_err fetch_bf16(tv_collect *from, const tv_tensor *tensor, uint64_t first, size_t count,
                         uint16_t *out)
{
    float *values = tv_alloc(count, sizeof *values);
    tv_err err = tv_collect_read(from, tensor, first, count, values);
    for (size_t i = 0; i < count && err == TV_OK; i++)
        out[i] = tv_bf16_from_float(values[i]); // exact
    tv_free(values);
    return err;
}

static tv_err fetch(void *context, size_t index, size_t offset, void *out, size_t size)
{
    const save_context *save = context;
    const stored *s = &save->list->items[index];
    const tv_tensor *tensor = holder(s->tensor);
    size_t width = tv_dtype_bytes(tensor->dtype);
    uint64_t first = (uint64_t)s->first * tensor->columns + offset / width;
    if (tensor->dtype == TV_BF16)
        return fetch_bf16(save->from, tensor, first, size / width, out);
    return tv_collect_read(save->from, tensor, first, size / width, out);
}

static tv_err save_list(tv_collect *from, const stored_list *list, const char *path,
                        tv_checksum *sum)
{
    tv_safetensors_spec *specs = tv_alloc(list->count, sizeof *specs);
    for (size_t i = 0; i < list->count; i++) {
        const stored *s = &list->items[i];
        tv_st_dtype dtype = file_dtype(holder(s->tensor));
        specs[i] = (tv_safetensors_spec){
            .name = s->name, .dtype = dtype, .rank = 1, .shape = {s->tensor->columns}};
        if (s->matrix)
            specs[i] = (tv_safetensors_spec){
                .name = s->name, .dtype = dtype, .rank = 2, .shape = {s->rows, s->tensor->columns}};
    }
    save_context context = {from, list};
    tv_err err = tv_safetensors_write(path, specs, list->count, NULL, 0, fetch, &context, sum);
    tv_free(specs);
    return err;
}

tv_err tv_weights_save(tv_collect *from, const tv_model *model, const char *path, tv_checksum *sum)
{
    stored_list list = list_weights(model);
    tv_err err = save_list(from, &list, path, sum);
    list_finish(&list);
    return err;
}

tv_err tv_moments_save(tv_collect *from, const tv_model *model, const tv_moments *moments,
                       const char *path, tv_checksum *sum)
{
    stored_list list = list_moments(model, moments);
    tv_err err = save_list(from, &list, path, sum);
    list_finish(&list);
    return err;
}

// ----------------------------------------------------------------------------------- beginning

tv_err tv_weights_fill_tables(tv_plan *plan, const tv_model *model)
{
    if (!model->rope_table)
        return TV_OK;
    uint64_t count = tv_tensor_count(model->rope_table);
    float *values = tv_alloc(count, sizeof *values);
    tv_model_fill_rope(model, values);
    tv_err err = tv_plan_write(plan, model->rope_table, 0, count, values);
    tv_free(values);
    return err;
}

// In parts of a size that the caches of a machine hold for the most part.
tv_err tv_weights_init(tv_plan *plan, const tv_model *model, uint64_t seed)
{
    enum { PART = 1 << 21 };
    float *values = tv_alloc(PART, sizeof *values);
    tv_err err = TV_OK;
    for (size_t i = 0; i < model->weight_count; i++) {
        uint64_t count = tv_tensor_count(model->weights[i]);
        for (uint64_t first = 0; first < count && err == TV_OK; first += PART) {
            size_t part = tv_min_size(count - first, PART);
            tv_model_init_weight(model, i, seed, first, part, values);
            err = write_both(plan, model->weights[i], first, part, values);
        }
    }
    tv_free(values);
    return err == TV_OK ? tv_weights_fill_tables(plan, model) : err;
}

// A fresh array is full of zeros; one part of it will do for all.
static tv_err clear(tv_plan *plan, const tv_tensor *tensor, const float *zeros, size_t part)
{
    uint64_t count = tv_tensor_count(tensor);
    for (uint64_t first = 0; first < count; first += part)
        TV_TRY(tv_plan_write(plan, tensor, first, tv_min_size(count - first, part), zeros));
    return TV_OK;
}

tv_err tv_moments_clear(tv_plan *plan, const tv_model *model, const tv_moments *moments)
{
    enum { PART = 1 << 18 };
    float *zeros = tv_alloc(PART, sizeof *zeros);
    tv_err err = TV_OK;
    for (size_t i = 0; i < model->weight_count && err == TV_OK; i++) {
        err = clear(plan, moments->first[i], zeros, PART);
        if (err == TV_OK)
            err = clear(plan, moments->second[i], zeros, PART);
    }
    tv_free(zeros);
    return err;
}
