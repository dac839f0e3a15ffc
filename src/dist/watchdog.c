// The watchdog's thread: heartbeats out, heartbeats in, and what follows where they stay away.
#include "dist/watchdog.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "dist/launcher.h"
#include "dist/verdict.h"
#include "dist/watch_connect.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BEAT_SECONDS 1.0
// A thread that did not run for so long was stopped itself, with the whole job or its machine: then
// the silence of the others says nothing.
#define PAUSE_SECONDS 3.0
#define LAST_WORDS_SECONDS 0.2

enum { TICK_MILLISECONDS = 200 };

typedef enum word {
    BEAT, // alive
    BYE,  // this rank ends in order
    END,  // the job is over, and its line is printed
} word;

typedef struct message {
    uint32_t word, waiting;
    uint64_t waits;
    double since;
} message;

// What is yet to come in, and to go out, of a message.
typedef struct stream {
    int socket; // -1: not connected, or no longer
    message in, out;
    size_t in_done, out_left;
} stream;

struct tv_watchdog {
    pthread_t thread;
    tv_watch_limits limits;
    uint32_t rank, size;
    tv_pulse *pulses;
    stream *streams;
    struct pollfd *polls;
    char *hosts; // [size][TV_WATCH_HOST_BYTES]
    double last_beat, last_tick;
    atomic_bool closing;
};

// ------------------------------------------------------------------------------- the main thread

static _Atomic uint64_t waits_begun, waits_ended, changed_ns;

void tv_watchdog_wait_begins(void)
{
    atomic_fetch_add(&waits_begun, 1);
    atomic_store(&changed_ns, tv_now_ns());
}

void tv_watchdog_wait_ends(void)
{
    atomic_fetch_add(&waits_ended, 1);
    atomic_store(&changed_ns, tv_now_ns());
}

static message compose(word w)
{
    message m = {.word = w, .waits = atomic_load(&waits_begun)};
    m.waiting = m.waits > atomic_load(&waits_ended);
    m.since = tv_now_seconds() - 1e-9 * (double)atomic_load(&changed_ns);
    return m;
}

// ------------------------------------------------------------------------------------- last words

// Whoever takes it prints the line of this process; the other keeps silent.
static atomic_flag has_spoken = ATOMIC_FLAG_INIT;

static void nap(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&time, NULL);
}

static void end_process(void)
{
    tv_launcher_dismiss();
    _exit(tv_exit_code(TV_ELOST));
}

