// safetensors: the strict reader.
#include "formats/safetensors.h"

#include "base/half.h"
#include "formats/json.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t bytes;
} dtypes[TV_ST_DTYPE_COUNT] = {
#define DTYPE_ROW(name, bytes) {#name, bytes},
    TV_SAFETENSORS_DTYPES(DTYPE_ROW)
#undef DTYPE_ROW
};

const char *tv_st_dtype_name(tv_st_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t tv_st_dtype_size(tv_st_dtype dtype)
{
    return dtypes[dtype].bytes;
}

// A tensor while the header is read: where its bytes lie, relative to the end of the header.
typedef struct span {
    size_t begin, end;
    tv_safetensor *tensor;
} span;

static tv_err read_header_size(const uint8_t *data, size_t size, const char *file, size_t *header)
{
    uint64_t n = 0;
    if (size < 8)
        return tv_fail(TV_EFORMAT,
                       "%s: %zu bytes are no safetensors file (8 bytes of length come first); "
                       "truncated? copy it again",
                       file, size);
    for (size_t i = 0; i < 8; i++)
        n |= (uint64_t)data[i] << (8 * i);
    if (n > TV_SAFETENSORS_MAX_HEADER)
        return tv_fail(
            TV_EFORMAT,
            "%s: a header of %llu bytes is over the limit of %d; not a safetensors file?", file,
            (unsigned long long)n, TV_SAFETENSORS_MAX_HEADER);
    if (n > size - 8)
        return tv_fail(TV_EFORMAT,
                       "%s: the header should have %llu bytes, the file has only %zu behind its "
                       "length; truncated? copy it again",
                       file, (unsigned long long)n, size - 8);
    *header = (size_t)n;
    return TV_OK;
}

static tv_err read_metadata(tv_safetensors *out, json_t *object)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return tv_fail(TV_EFORMAT, "%s: __metadata__ is not an object", out->file);
    out->metadata = tv_arena_alloc(&out->arena, json_object_size(object), sizeof *out->metadata);
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return tv_fail(TV_EFORMAT, "%s: __metadata__: the value of '%s' is not a string",
                           out->file, key);
        out->metadata[out->metadata_count++] = (tv_safetensors_pair){
            tv_arena_printf(&out->arena, "%s", key),
            tv_arena_printf(&out->arena, "%s", json_string_value(value)),
        };
    }
    return TV_OK;
}

static bool read_size(const json_t *value, size_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *size = (size_t)json_integer_value(value);
    return true;
}

static tv_err read_dtype(tv_safetensor *t, const json_t *value)
{
    if (!json_is_string(value))
        return tv_fail(TV_EFORMAT, "%s: tensor '%s': dtype is not a string", t->file, t->name);
    for (size_t i = 0; i < TV_ST_DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].name, json_string_value(value)) == 0) {
            t->dtype = (tv_st_dtype)i;
            return TV_OK;
        }
    }
    return tv_fail(TV_EFORMAT, "%s: tensor '%s': dtype '%s' is not supported; convert it to F32",
                   t->file, t->name, json_string_value(value));
}

static tv_err read_shape(tv_safetensor *t, const json_t *value)
{
    if (!json_is_array(value) || json_array_size(value) > TV_SAFETENSORS_MAX_RANK)
        return tv_fail(TV_EFORMAT, "%s: tensor '%s': shape is not a list of at most %d sizes",
                       t->file, t->name, TV_SAFETENSORS_MAX_RANK);
    t->rank = json_array_size(value);
    t->count = 1;
    for (size_t i = 0; i < t->rank; i++) {
        if (!read_size(json_array_get(value, i), &t->shape[i]))
            return tv_fail(TV_EFORMAT, "%s: tensor '%s': shape has what is no unsigned integer",
                           t->file, t->name);
        if (!tv_mul_size(t->count, t->shape[i], &t->count))
            return tv_fail(TV_EFORMAT, "%s: tensor '%s': the product of the shape overflows",
                           t->file, t->name);
    }
    if (!tv_mul_size(t->count, dtypes[t->dtype].bytes, &t->size))
        return tv_fail(TV_EFORMAT, "%s: tensor '%s': the size in bytes overflows", t->file,
                       t->name);
    return TV_OK;
}

