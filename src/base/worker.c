// Workers: a thread with a queue of jobs.
#include "base/worker.h"

#include "base/memory.h"

#include <pthread.h>
#include <string.h>

typedef struct job {
    tv_worker_job *run;
    void *context;
} job;

struct tv_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t given, done; // signalled when the numbers of that name change
    job *jobs;                  // those that are not over, from number `over` + 1 on
    size_t count, capacity;
    uint64_t over;
    bool closing;
    tv_kept_error error; // of the first job that failed
};

static tv_err run(tv_worker *w, job next)
{
    if (w->error.err != TV_OK)
        return TV_OK;
    pthread_mutex_unlock(&w->lock);
    tv_err err = next.run(next.context);
    pthread_mutex_lock(&w->lock);
    return err;
}

static void *work(void *argument)
{
    tv_worker *w = argument;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (w->count == 0 && !w->closing)
            pthread_cond_wait(&w->given, &w->lock);
        if (w->count == 0)
            break;
        tv_error_keep(&w->error, run(w, w->jobs[0]));
        memmove(w->jobs, w->jobs + 1, --w->count * sizeof *w->jobs);
        w->over++;
        pthread_cond_broadcast(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

tv_err tv_worker_create(tv_worker **worker)
{
    tv_worker *w = tv_alloc(1, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->given, NULL);
    pthread_cond_init(&w->done, NULL);
    int refused = pthread_create(&w->thread, NULL, work, w);
    if (refused) {
        tv_free(w);
        return tv_fail(TV_EIO, "no further thread: %s", strerror(refused));
    }
    *worker = w;
    return TV_OK;
}

void tv_worker_destroy(tv_worker **worker)
{
    tv_worker *w = *worker;
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->given);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->given);
    pthread_cond_destroy(&w->done);
    tv_free(w->jobs);
    tv_free(w);
    *worker = NULL;
}

uint64_t tv_worker_give(tv_worker *w, tv_worker_job *wanted, void *context)
{
    pthread_mutex_lock(&w->lock);
    TV_RESERVE(w->jobs, w->capacity, w->count + 1);
    w->jobs[w->count++] = (job){wanted, context};
    uint64_t number = w->over + w->count;
    pthread_cond_broadcast(&w->given);
    pthread_mutex_unlock(&w->lock);
    return number;
}

tv_err tv_worker_wait(tv_worker *w, uint64_t number)
{
    pthread_mutex_lock(&w->lock);
    if (number == 0)
        number = w->over + w->count;
    while (w->over < number)
        pthread_cond_wait(&w->done, &w->lock);
    tv_err err = tv_error_tell(&w->error);
    pthread_mutex_unlock(&w->lock);
    return err;
}
