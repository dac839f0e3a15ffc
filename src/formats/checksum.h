// Checksums: XXH3-128 of files and memory, as hexadecimal text. They find damage, not forgery.
#ifndef TV_FORMATS_CHECKSUM_H
#define TV_FORMATS_CHECKSUM_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

// The hexadecimal form is the canonical one (big endian): what `xxhsum -H128` prints.
typedef struct tv_checksum {
    uint64_t size; // bytes
    char xxh3[33]; // 32 lower-case hexadecimal digits
} tv_checksum;

tv_checksum tv_checksum_memory(const void *data, size_t size);

// Reads the whole file; refuses what is not a regular file.
tv_err tv_checksum_file(const char *path, tv_checksum *sum);

// For data that passes by in pieces.
typedef struct tv_checksum_stream tv_checksum_stream;
tv_checksum_stream *tv_checksum_stream_create(void);
void tv_checksum_stream_add(tv_checksum_stream *stream, const void *data, size_t size);
tv_checksum tv_checksum_stream_sum(const tv_checksum_stream *stream);
void tv_checksum_stream_destroy(tv_checksum_stream **stream);

#endif
