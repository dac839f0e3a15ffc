// Manifest: manifest.json of a checkpoint folder: the size and checksum of every file in it, and a
// few facts. It is written last, so a folder with a manifest that verifies is a whole checkpoint.
#ifndef TV_FORMATS_MANIFEST_H
#define TV_FORMATS_MANIFEST_H

#include "base/error.h"
#include "base/memory.h"
#include "formats/checksum.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TV_MANIFEST_NAME "manifest.json"

typedef struct tv_manifest_file {
    const char *name; // a plain file name, never a path
    tv_checksum sum;
} tv_manifest_file;

// A fact: an integer, or a string where `text` is not NULL.
typedef struct tv_manifest_fact {
    const char *key, *text;
    int64_t number;
} tv_manifest_fact;

// {0} is an empty manifest. Strings are copied in and belong to it.
typedef struct tv_manifest {
    tv_manifest_file *files;
    tv_manifest_fact *facts;
    size_t file_count, file_capacity, fact_count, fact_capacity;
    tv_arena arena;
} tv_manifest;

// Names and keys are unique; a name must be one that parsing accepts.
void tv_manifest_add_file(tv_manifest *manifest, const char *name, const tv_checksum *sum);
void tv_manifest_add_int(tv_manifest *manifest, const char *key, int64_t value);
void tv_manifest_add_string(tv_manifest *manifest, const char *key, const char *value);

// false (NULL) where there is no such fact of that type.
bool tv_manifest_get_int(const tv_manifest *manifest, const char *key, int64_t *value);
const char *tv_manifest_get_string(const tv_manifest *manifest, const char *key);
const tv_manifest_file *tv_manifest_find_file(const tv_manifest *manifest, const char *name);

// manifest.json in `directory`, written atomically.
tv_err tv_manifest_write(const tv_manifest *manifest, const char *directory);

// Both need tv_manifest_finish only after TV_OK.
tv_err tv_manifest_parse(const uint8_t *data, size_t size, const char *file, tv_manifest *out);
tv_err tv_manifest_read(const char *directory, tv_manifest *out);
void tv_manifest_finish(tv_manifest *manifest);

// Reads every listed file: TV_EFORMAT names the first that is missing or has another size or
// checksum. Files that are not listed are ignored.
tv_err tv_manifest_verify(const tv_manifest *manifest, const char *directory);

#endif
