// Host memory: allocation that aborts when there is none, checked sizes, and an arena.
#include "base/memory.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_BLOCK = 64 * 1024 };

struct tv_arena_block {
    struct tv_arena_block *previous;
    size_t used, size;
    max_align_t bytes[];
};

uint64_t tv_host_memory(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool tv_mul_size(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

bool tv_add_size(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

void *tv_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    TV_CHECK(memory, "out of host memory for %zu x %zu bytes", count, size);
    return memory;
}

void *tv_realloc(void *memory, size_t count, size_t size)
{
    size_t bytes;
    TV_CHECK(tv_mul_size(count, size, &bytes), "size overflow: %zu x %zu", count, size);
    memory = realloc(memory, bytes ? bytes : 1);
    TV_CHECK(memory, "out of host memory for %zu bytes", bytes);
    return memory;
}

void tv_free(void *memory)
{
    free(memory);
}

char *tv_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(tv_alloc(size, 1), text, size);
}

void tv_reserve(void **array, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return;
    size_t grown = tv_max_size(needed, *capacity + *capacity / 2 + 8);
    *array = tv_realloc(*array, grown, size);
    *capacity = grown;
}

void *tv_arena_alloc(tv_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    TV_CHECK(tv_mul_size(count, size, &bytes), "size overflow: %zu x %zu", count, size);
    bytes = tv_align_up(bytes ? bytes : 1, sizeof(max_align_t));
    struct tv_arena_block *block = arena->last;
    if (!block || block->size - block->used < bytes) {
        size_t room = tv_max_size(bytes, ARENA_BLOCK);
        block = tv_alloc(1, sizeof *block + room);
        block->size = room;
        block->previous = arena->last;
        arena->last = block;
    }
    void *memory = (char *)block->bytes + block->used;
    block->used += bytes;
    return memory;
}

char *tv_arena_printf(tv_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    TV_CHECK(n >= 0, "bad format '%s'", format);
    char *text = tv_arena_alloc(arena, (size_t)n + 1, 1);
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

void tv_arena_finish(tv_arena *arena)
{
    while (arena->last) {
        struct tv_arena_block *block = arena->last;
        arena->last = block->previous;
        tv_free(block);
    }
}
