// The start of a run, stage by stage: shown while it lasts, and how long each took.
#ifndef TV_TRAIN_STARTUP_H
#define TV_TRAIN_STARTUP_H

#include "base/stage.h"
#include "base/text.h"
#include "report/progress.h"

enum { TV_STARTUP_STAGES = 12 };

typedef struct tv_startup {
    tv_stages stages;      // for whoever works on it
    tv_progress *progress; // shows them; not owned
    double began;
    struct {
        const char *what;
        double since;
    } list[TV_STARTUP_STAGES];
    size_t count;
} tv_startup;

// `startup` must stay where it is.
void tv_startup_begin(tv_startup *startup, tv_progress *progress);

// Appends "ready in 3.9 s: opening data 0.1, opening the device 0.2, ...". It is over.
void tv_startup_summarize(const tv_startup *startup, tv_text *line);

#endif
