// Faults of a whole process, for tests of what the other ranks make of them.
#include "base/fault.h"

#include "base/text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const kinds[] = {"kill:", "stop:", "hang:", "drift:"};

bool tv_fault_parse(const char *text, tv_fault *fault)
{
    char rank[24];
    for (int kind = 0; text && kind < 4; kind++) {
        if (!tv_starts_with(text, kinds[kind]))
            continue;
        const char *after = text + strlen(kinds[kind]), *colon = strchr(after, ':');
        if (!colon || (size_t)(colon - after) >= sizeof rank)
            return false;
        snprintf(rank, sizeof rank, "%.*s", (int)(colon - after), after);
        fault->kind = (tv_fault_kind)kind;
        return tv_parse_u64(rank, &fault->rank) && tv_parse_u64(colon + 1, &fault->step);
    }
    return false;
}

bool tv_fault_strike(uint32_t rank, uint64_t step)
{
    tv_fault fault;
    if (!tv_fault_parse(getenv("TRIVIUM_FAULT"), &fault) || fault.rank != rank ||
        fault.step != step)
        return false;
    if (fault.kind == TV_FAULT_HANG)
        for (;;)
            pause();
    if (fault.kind == TV_FAULT_DRIFT)
        return true;
    kill(getpid(), fault.kind == TV_FAULT_KILL ? SIGKILL : SIGSTOP);
    return false;
}
