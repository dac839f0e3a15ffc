// Stop requests: a signal sets a flag; the first SIGINT gives the next one its default effect back.
#include "base/stop.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static volatile sig_atomic_t stop_flag;
static bool installed;

static void on_signal(int number)
{
    (void)number;
    stop_flag = 1;
}

static void put_handlers(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR2};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        // Slurm sends SIGTERM twice, and means once.
        action.sa_flags = (int)(SA_RESTART | (signals[i] == SIGINT ? SA_RESETHAND : 0));
        sigaction(signals[i], &action, NULL);
    }
}

void tv_stop_install(void)
{
    installed = true;
    put_handlers();
}

// LLVM, in software drivers, puts handlers of its own in front. While one of them runs, a second
// signal ends the process. So ours are put back.
bool tv_stop_requested(void)
{
    if (installed && !stop_flag)
        put_handlers();
    return stop_flag != 0;
}
