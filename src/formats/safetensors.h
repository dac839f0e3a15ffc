// safetensors: a strict reader that trusts nothing in the file, and a streaming writer.
// Format: https://github.com/huggingface/safetensors#format
//   u64 (little endian) n | n bytes of JSON | data
#ifndef TV_FORMATS_SAFETENSORS_H
#define TV_FORMATS_SAFETENSORS_H

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/checksum.h"

#include <stddef.h>
#include <stdint.h>

enum { TV_SAFETENSORS_MAX_RANK = 8, TV_SAFETENSORS_MAX_HEADER = 100000000 };

// X(name, bytes): the element types of whole bytes. (Those of 4 and 6 bits are refused.)
#define TV_SAFETENSORS_DTYPES(X)                                                                   \
    X(BOOL, 1)                                                                                     \
    X(U8, 1)                                                                                       \
    X(I8, 1)                                                                                       \
    X(F8_E5M2, 1)                                                                                  \
    X(F8_E4M3, 1)                                                                                  \
    X(F8_E8M0, 1)                                                                                  \
    X(I16, 2)                                                                                      \
    X(U16, 2)                                                                                      \
    X(F16, 2)                                                                                      \
    X(BF16, 2)                                                                                     \
    X(I32, 4)                                                                                      \
    X(U32, 4)                                                                                      \
    X(F32, 4)                                                                                      \
    X(F64, 8)                                                                                      \
    X(I64, 8)                                                                                      \
    X(U64, 8)                                                                                      \
    X(C64, 8)

typedef enum tv_st_dtype {
#define TV_ST_ENUM(name, bytes) TV_ST_##name,
    TV_SAFETENSORS_DTYPES(TV_ST_ENUM)
#undef TV_ST_ENUM
        TV_ST_DTYPE_COUNT
} tv_st_dtype;

const char *tv_st_dtype_name(tv_st_dtype dtype);
size_t tv_st_dtype_size(tv_st_dtype dtype); // bytes per element

// Row-major, little endian. `data` may be unaligned for its type: copy, do not cast.
typedef struct tv_safetensor {
    const char *name, *file; // file: for error lines
    tv_st_dtype dtype;
    size_t rank;
    size_t shape[TV_SAFETENSORS_MAX_RANK];
    size_t count, size; // elements (1 for a scalar, rank 0), bytes
    const uint8_t *data;
} tv_safetensor;

typedef struct tv_safetensors_pair {
    const char *key, *value;
} tv_safetensors_pair;

// An opened file. Tensors and metadata are sorted by name; all pointers are valid until close.
typedef struct tv_safetensors {
    const char *file;
    tv_safetensor *tensors;
    tv_safetensors_pair *metadata;
    size_t count, metadata_count;
    tv_mapping mapping;
    tv_arena arena;
} tv_safetensors;

// Reads the header of a file in memory; the tensors are views into `data`, which must outlive
// `*out`. `file` is for error lines and is copied. TV_EFORMAT unless everything holds: header
// within the file and at most TV_SAFETENSORS_MAX_HEADER bytes; UTF-8 JSON without duplicate keys;
// `__metadata__` of strings; each tensor with exactly dtype, shape and data_offsets, in unsigned
// integers that agree; no holes, no overlaps, no trailing bytes.
tv_err tv_safetensors_parse(const uint8_t *data, size_t size, const char *file,
                            tv_safetensors *out);
tv_err tv_safetensors_open(const char *path, tv_safetensors *out); // maps the file
void tv_safetensors_close(tv_safetensors *file);                   // also after a failed open

// NULL where there is none.
const tv_safetensor *tv_safetensors_find(const tv_safetensors *file, const char *name);
const char *tv_safetensors_metadata(const tv_safetensors *file, const char *key);

// find, with TV_EFORMAT and the nearest name where there is none.
tv_err tv_safetensors_get(const tv_safetensors *file, const char *name, const tv_safetensor **out);

// The elements of an F32, F16, BF16 or F64 tensor as float; `count` must be the tensor's.
// TV_EFORMAT for other types and for finite F64 values that a float cannot hold.
tv_err tv_safetensors_read_f32(const tv_safetensor *tensor, float *out, size_t count);

// What to write: names are unique, valid UTF-8 and not "__metadata__".
typedef struct tv_safetensors_spec {
    const char *name;
    tv_st_dtype dtype;
    size_t rank;
    size_t shape[TV_SAFETENSORS_MAX_RANK];
} tv_safetensors_spec;

// Fills `out` with `size` bytes of specs[index] from byte `offset` on. Called for one tensor after
// the other, front to back, with at most TV_SAFETENSORS_PIECE bytes at a time (whole elements), so
// that no second copy of a model is needed. Its errors end the writing and are passed on.
enum { TV_SAFETENSORS_PIECE = 4 << 20 };
typedef tv_err (*tv_safetensors_fetch)(void *context, size_t index, size_t offset, void *out,
                                       size_t size);

// Writes the file (through tv_writer: whole and durable, or not at all). `__metadata__` gets
// {"format": "pt"} and `metadata` (unique keys). The order in the file is the reference
// implementation's: wide element types first, then by name. `sum`, where not NULL, receives size
// and checksum of the file.
tv_err tv_safetensors_write(const char *path, const tv_safetensors_spec *specs, size_t count,
                            const tv_safetensors_pair *metadata, size_t metadata_count,
                            tv_safetensors_fetch fetch, void *context, tv_checksum *sum);

#endif
