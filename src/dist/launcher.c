// The launcher of a rank, watched by a thread and, once the job is lost, ended by a process.
#include "dist/launcher.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { ANCESTORS_MAX = 8, FILES_MAX = 4096 };

static const char *const launchers[] = {"mpirun", "mpiexec",    "orterun",
                                        "orted",  "prterun",    "prted",
                                        "srun",   "slurmstepd", "hydra_pmi_proxy"};
enum {
    CRASHES_AT_SIGTERM = 3, // of these, the first, while they wait for a host that is out of reach
    DISMISSED = 6,          // Open MPI's own
    HYDRA = 8,              // MPICH's
    GRACE_MILLISECONDS = 8000,
};

typedef struct ancestor {
    char stat_path[32];
    pid_t pid, parent;
    unsigned long long started; // tells it from a later process of that number
    char name[32];
} ancestor;

// From this process's parent up to the launcher; none where none of them is one.
static ancestor ancestors[ANCESTORS_MAX];
static int ancestor_count;

static void nap(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

// Fills in what /proc says; false where the process is gone. Calls only what a forked child of a
// process with threads may call.
static bool look(const char *stat_path, ancestor *a)
{
    char text[1024];
    int file = open(stat_path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    if (length <= 0)
        return false;
    text[length] = 0;
    const char *name = strchr(text, '('), *rest = strrchr(text, ')');
    if (!name || !rest || rest[1] != ' ')
        return false;
    size_t size = (size_t)(rest - name - 1);
    size = size < sizeof a->name ? size : sizeof a->name - 1;
    memcpy(a->name, name + 1, size);
    a->name[size] = 0;
    if (rest[2] == 'Z')
        return false;
    rest += 4;
    a->parent = (pid_t)strtol(rest, NULL, 10);
    for (int field = 4; field < 22 && rest; field++) {
        rest = strchr(rest, ' ');
        rest = rest ? rest + 1 : NULL;
    }
    a->started = rest ? strtoull(rest, NULL, 10) : 0;
    return rest != NULL;
}

static bool is_alive(const ancestor *a)
{
    ancestor now;
    return look(a->stat_path, &now) && now.started == a->started;
}

static int launcher_kind(const ancestor *a)
{
    int count = sizeof launchers / sizeof *launchers;
    for (int i = 0; i < count; i++)
        if (strncmp(a->name, launchers[i], 15) == 0) // the kernel keeps 15 characters
            return i;
    return -1;
}

static void find_ancestors(void)
{
    pid_t pid = getppid();
    int count = 0;
    for (bool found = false; count < ANCESTORS_MAX && pid > 1 && !found; count++) {
        ancestor *a = &ancestors[count];
        a->pid = pid;
        snprintf(a->stat_path, sizeof a->stat_path, "/proc/%d/stat", (int)pid);
        if (!look(a->stat_path, a))
            break;
        pid = a->parent;
        found = launcher_kind(a) >= 0;
    }
    ancestor_count = count > 0 && launcher_kind(&ancestors[count - 1]) >= 0 ? count : 0;
}

static void *guard(void *unused)
{
    (void)unused;
    for (;;) {
        nap(500);
        for (int i = 0; i < ancestor_count; i++)
            if (!is_alive(&ancestors[i]))
                _exit(1); // nobody is left to read a word
    }
    return NULL;
}

void tv_launcher_guard(void)
{
    pthread_t thread;
    sigset_t all, before;
    find_ancestors();
    if (ancestor_count == 0)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&thread, NULL, guard, NULL) == 0)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// Sends the signal if it still runs then.
static void end_after(const ancestor *a, long milliseconds, int signal)
{
    for (long waited = 0; waited < milliseconds && is_alive(a); waited += 100)
        nap(100);
    if (is_alive(a))
        kill(a->pid, signal);
}

void tv_launcher_dismiss(void)
{
    const ancestor *a = ancestor_count ? &ancestors[ancestor_count - 1] : NULL;
    int kind = a ? launcher_kind(a) : -1;
    if (kind == HYDRA)
        kill(getpid(), SIGKILL); // after a mere exit code mpiexec would wait for a stopped rank
    if (kind < 0 || kind >= DISMISSED || fork() != 0)
        return;
    setsid(); // the launcher kills the group of its rank
    for (int file = 0; file < FILES_MAX; file++)
        close(file); // and reads its output to the end
    if (kind >= CRASHES_AT_SIGTERM)
        end_after(a, GRACE_MILLISECONDS, SIGTERM);
    end_after(a, kind < CRASHES_AT_SIGTERM ? GRACE_MILLISECONDS : 1000, SIGKILL);
    _exit(0);
}
