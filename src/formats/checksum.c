// Checksums: XXH3-128 through libxxhash.
#include "formats/checksum.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { READ_BUFFER = 1 << 20 };

struct tv_checksum_stream {
    XXH3_state_t *state;
    uint64_t size;
};

static tv_checksum make_checksum(XXH128_hash_t hash, uint64_t size)
{
    tv_checksum sum = {.size = size};
    snprintf(sum.xxh3, sizeof sum.xxh3, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    return sum;
}

tv_checksum tv_checksum_memory(const void *data, size_t size)
{
    return make_checksum(XXH3_128bits(data, size), size);
}

tv_checksum_stream *tv_checksum_stream_create(void)
{
    tv_checksum_stream *stream = tv_alloc(1, sizeof *stream);
    stream->state = XXH3_createState();
    TV_CHECK(stream->state, "out of host memory for a checksum");
    XXH3_128bits_reset(stream->state);
    return stream;
}

void tv_checksum_stream_add(tv_checksum_stream *stream, const void *data, size_t size)
{
    XXH3_128bits_update(stream->state, data, size);
    stream->size += size;
}

tv_checksum tv_checksum_stream_sum(const tv_checksum_stream *stream)
{
    return make_checksum(XXH3_128bits_digest(stream->state), stream->size);
}

void tv_checksum_stream_destroy(tv_checksum_stream **stream)
{
    if (!*stream)
        return;
    XXH3_freeState((*stream)->state);
    tv_free(*stream);
    *stream = NULL;
}

// read() and not a mapping: a disk that fails while mapped kills the process instead of returning
// an error.
static tv_err add_file(const char *path, int fd, tv_checksum_stream *stream)
{
    uint8_t *buffer = tv_alloc(READ_BUFFER, 1);
    tv_err err = TV_OK;
    for (;;) {
        ssize_t got = read(fd, buffer, READ_BUFFER);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            err = tv_fail_errno("cannot read %s", path);
        if (got <= 0)
            break;
        tv_checksum_stream_add(stream, buffer, (size_t)got);
    }
    tv_free(buffer);
    return err;
}

tv_err tv_checksum_file(const char *path, tv_checksum *sum)
{
    struct stat info;
    // Non-blocking, so that a pipe in the file's place cannot hang the open.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return tv_fail_errno("cannot open %s", path);
    tv_err err = TV_OK;
    if (fstat(fd, &info) != 0)
        err = tv_fail_errno("cannot read %s", path);
    else if (!S_ISREG(info.st_mode))
        err = tv_fail(TV_EFORMAT, "%s: not a regular file", path);
    if (err == TV_OK) {
        tv_checksum_stream *stream = tv_checksum_stream_create();
        err = add_file(path, fd, stream);
        *sum = tv_checksum_stream_sum(stream);
        tv_checksum_stream_destroy(&stream);
    }
    close(fd);
    return err;
}