static tv_err read_offsets(const tv_safetensor *t, const json_t *value, span *place)
{
    if (!json_is_array(value) || json_array_size(value) != 2 ||
        !read_size(json_array_get(value, 0), &place->begin) ||
        !read_size(json_array_get(value, 1), &place->end))
        return tv_fail(TV_EFORMAT, "%s: tensor '%s': data_offsets are not two unsigned integers",
                       t->file, t->name);
    if (place->end < place->begin)
        return tv_fail(TV_EFORMAT, "%s: tensor '%s': data_offsets [%zu, %zu] run backwards",
                       t->file, t->name, place->begin, place->end);
    if (place->end - place->begin != t->size)
        return tv_fail(TV_EFORMAT,
                       "%s: tensor '%s': data_offsets span %zu bytes, dtype and shape need %zu",
                       t->file, t->name, place->end - place->begin, t->size);
    return TV_OK;
}

static tv_err read_tensor(const json_t *info, tv_safetensor *t, span *place)
{
    if (!json_is_object(info) || json_object_size(info) != 3)
        return tv_fail(TV_EFORMAT,
                       "%s: tensor '%s': must have exactly dtype, shape and data_offsets", t->file,
                       t->name);
    TV_TRY(read_dtype(t, json_object_get(info, "dtype")));
    TV_TRY(read_shape(t, json_object_get(info, "shape")));
    TV_TRY(read_offsets(t, json_object_get(info, "data_offsets"), place));
    place->tensor = t;
    return TV_OK;
}

static tv_err read_entries(tv_safetensors *out, json_t *root, span *spans)
{
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            TV_TRY(read_metadata(out, value));
            continue;
        }
        tv_safetensor *t = &out->tensors[out->count];
        t->file = out->file;
        t->name = tv_arena_printf(&out->arena, "%s", key);
        TV_TRY(read_tensor(value, t, &spans[out->count]));
        out->count++;
    }
    return TV_OK;
}

static int compare_spans(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int compare_tensors(const void *a, const void *b)
{
    return strcmp(((const tv_safetensor *)a)->name, ((const tv_safetensor *)b)->name);
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const tv_safetensors_pair *)a)->key, ((const tv_safetensors_pair *)b)->key);
}

// The tensors must cover the data exactly, so that no byte has two meanings or none.
static tv_err place_tensors(tv_safetensors *out, span *spans, const uint8_t *data, size_t size)
{
    size_t end = 0;
    qsort(spans, out->count, sizeof *spans, compare_spans);
    for (size_t i = 0; i < out->count; i++) {
        tv_safetensor *t = spans[i].tensor;
        if (spans[i].begin != end)
            return tv_fail(TV_EFORMAT,
                           "%s: tensor '%s': begins at byte %zu of the data, but the one before "
                           "it ends at %zu (%s)",
                           t->file, t->name, spans[i].begin, end,
                           spans[i].begin > end ? "a hole" : "an overlap");
        end = spans[i].end;
        if (end > size)
            return tv_fail(TV_EFORMAT,
                           "%s: tensor '%s': ends at byte %zu of the data, the file has %zu; "
                           "truncated? copy it again",
                           t->file, t->name, end, size);
        t->data = data + spans[i].begin;
    }
    if (end != size)
        return tv_fail(TV_EFORMAT, "%s: %zu bytes behind the last tensor belong to nothing",
                       out->file, size - end);
    return TV_OK;
}

static tv_err read_header(tv_safetensors *out, json_t *root, const uint8_t *data, size_t size)
{
    size_t room = json_object_size(root);
    span *spans = tv_alloc(room, sizeof *spans);
    out->tensors = tv_arena_alloc(&out->arena, room, sizeof *out->tensors);
    tv_err err = read_entries(out, root, spans);
    if (err == TV_OK)
        err = place_tensors(out, spans, data, size);
    tv_free(spans);
    qsort(out->tensors, out->count, sizeof *out->tensors, compare_tensors);
    if (out->metadata)
        qsort(out->metadata, out->metadata_count, sizeof *out->metadata, compare_pairs);
    return err;
}

