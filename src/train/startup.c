// The start of a run, stage by stage.
#include "train/startup.h"

#include "base/clock.h"

#include <string.h>

// One that comes again goes on under its name.
static void hear(void *context, const char *what, size_t done, size_t total)
{
    tv_startup *s = context;
    bool begins = s->count == 0 || strcmp(s->list[s->count - 1].what, what) != 0;
    if (begins && s->count < TV_STARTUP_STAGES) {
        s->list[s->count].what = what;
        s->list[s->count++].since = tv_now_seconds();
    }
    tv_progress_stage(s->progress, what, done, total);
}

void tv_startup_begin(tv_startup *startup, tv_progress *progress)
{
    *startup = (tv_startup){.progress = progress, .began = tv_now_seconds()};
    startup->stages = (tv_stages){hear, startup};
}

void tv_startup_summarize(const tv_startup *startup, tv_text *line)
{
    double now = tv_now_seconds();
    tv_text_printf(line, "ready in %.1f s:", now - startup->began);
    for (size_t i = 0; i < startup->count; i++) {
        double end = i + 1 < startup->count ? startup->list[i + 1].since : now;
        tv_text_printf(line, "%s %s %.1f", i > 0 ? "," : "", startup->list[i].what,
                       end - startup->list[i].since);
    }
}
