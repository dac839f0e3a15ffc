// Faults of a whole process, for tests: TRIVIUM_FAULT=KIND:RANK:STEP makes that rank suffer after
// that step. kill: SIGKILL; stop: SIGSTOP; hang: the main thread does nothing any more; drift: one
// bit of its weights changes.
// (device/device.h has the faults of devices.)
#ifndef TV_BASE_FAULT_H
#define TV_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum tv_fault_kind {
    TV_FAULT_KILL,
    TV_FAULT_STOP,
    TV_FAULT_HANG,
    TV_FAULT_DRIFT
} tv_fault_kind;

typedef struct tv_fault {
    tv_fault_kind kind;
    uint64_t rank, step;
} tv_fault;

// False where `text` (may be NULL) is none of these.
bool tv_fault_parse(const char *text, tv_fault *fault);

// Carries out the fault of the environment, if it is for this rank and step. True: it is one that
// only the caller can carry out, TV_FAULT_DRIFT.
bool tv_fault_strike(uint32_t rank, uint64_t step);

#endif
