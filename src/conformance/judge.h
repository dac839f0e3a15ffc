// Judging: how far a trial's results are from the reference, and whether that is within what
// arithmetic in floats, and rounding to the storage type, explain.
//
// Errors are counted in units in the last place (ULP). For each element it is the unit of values as
// large as the wanted one, or as the root of the mean square of all wanted ones where that is more
// (or of the terms that cancel, where the case says that they do): a sum of terms of the size of 1
// that happens to be 1e-6 cannot be as exact as 1e-6. The unit is that of the tensor's own type,
// but of the storage type where values passed through tensors of that type on their way (the
// gradient of a loss's weight, made from 16-bit logits).
#ifndef TV_CONFORMANCE_JUDGE_H
#define TV_CONFORMANCE_JUDGE_H

#include "conformance/case.h"

// What is known of one output or gradient.
typedef struct tv_verdict {
    bool gradient; // of leaf `index`; else output `index`
    uint32_t index;
    tv_dtype dtype;   // of the tensor
    tv_dtype unit;    // whose ULP
    size_t count;     // elements
    size_t compared;  // of them; 0 where they need only be finite
    double most, rms; // errors in ULP; infinite where something is not finite
    size_t where;     // the element with the largest error
    double got, want; // it, and what it should be; a gradient without what it was added to
    double limit;     // the error in ULP that this element may have
    bool good;
    char why[160]; // what is wrong, empty if good
} tv_verdict;

enum { TV_VERDICTS = TV_CASE_OUTPUTS + TV_CASE_LEAVES };

// Judges every output and every gradient of a result; returns how many there are.
size_t tv_judge(const tv_trial *t, const tv_trial_result *result, tv_verdict verdicts[TV_VERDICTS]);

// "output 0", "gradient of leaf 2".
void tv_verdict_name(const tv_verdict *verdict, char name[32]);

#endif
