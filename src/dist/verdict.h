// What a rank makes of the signs of life of the others: who is lost, and who says so. No clock, no
// network: tests go through all cases.
#ifndef TV_DIST_VERDICT_H
#define TV_DIST_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum { TV_HUBS_MAX = 4 };

// What is known of a rank, this one included. Times are seconds of any one clock.
typedef struct tv_pulse {
    const char *host;
    bool hub;     // hears every rank, and is heard by every rank; others only hear hubs
    bool watched; // signs of life are expected from it
    bool left;    // it said that it ends in order
    bool ended;   // it ended without that
    double heard; // the last time, or when it was found to have ended
    // Its own word on its main thread, as of `heard`: whether it waits for the other ranks, for how
    // long it has waited or done something else, and how often it began to wait.
    bool waiting;
    double since;
    uint64_t waits;
} tv_pulse;

typedef struct tv_watch_limits {
    double silence; // without a sign of life, after which a rank is lost
    double delay;   // for which the others may wait for a rank that lives
} tv_watch_limits;

typedef enum tv_loss {
    TV_LOSS_NONE,
    TV_LOSS_ENDED,  // its process ended
    TV_LOSS_SILENT, // no sign of life
    TV_LOSS_LATE,   // the others wait for it
    TV_LOSS_STUCK,  // all wait for one another
} tv_loss;

typedef struct tv_verdict {
    tv_loss loss;
    uint32_t rank;   // the first that is lost
    uint32_t others; // that are lost as well
    double seconds;  // of silence or delay
} tv_verdict;

// Marks the hubs: the first rank on each of the first TV_HUBS_MAX hosts, and two ranks on one host.
void tv_choose_hubs(tv_pulse *ranks, uint32_t size);

// TV_LOSS_NONE while nobody is lost, and while a hub of a lower rank lives that should say it: for
// that, each of them has a few seconds more than `self`.
tv_verdict tv_find_verdict(const tv_pulse *ranks, uint32_t size, uint32_t self,
                           const tv_watch_limits *limits, double now);

// The line for a verdict.
void tv_verdict_line(const tv_verdict *verdict, const tv_pulse *ranks, char line[512]);

#endif
