// Stop requests: the first signal sets a flag and gives the next one its default effect back.
#include "base/stop.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

static volatile sig_atomic_t stop_flag;

static void on_signal(int number)
{
    (void)number; // SA_RESETHAND: the next one has its default effect
    stop_flag = 1;
}

void tv_stop_install(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR2};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = (int)(SA_RESTART | SA_RESETHAND);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

bool tv_stop_requested(void)
{
    return stop_flag != 0;
}