tv_err tv_safetensors_parse(const uint8_t *data, size_t size, const char *file, tv_safetensors *out)
{
    size_t header = 0;
    json_t *root;
    *out = (tv_safetensors){0};
    out->file = tv_arena_printf(&out->arena, "%s", file);
    tv_err err = read_header_size(data, size, file, &header);
    if (err == TV_OK)
        err = tv_json_parse(data + 8, header, file, &root);
    if (err == TV_OK) {
        err = read_header(out, root, data + 8 + header, size - 8 - header);
        json_decref(root);
    }
    if (err != TV_OK)
        tv_safetensors_close(out);
    return err;
}

tv_err tv_safetensors_open(const char *path, tv_safetensors *out)
{
    tv_mapping mapping;
    *out = (tv_safetensors){0};
    TV_TRY(tv_mapping_open(path, &mapping));
    tv_err err = tv_safetensors_parse(mapping.data, mapping.size, path, out);
    if (err != TV_OK) {
        tv_mapping_close(&mapping);
        return err;
    }
    out->mapping = mapping;
    return TV_OK;
}

void tv_safetensors_close(tv_safetensors *file)
{
    tv_mapping_close(&file->mapping);
    tv_arena_finish(&file->arena);
    *file = (tv_safetensors){0};
}

const tv_safetensor *tv_safetensors_find(const tv_safetensors *file, const char *name)
{
    tv_safetensor key = {.name = name};
    if (!file->count)
        return NULL;
    return bsearch(&key, file->tensors, file->count, sizeof key, compare_tensors);
}

const char *tv_safetensors_metadata(const tv_safetensors *file, const char *key)
{
    tv_safetensors_pair wanted = {key, NULL}, *found = NULL;
    if (file->metadata_count)
        found =
            bsearch(&wanted, file->metadata, file->metadata_count, sizeof wanted, compare_pairs);
    return found ? found->value : NULL;
}

tv_err tv_safetensors_get(const tv_safetensors *file, const char *name, const tv_safetensor **out)
{
    *out = tv_safetensors_find(file, name);
    if (*out)
        return TV_OK;
    const char **names = tv_alloc(file->count, sizeof *names);
    for (size_t i = 0; i < file->count; i++)
        names[i] = file->tensors[i].name;
    const char *near = tv_nearest_name(name, names, file->count);
    tv_free(names);
    return tv_fail(TV_EFORMAT, "%s: no tensor '%s'%s%s%s", file->file, name,
                   near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "");
}

static tv_err read_f64(const tv_safetensor *tensor, float *out)
{
    for (size_t i = 0; i < tensor->count; i++) {
        double value;
        memcpy(&value, tensor->data + i * sizeof value, sizeof value);
        out[i] = (float)value;
        if (isinf(out[i]) && isfinite(value))
            return tv_fail(TV_EFORMAT, "%s: tensor '%s': %g at element %zu does not fit a float",
                           tensor->file, tensor->name, value, i);
    }
    return TV_OK;
}

static void read_16(const tv_safetensor *tensor, float *out)
{
    for (size_t i = 0; i < tensor->count; i++) {
        uint16_t bits;
        memcpy(&bits, tensor->data + i * sizeof bits, sizeof bits);
        out[i] = tensor->dtype == TV_ST_F16 ? tv_float_from_f16(bits) : tv_float_from_bf16(bits);
    }
}

tv_err tv_safetensors_read_f32(const tv_safetensor *tensor, float *out, size_t count)
{
    if (count != tensor->count)
        return tv_fail(TV_EFORMAT, "%s: tensor '%s': has %zu elements, %zu are needed",
                       tensor->file, tensor->name, tensor->count, count);
    switch (tensor->dtype) {
    case TV_ST_F32:
        if (tensor->size)
            memcpy(out, tensor->data, tensor->size);
        return TV_OK;
    case TV_ST_F16:
    case TV_ST_BF16:
        read_16(tensor, out);
        return TV_OK;
    case TV_ST_F64:
        return read_f64(tensor, out);
    default:
        return tv_fail(TV_EFORMAT, "%s: tensor '%s': cannot read %s as float; convert it to F32",
                       tensor->file, tensor->name, tv_st_dtype_name(tensor->dtype));
    }
}
