// Loops spread over cores: one thread for each part, this one included.
#include "base/parallel.h"

#include "base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PARTS_MAX = 64 };

typedef struct part {
    pthread_t thread;
    bool started;
    tv_parallel_job *job;
    void *context;
    size_t first, end;
} part;

static void *run(void *argument)
{
    const part *p = argument;
    p->job(p->context, p->first, p->end);
    return NULL;
}

// The cores that this process is not kept from, by mpirun for one.
static size_t count_cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (size_t)count : 1;
}

void tv_parallel(size_t count, size_t least, tv_parallel_job *job, void *context)
{
    part parts[PARTS_MAX];
    size_t most = tv_max_size(count / tv_max_size(least, 1), 1);
    size_t used = tv_min_size(tv_min_size(count_cores(), PARTS_MAX), most);
    for (size_t i = used; i-- > 0;) {
        part *p = &parts[i];
        *p = (part){.job = job, .context = context};
        p->first = count * i / used;
        p->end = count * (i + 1) / used;
        p->started = i > 0 && pthread_create(&p->thread, NULL, run, p) == 0;
        if (!p->started)
            run(p);
    }
    for (size_t i = 0; i < used; i++)
        if (parts[i].started)
            pthread_join(parts[i].thread, NULL);
}

typedef struct queue {
    size_t count;
    atomic_size_t next, done;
    tv_parallel_piece *job;
    void *context;
} queue;

static bool handle_next(queue *q)
{
    size_t index = atomic_fetch_add(&q->next, 1);
    if (index >= q->count)
        return false;
    q->job(q->context, index);
    atomic_fetch_add(&q->done, 1);
    return true;
}

static void *handle_all(void *argument)
{
    while (handle_next(argument))
        continue;
    return NULL;
}

void tv_parallel_each(size_t count, tv_parallel_piece *job, tv_parallel_done *done, void *context)
{
    pthread_t threads[PARTS_MAX];
    queue q = {.count = count, .job = job, .context = context};
    size_t wanted = tv_min_size(tv_min_size(count_cores(), PARTS_MAX), count), started = 0;
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, handle_all, &q) == 0)
        started++;
    while (handle_next(&q))
        if (done)
            done(context, atomic_load(&q.done));
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

// Refusals of advice change nothing but the speed.
static void fetch(void *context, size_t first, size_t end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
#ifdef MADV_POPULATE_WRITE
    (void)madvise((char *)context + first * page, (end - first) * page, MADV_POPULATE_WRITE);
#else
    for (size_t i = first; i < end; i++) {
        volatile char *touched = (char *)context + i * page;
        *touched = *touched;
    }
#endif
}

void tv_fetch_pages(void *memory, size_t size)
{
    enum { WORTH_A_THREAD = 1024 };
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)memory + page - 1) / page,
              end = ((uintptr_t)memory + size) / page;
    if (first >= end)
        return;
    (void)madvise((void *)(first * page), (end - first) * page, MADV_HUGEPAGE);
    tv_parallel(end - first, WORTH_A_THREAD, fetch, (void *)(first * page));
}
