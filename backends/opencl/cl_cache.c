// OpenCL: compiled programs, kept on disk. A file is the checksum of a binary, then the binary.
#include "cl_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CACHE_LIMIT = 64 << 20 };

typedef XXH128_canonical_t checksum;

static checksum checksum_of(const void *data, size_t size)
{
    checksum sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(data, size));
    return sum;
}

void tv_cl_cache_path(const tv_cl_device *device, const char *text, const char *options,
                      tv_text *path)
{
    const tv_cl_physical *physical = &device->physical;
    tv_text key = {0};
    const char *wanted = getenv("TRIVIUM_OPENCL_CACHE");
    if (wanted && strcmp(wanted, "0") == 0)
        return;
    if (tv_cache_dir(path) == TV_OK) {
        tv_text_puts(path, "/opencl");
        if (tv_make_dirs(path->data) == TV_OK) {
            tv_text_printf(&key, "%s\n%s\n%s\n%s\n%s", physical->info.name, physical->info.driver,
                           physical->platform_version, options, text);
            checksum sum = checksum_of(key.data, key.length);
            tv_text_puts(path, "/");
            for (size_t i = 0; i < sizeof sum.digest; i++)
                tv_text_printf(path, "%02x", sum.digest[i]);
            tv_text_puts(path, ".bin");
            tv_text_finish(&key);
            return;
        }
    }
    tv_debug("no cache of OpenCL programs: %s", tv_error_message());
    tv_text_finish(path);
}

uint8_t *tv_cl_cache_load(const char *path, size_t *size)
{
    uint8_t *data;
    size_t total;
    checksum sum;
    if (!tv_path_exists(path))
        return NULL;
    if (tv_file_read(path, CACHE_LIMIT, &data, &total) != TV_OK) {
        tv_debug("cache of OpenCL programs: %s", tv_error_message());
        return NULL;
    }
    *size = total > sizeof sum ? total - sizeof sum : 0;
    sum = checksum_of(data + total - *size, *size);
    if (*size == 0 || memcmp(&sum, data, sizeof sum) != 0) {
        tv_debug("%s: is damaged; compiling afresh", path);
        tv_free(data);
        return NULL;
    }
    memmove(data, data + sizeof sum, *size);
    return data;
}

void tv_cl_cache_save(const char *path, const uint8_t *binary, size_t size)
{
    checksum sum = checksum_of(binary, size);
    tv_writer *writer = NULL;
    tv_err err = tv_writer_open(path, &writer);
    if (err == TV_OK)
        err = tv_writer_write(writer, &sum, sizeof sum);
    if (err == TV_OK)
        err = tv_writer_write(writer, binary, size);
    if (err == TV_OK)
        err = tv_writer_commit(&writer);
    else
        tv_writer_abandon(&writer);
    if (err != TV_OK)
        tv_debug("an OpenCL program is not kept: %s", tv_error_message());
}

void tv_cl_cache_remove(const char *path)
{
    if (tv_remove_tree(path) != TV_OK)
        tv_debug("cache of OpenCL programs: %s", tv_error_message());
}
