// Host memory: allocation that aborts when the host is out of memory, checked sizes, and an arena.
#ifndef TV_BASE_MEMORY_H
#define TV_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Zeroed memory for count x size bytes. Aborts on overflow or when there is none; never NULL.
void *tv_alloc(size_t count, size_t size);
// Grows or shrinks; new bytes are not zeroed. Aborts like tv_alloc.
void *tv_realloc(void *memory, size_t count, size_t size);
void tv_free(void *memory);
char *tv_strdup(const char *text);

// `*array` has room for `*capacity` elements of `size` bytes; makes room for at least `needed`.
void tv_reserve(void **array, size_t *capacity, size_t needed, size_t size);
#define TV_RESERVE(array, capacity, needed)                                                        \
    tv_reserve((void **)&(array), &(capacity), (needed), sizeof *(array))

// Bytes of memory that the machine has.
uint64_t tv_host_memory(void);

// false where the result does not fit.
bool tv_mul_size(size_t a, size_t b, size_t *product);
bool tv_add_size(size_t a, size_t b, size_t *sum);

static inline size_t tv_align_up(size_t value, size_t alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

static inline size_t tv_div_up(size_t value, size_t divisor)
{
    return value / divisor + (value % divisor != 0);
}

static inline size_t tv_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t tv_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

// An arena: many small objects of one lifetime, freed together.
typedef struct tv_arena {
    struct tv_arena_block *last;
} tv_arena;

// Zeroed, aligned for any type, valid until tv_arena_finish. Never NULL.
void *tv_arena_alloc(tv_arena *arena, size_t count, size_t size);
char *tv_arena_printf(tv_arena *arena, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
void tv_arena_finish(tv_arena *arena);

#endif
