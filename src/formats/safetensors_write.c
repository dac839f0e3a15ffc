// safetensors: the streaming writer.
#include "formats/safetensors.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

// A declared tensor in the order of the file.
typedef struct slot {
    const tv_safetensors_spec *spec;
    size_t index, size; // in the caller's order; bytes
} slot;

static int compare_slots(const void *a, const void *b)
{
    const slot *x = a, *y = b;
    size_t wide_x = tv_st_dtype_size(x->spec->dtype), wide_y = tv_st_dtype_size(y->spec->dtype);
    if (wide_x != wide_y)
        return wide_x > wide_y ? -1 : 1;
    return strcmp(x->spec->name, y->spec->name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_names(const tv_safetensors_spec *specs, size_t count)
{
    const char **names = tv_alloc(count, sizeof *names);
    for (size_t i = 0; i < count; i++) {
        const char *name = names[i] = specs[i].name;
        TV_CHECK(tv_utf8_valid((const uint8_t *)name, strlen(name), NULL) &&
                     strcmp(name, "__metadata__") != 0,
                 "'%s' cannot name a tensor", name);
    }
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        TV_CHECK(strcmp(names[i - 1], names[i]) != 0, "two tensors are called '%s'", names[i]);
    tv_free(names);
}

static slot *order_slots(const tv_safetensors_spec *specs, size_t count)
{
    slot *slots = tv_alloc(count, sizeof *slots);
    for (size_t i = 0; i < count; i++) {
        size_t size = tv_st_dtype_size(specs[i].dtype);
        TV_CHECK(specs[i].rank <= TV_SAFETENSORS_MAX_RANK, "'%s' has rank %zu", specs[i].name,
                 specs[i].rank);
        for (size_t d = 0; d < specs[i].rank; d++)
            TV_CHECK(tv_mul_size(size, specs[i].shape[d], &size), "'%s' is too large",
                     specs[i].name);
        slots[i] = (slot){&specs[i], i, size};
    }
    qsort(slots, count, sizeof *slots, compare_slots);
    return slots;
}

static void put_metadata(tv_text *text, const tv_safetensors_pair *metadata, size_t count)
{
    tv_text_puts(text, "{\"__metadata__\":{\"format\":\"pt\"");
    for (size_t i = 0; i < count; i++) {
        TV_CHECK(strcmp(metadata[i].key, "format") != 0, "the writer itself sets 'format'");
        tv_text_puts(text, ",");
        tv_text_json_string(text, metadata[i].key, strlen(metadata[i].key));
        tv_text_puts(text, ":");
        tv_text_json_string(text, metadata[i].value, strlen(metadata[i].value));
    }
    tv_text_puts(text, "}");
}

static void put_tensor(tv_text *text, const tv_safetensors_spec *spec, size_t begin, size_t end)
{
    tv_text_puts(text, ",");
    tv_text_json_string(text, spec->name, strlen(spec->name));
    tv_text_printf(text, ":{\"dtype\":\"%s\",\"shape\":[", tv_st_dtype_name(spec->dtype));
    for (size_t d = 0; d < spec->rank; d++)
        tv_text_printf(text, "%s%zu", d ? "," : "", spec->shape[d]);
    tv_text_printf(text, "],\"data_offsets\":[%zu,%zu]}", begin, end);
}

static void put_header(tv_text *text, const slot *slots, size_t count,
                       const tv_safetensors_pair *metadata, size_t metadata_count)
{
    size_t offset = 0;
    put_metadata(text, metadata, metadata_count);
    for (size_t i = 0; i < count; i++) {
        size_t begin = offset;
        TV_CHECK(tv_add_size(begin, slots[i].size, &offset), "the tensors are too large");
        put_tensor(text, slots[i].spec, begin, offset);
    }
    tv_text_puts(text, "}");
    while (text->length % 8)
        tv_text_puts(text, " ");
}

// Where the bytes go: the file, and the checksum beside it.
typedef struct sink {
    tv_writer *writer;
    tv_checksum_stream *checksum;
} sink;

static tv_err sink_write(sink *to, const void *data, size_t size)
{
    tv_checksum_stream_add(to->checksum, data, size);
    return tv_writer_write(to->writer, data, size);
}

static tv_err write_header(sink *to, const char *path, const tv_text *header)
{
    uint8_t length[8];
    if (header->length > TV_SAFETENSORS_MAX_HEADER)
        return tv_fail(TV_EFORMAT, "%s: a header of %zu bytes is over the format's limit", path,
                       header->length);
    for (size_t i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)header->length >> (8 * i));
    TV_TRY(sink_write(to, length, sizeof length));
    return sink_write(to, header->data, header->length);
}

static tv_err write_data(sink *to, const slot *slots, size_t count, tv_safetensors_fetch fetch,
                         void *context)
{
    uint8_t *piece = tv_alloc(TV_SAFETENSORS_PIECE, 1);
    tv_err err = TV_OK;
    for (size_t i = 0; i < count; i++) {
        for (size_t offset = 0; offset < slots[i].size; offset += TV_SAFETENSORS_PIECE) {
            size_t size = tv_min_size(slots[i].size - offset, TV_SAFETENSORS_PIECE);
            TV_GOTO(out, fetch(context, slots[i].index, offset, piece, size));
            TV_GOTO(out, sink_write(to, piece, size));
        }
    }
out:
    tv_free(piece);
    return err;
}

tv_err tv_safetensors_write(const char *path, const tv_safetensors_spec *specs, size_t count,
                            const tv_safetensors_pair *metadata, size_t metadata_count,
                            tv_safetensors_fetch fetch, void *context, tv_checksum *sum)
{
    tv_text header = {0};
    sink to = {0};
    TV_TRY(tv_writer_open(path, &to.writer));
    check_names(specs, count);
    slot *slots = order_slots(specs, count);
    put_header(&header, slots, count, metadata, metadata_count);
    to.checksum = tv_checksum_stream_create();
    tv_err err = write_header(&to, path, &header);
    if (err == TV_OK)
        err = write_data(&to, slots, count, fetch, context);
    if (err == TV_OK)
        err = tv_writer_commit(&to.writer);
    if (err == TV_OK && sum)
        *sum = tv_checksum_stream_sum(to.checksum);
    tv_writer_abandon(&to.writer);
    tv_checksum_stream_destroy(&to.checksum);
    tv_text_finish(&header);
    tv_free(slots);
    return err;
}
