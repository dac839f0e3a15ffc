// Fuzzing of the safetensors reader: no input may crash it, and what it accepts must be readable.
// clang -fsanitize=fuzzer,address,undefined, with src/base/*.c, src/formats/*.c and their
// libraries.
#include "formats/safetensors.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tv_safetensors file;
    if (tv_safetensors_parse(data, size, "input", &file) != TV_OK)
        return 0;
    size_t total = 0;
    for (size_t i = 0; i < file.count; i++) {
        const tv_safetensor *t = &file.tensors[i];
        TV_CHECK(tv_safetensors_find(&file, t->name) == t, "'%s' is not found", t->name);
        TV_CHECK(t->data >= data && t->data + t->size <= data + size, "outside of the file");
        total += t->size;
        if (tv_st_dtype_size(t->dtype) * t->count == t->size && t->count < 1 << 20) {
            float *out = tv_alloc(t->count, sizeof *out);
            (void)tv_safetensors_read_f32(t, out, t->count);
            tv_free(out);
        }
    }
    TV_CHECK(total <= size, "%zu bytes of tensors in %zu", total, size);
    tv_safetensors_close(&file);
    return 0;
}