// Sends what is left of the message before, if anything; a message goes out whole or not at all.
static void say(stream *s, const message *m)
{
    if (s->socket < 0)
        return;
    for (int i = 0; i < 2; i++) {
        const char *rest = (const char *)(&s->out + 1) - s->out_left;
        ssize_t sent =
            s->out_left ? send(s->socket, rest, s->out_left, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        s->out_left -= sent > 0 ? (size_t)sent : 0;
        if (i == 1 || s->out_left)
            return;
        s->out = *m;
        s->out_left = sizeof *m;
    }
}

static void say_to_all(tv_watchdog *w, word what)
{
    message m = compose(what);
    for (uint32_t r = 0; r < w->size; r++)
        say(&w->streams[r], &m);
}

// Closing a connection with unread bytes in it would take back what was sent.
static void say_and_hang_up(tv_watchdog *w, word what)
{
    char rest[512];
    double end = tv_now_seconds() + LAST_WORDS_SECONDS;
    say_to_all(w, what);
    for (uint32_t r = 0; r < w->size; r++)
        if (w->streams[r].socket >= 0)
            shutdown(w->streams[r].socket, SHUT_WR);
    for (bool open = true; open && tv_now_seconds() < end; nap(0.005)) {
        open = false;
        for (uint32_t r = 0; r < w->size; r++) {
            int s = w->streams[r].socket;
            ssize_t got = s >= 0 ? recv(s, rest, sizeof rest, MSG_DONTWAIT) : 0;
            open = open || got > 0 || (got < 0 && errno == EAGAIN);
        }
    }
}

static void pronounce(tv_watchdog *w, const tv_verdict *verdict)
{
    char line[512];
    if (atomic_flag_test_and_set(&has_spoken))
        return; // the main thread is about to end the process
    tv_verdict_line(verdict, w->pulses, line);
    tv_error("%s", line);
    say_and_hang_up(w, END);
    end_process();
}

// Another rank has said it. Its process must be the first to end: what it printed is under way.
static void obey(void)
{
    if (atomic_flag_test_and_set(&has_spoken))
        return;
    nap(2 * LAST_WORDS_SECONDS);
    end_process();
}

// ------------------------------------------------------------------------------------- the thread

static void take(tv_watchdog *w, uint32_t rank, const message *m)
{
    tv_pulse *p = &w->pulses[rank];
    p->heard = tv_now_seconds();
    p->waiting = m->waiting != 0;
    p->waits = m->waits;
    p->since = m->since;
    p->left = p->left || m->word == BYE;
    if (m->word == END)
        obey();
}

static void hang_up(tv_watchdog *w, uint32_t rank, bool ended)
{
    tv_pulse *p = &w->pulses[rank];
    close(w->streams[rank].socket);
    w->streams[rank].socket = -1;
    if (!ended)
        return;
    p->ended = true;
    p->heard = tv_now_seconds();
}

// Takes in what has come from a rank. A connection that times out, or that no network leads to any
// more, says no more than silence does.
static void listen_to(tv_watchdog *w, uint32_t rank)
{
    stream *s = &w->streams[rank];
    while (s->socket >= 0) {
        ssize_t got =
            recv(s->socket, (char *)&s->in + s->in_done, sizeof s->in - s->in_done, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0) {
            hang_up(w, rank, got == 0 || errno == ECONNRESET || errno == EPIPE);
            return;
        }
        s->in_done += (size_t)got;
        if (s->in_done < sizeof s->in)
            continue;
        s->in_done = 0;
        take(w, rank, &s->in);
    }
}

static void listen_to_all(tv_watchdog *w)
{
    for (uint32_t r = 0; r < w->size; r++)
        w->polls[r] = (struct pollfd){.fd = w->streams[r].socket, .events = POLLIN};
    if (poll(w->polls, w->size, TICK_MILLISECONDS) <= 0)
        return;
    for (uint32_t r = 0; r < w->size; r++)
        if (w->polls[r].revents)
            listen_to(w, r);
}

static void look_around(tv_watchdog *w)
{
    double now = tv_now_seconds();
    message own = compose(BEAT);
    if (now - w->last_tick > PAUSE_SECONDS)
        for (uint32_t r = 0; r < w->size; r++)
            w->pulses[r].heard = now;
    w->last_tick = now;
    w->pulses[w->rank].waiting = own.waiting != 0;
    w->pulses[w->rank].waits = own.waits;
    w->pulses[w->rank].since = own.since;
    tv_verdict verdict = tv_find_verdict(w->pulses, w->size, w->rank, &w->limits, now);
    if (verdict.loss != TV_LOSS_NONE)
        pronounce(w, &verdict);
    if (now - w->last_beat < BEAT_SECONDS)
        return;
    w->last_beat = now;
    say_to_all(w, BEAT);
}

static void *watch(void *argument)
{
    tv_watchdog *w = argument;
    while (!atomic_load(&w->closing)) {
        listen_to_all(w);
        look_around(w);
    }
    return NULL;
}

// ------------------------------------------------------------------------------- opening, closing

static void free_watchdog(tv_watchdog *w)
{
    for (uint32_t r = 0; r < w->size; r++)
        if (w->streams[r].socket >= 0)
            close(w->streams[r].socket);
    tv_free(w->pulses);
    tv_free(w->streams);
    tv_free(w->polls);
    tv_free(w->hosts);
    tv_free(w);
}

static bool start_thread(tv_watchdog *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main thread's
    int error = pthread_create(&w->thread, NULL, watch, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        tv_warn("rank %u has no watchdog: no thread: %s", w->rank, strerror(error));
    return error == 0;
}

static tv_watchdog *create(const tv_comm *comm)
{
    tv_watchdog *w = tv_alloc(1, sizeof *w);
    w->rank = tv_comm_rank(comm);
    w->size = tv_comm_size(comm);
    w->pulses = tv_alloc(w->size, sizeof *w->pulses);
    w->streams = tv_alloc(w->size, sizeof *w->streams);
    w->polls = tv_alloc(w->size, sizeof *w->polls);
    w->hosts = tv_alloc(w->size, TV_WATCH_HOST_BYTES);
    return w;
}

tv_err tv_watchdog_open(tv_comm *comm, tv_watchdog **dog)
{
    *dog = NULL;
    if (tv_comm_size(comm) < 2)
        return TV_OK;
    tv_watchdog *w = create(comm);
    int *sockets = tv_alloc(w->size, sizeof *sockets);
    bool wanted = false;
    tv_err err = tv_watch_connect(comm, &w->limits, w->hosts, w->pulses, sockets, &wanted);
    double now = tv_now_seconds();
    for (uint32_t r = 0; r < w->size; r++) {
        w->streams[r].socket = sockets[r];
        w->pulses[r].watched = sockets[r] >= 0;
        w->pulses[r].heard = now;
    }
    tv_free(sockets);
    w->last_tick = now;
    atomic_store(&changed_ns, tv_now_ns());
    if (err == TV_OK && wanted && start_thread(w))
        *dog = w;
    if (!*dog) {
        say_and_hang_up(w, BYE);
        free_watchdog(w);
    }
    return err;
}

void tv_watchdog_close(tv_watchdog **dog)
{
    tv_watchdog *w = *dog;
    if (!w)
        return;
    atomic_store(&w->closing, true);
    pthread_join(w->thread, NULL);
    say_and_hang_up(w, BYE);
    free_watchdog(w);
    *dog = NULL;
}

void tv_watchdog_settle(tv_watchdog *dog)
{
    if (!dog)
        return;
    double patience = dog->limits.silence + 5;
    for (double end = tv_now_seconds() + patience; tv_now_seconds() < end;)
        nap(0.1); // the thread may end the process meanwhile
    if (atomic_flag_test_and_set(&has_spoken))
        for (;;)
            pause();
    atomic_store(&dog->closing, true);
    pthread_join(dog->thread, NULL);
    say_and_hang_up(dog, END);
}
