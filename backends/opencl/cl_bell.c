// OpenCL: the bell, which a driver rings when a segment is over, so that who waits for it need not
// ask all the time.
#include "cl_internal.h"

#include "base/memory.h"

#include <math.h>
#include <time.h>

enum { CLOSE_TIMEOUT_SECONDS = 10 };

struct tv_cl_bell {
    pthread_mutex_t lock;
    pthread_cond_t rung;
    uint64_t rings;
    size_t expected; // callbacks that have not come yet
};

static struct timespec time_in(double seconds)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    double nanoseconds = (double)at.tv_nsec + fmod(seconds, 1) * 1e9;
    at.tv_sec += (time_t)seconds + (time_t)(nanoseconds / 1e9);
    at.tv_nsec = (long)fmod(nanoseconds, 1e9);
    return at;
}

tv_cl_bell *tv_cl_bell_create(void)
{
    tv_cl_bell *bell = tv_alloc(1, sizeof *bell);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&bell->rung, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&bell->lock, NULL);
    return bell;
}

// A callback may come after its event is seen to be over. One that never comes leaves the bell.
void tv_cl_bell_destroy(tv_cl_bell *bell)
{
    struct timespec end = time_in(CLOSE_TIMEOUT_SECONDS);
    int failed = 0;
    if (!bell)
        return;
    pthread_mutex_lock(&bell->lock);
    while (bell->expected > 0 && failed == 0)
        failed = pthread_cond_timedwait(&bell->rung, &bell->lock, &end);
    bool silent = bell->expected == 0;
    pthread_mutex_unlock(&bell->lock);
    if (!silent)
        return;
    pthread_cond_destroy(&bell->rung);
    pthread_mutex_destroy(&bell->lock);
    tv_free(bell);
}

// In a thread of the driver.
static void CL_CALLBACK ring(cl_event event, cl_int status, void *context)
{
    tv_cl_bell *bell = context;
    (void)event;
    (void)status;
    pthread_mutex_lock(&bell->lock);
    bell->rings++;
    bell->expected--;
    pthread_cond_broadcast(&bell->rung);
    pthread_mutex_unlock(&bell->lock);
}

static void expect(tv_cl_bell *bell, int more)
{
    pthread_mutex_lock(&bell->lock);
    bell->expected += (size_t)more;
    pthread_mutex_unlock(&bell->lock);
}

void tv_cl_bell_attach(const tv_cl_device *device, cl_event event)
{
    if (!device->bell)
        return;
    expect(device->bell, 1);
    if (device->cl.clSetEventCallback(event, CL_COMPLETE, ring, device->bell) != CL_SUCCESS)
        expect(device->bell, -1); // who waits for it looks from time to time
}

uint64_t tv_cl_bell_rings(tv_cl_bell *bell)
{
    if (!bell)
        return 0;
    pthread_mutex_lock(&bell->lock);
    uint64_t rings = bell->rings;
    pthread_mutex_unlock(&bell->lock);
    return rings;
}

void tv_cl_bell_wait(tv_cl_bell *bell, uint64_t rings, double seconds)
{
    struct timespec end = time_in(seconds);
    int failed = 0;
    pthread_mutex_lock(&bell->lock);
    while (bell->rings == rings && failed == 0)
        failed = pthread_cond_timedwait(&bell->rung, &bell->lock, &end);
    pthread_mutex_unlock(&bell->lock);
}
