// Files: whole-file reading, mapping, atomic writing, appending.
#include "base/file.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITER_BUFFER = 1 << 18 };

struct tv_writer {
    int fd;
    char *path, *temporary;
    uint8_t *buffer;
    size_t used;
};

struct tv_appender {
    int fd;
    char *path;
    uint64_t size;
};

static tv_err open_file(const char *path, int *fd, size_t *size)
{
    struct stat info;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return tv_fail_errno("cannot open %s", path);
    if (fstat(*fd, &info) != 0 || S_ISDIR(info.st_mode)) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : errno;
        tv_err err = tv_fail_errno("cannot read %s", path);
        close(*fd);
        return err;
    }
    *size = (size_t)info.st_size;
    return TV_OK;
}

// Reads to the end, or until more than `limit` bytes have come. One more byte is always allocated.
static tv_err read_all(int fd, const char *path, size_t limit, uint8_t **bytes, size_t *used)
{
    size_t capacity = 0;
    do {
        if (*used + 1 >= capacity) // pipes and /proc do not know their size
            TV_RESERVE(*bytes, capacity, 2 * *used + 4096);
        ssize_t got = read(fd, *bytes + *used, capacity - 1 - *used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tv_fail_errno("cannot read %s", path);
        if (got == 0)
            return TV_OK;
        *used += (size_t)got;
    } while (*used <= limit);
    return tv_fail(TV_EFORMAT, "%s: larger than the %zu bytes allowed here", path, limit);
}

tv_err tv_file_read(const char *path, size_t limit, uint8_t **data, size_t *size)
{
    int fd = -1;
    size_t expected = 0, used = 0;
    uint8_t *bytes = NULL;
    TV_TRY(open_file(path, &fd, &expected));
    tv_err err = read_all(fd, path, limit, &bytes, &used);
    close(fd);
    if (err != TV_OK) {
        tv_free(bytes);
        return err;
    }
    bytes[used] = 0;
    *data = bytes;
    *size = used;
    return TV_OK;
}

tv_err tv_mapping_open(const char *path, tv_mapping *mapping)
{
    int fd = -1;
    *mapping = (tv_mapping){0};
    TV_TRY(open_file(path, &fd, &mapping->size));
    if (mapping->size) {
        void *data = mmap(NULL, mapping->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            tv_err err = tv_fail_errno("cannot map %s", path);
            close(fd);
            *mapping = (tv_mapping){0};
            return err;
        }
        mapping->data = data;
    }
    close(fd);
    return TV_OK;
}

void tv_mapping_close(tv_mapping *mapping)
{
    if (mapping->data)
        munmap((void *)(uintptr_t)mapping->data, mapping->size);
    *mapping = (tv_mapping){0};
}

static tv_err write_all(int fd, const char *path, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    while (size) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return tv_fail_errno("cannot write %s", path);
        bytes += put;
        size -= (size_t)put;
    }
    return TV_OK;
}

tv_err tv_writer_open(const char *path, tv_writer **writer)
{
    tv_text temporary = {0};
    tv_text_printf(&temporary, "%s.tmp-%ld", path, (long)getpid());
    int fd = open(temporary.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        tv_err err = tv_fail_errno("cannot create %s", temporary.data);
        tv_text_finish(&temporary);
        return err;
    }
    tv_writer *w = tv_alloc(1, sizeof *w);
    w->fd = fd;
    w->path = tv_strdup(path);
    w->temporary = temporary.data;
    w->buffer = tv_alloc(WRITER_BUFFER, 1);
    *writer = w;
    return TV_OK;
}

static tv_err writer_flush(tv_writer *writer)
{
    size_t used = writer->used;
    writer->used = 0;
    return write_all(writer->fd, writer->path, writer->buffer, used);
}

tv_err tv_writer_write(tv_writer *writer, const void *data, size_t size)
{
    if (writer->used + size > WRITER_BUFFER)
        TV_TRY(writer_flush(writer));
    if (size >= WRITER_BUFFER)
        return write_all(writer->fd, writer->path, data, size);
    memcpy(writer->buffer + writer->used, data, size);
    writer->used += size;
    return TV_OK;
}

static void writer_destroy(tv_writer **writer)
{
    tv_writer *w = *writer;
    tv_free(w->path);
    tv_free(w->temporary);
    tv_free(w->buffer);
    tv_free(w);
    *writer = NULL;
}

tv_err tv_writer_commit(tv_writer **writer)
{
    tv_writer *w = *writer;
    tv_err err = writer_flush(w);
    if (err == TV_OK && fsync(w->fd) != 0 && errno != EINVAL)
        err = tv_fail_errno("cannot write %s", w->path);
    if (close(w->fd) != 0 && err == TV_OK) // network file systems report a full disk here
        err = tv_fail_errno("cannot write %s", w->path);
    w->fd = -1;
    if (err != TV_OK) {
        unlink(w->temporary);
        writer_destroy(writer);
        return err;
    }
    err = tv_rename(w->temporary, w->path);
    writer_destroy(writer);
    return err;
}

void tv_writer_abandon(tv_writer **writer)
{
    if (!*writer)
        return;
    close((*writer)->fd);
    unlink((*writer)->temporary);
    writer_destroy(writer);
}

tv_err tv_file_write(const char *path, const void *data, size_t size)
{
    tv_writer *writer;
    TV_TRY(tv_writer_open(path, &writer));
    tv_err err = tv_writer_write(writer, data, size);
    if (err != TV_OK) {
        tv_writer_abandon(&writer);
        return err;
    }
    return tv_writer_commit(&writer);
}

tv_err tv_appender_open(const char *path, uint64_t keep, tv_appender **appender)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return tv_fail_errno("cannot open %s", path);
    off_t size = lseek(fd, 0, SEEK_END);
    if (size > 0 && (uint64_t)size > keep) {
        if (ftruncate(fd, (off_t)keep) != 0) {
            tv_err err = tv_fail_errno("cannot shorten %s", path);
            close(fd);
            return err;
        }
        size = (off_t)keep;
    }
    tv_appender *a = tv_alloc(1, sizeof *a);
    *a = (tv_appender){.fd = fd, .path = tv_strdup(path), .size = size > 0 ? (uint64_t)size : 0};
    *appender = a;
    return TV_OK;
}

tv_err tv_appender_write(tv_appender *appender, const void *data, size_t size)
{
    TV_TRY(write_all(appender->fd, appender->path, data, size));
    appender->size += size;
    return TV_OK;
}

uint64_t tv_appender_size(const tv_appender *appender)
{
    return appender->size;
}

void tv_appender_close(tv_appender **appender)
{
    if (!*appender)
        return;
    close((*appender)->fd);
    tv_free((*appender)->path);
    tv_free(*appender);
    *appender = NULL;
}
