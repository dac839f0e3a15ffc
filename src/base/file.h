// Files: whole-file reading, mapping, and writing that survives a crash at any point.
#ifndef TV_BASE_FILE_H
#define TV_BASE_FILE_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The whole file, with a zero byte behind it that is not counted. Free with tv_free.
// TV_EIO if it cannot be read, TV_EFORMAT if it is larger than `limit` bytes.
tv_err tv_file_read(const char *path, size_t limit, uint8_t **data, size_t *size);

// A read-only mapping. An empty file gives data = NULL, size = 0.
typedef struct tv_mapping {
    const uint8_t *data;
    size_t size;
} tv_mapping;
tv_err tv_mapping_open(const char *path, tv_mapping *mapping);
void tv_mapping_close(tv_mapping *mapping);

// A file being written: buffered, with the first error kept. Nothing is visible under `path` until
// tv_writer_commit has written, fsynced, closed and renamed it.
typedef struct tv_writer tv_writer;
tv_err tv_writer_open(const char *path, tv_writer **writer);
tv_err tv_writer_write(tv_writer *writer, const void *data, size_t size);
tv_err tv_writer_commit(tv_writer **writer); // destroys the writer, also on failure
void tv_writer_abandon(tv_writer **writer);  // removes what was written; accepts NULL inside

// tv_writer in one call.
tv_err tv_file_write(const char *path, const void *data, size_t size);

// A file appended to line by line (logs). Opened at most `keep` bytes long: the rest is cut off.
typedef struct tv_appender tv_appender;
tv_err tv_appender_open(const char *path, uint64_t keep, tv_appender **appender);
tv_err tv_appender_write(tv_appender *appender, const void *data,
                         size_t size); // reaches the kernel
uint64_t tv_appender_size(const tv_appender *appender);
void tv_appender_close(tv_appender **appender);

bool tv_path_exists(const char *path);
bool tv_path_is_dir(const char *path);
tv_err tv_make_dirs(const char *path);              // like mkdir -p
tv_err tv_remove_tree(const char *path);            // like rm -rf; a missing path is no error
tv_err tv_sync_dir(const char *path);               // makes renames inside durable
tv_err tv_rename(const char *from, const char *to); // and makes it durable in the parent

// Names in a directory (without "." and ".."), sorted bytewise.
typedef struct tv_names {
    char **names;
    size_t count, capacity;
} tv_names;
tv_err tv_list_dir(const char *path, tv_names *names);
void tv_names_finish(tv_names *names);

// "a/b" joined with one slash, appended to an empty text. Returns text->data for use as argument.
const char *tv_path_join(tv_text *text, const char *directory, const char *name);
// The part behind the last slash.
const char *tv_path_base(const char *path);

// ~/.cache/trivium (XDG_CACHE_HOME is respected), created. `path` is appended to.
tv_err tv_cache_dir(tv_text *path);

#endif
