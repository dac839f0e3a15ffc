// The embedded curriculum: graded exercises that Trivium makes from a seed, with worked answers.
//
// Split: a problem is held out (for validation) by a hash of what it asks, not of how it asks it:
// about one in ten of each topic's problems, the same ones for every seed. Training text contains
// no held-out problem in any phrasing, and no worked step that states a held-out sum, difference,
// product or quotient. Facts that can only be known (opposites, irregular forms, the day after
// Monday, the words for 0 to 20 and the tens) are never held out, and so never examined.
#ifndef TV_DATA_CURRICULUM_H
#define TV_DATA_CURRICULUM_H

#include "base/error.h"
#include "base/rng.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Lines of level 1 are at most this long, newline included: for a model of a few minutes.
enum { TV_CURRICULUM_LEVEL1_LINE = 40 };

size_t tv_curriculum_kinds(void);
int tv_curriculum_levels(void);
const char *tv_curriculum_kind_name(size_t kind); // unique
int tv_curriculum_kind_level(size_t kind);

// One generated problem; the line of exercise.h is prompt, a space, solution.
typedef struct tv_problem {
    tv_text prompt, solution;
    tv_text content;      // what it asks: equal for all phrasings of the same problem
    bool held_out;        // belongs to validation
    bool states_held_out; // a worked step gives away another held-out problem
} tv_problem;
void tv_curriculum_generate(size_t kind, tv_rng *rng, tv_problem *problem); // problem is reused
void tv_problem_finish(tv_problem *problem);

// Whether `answer` (a solution or a final answer) answers `prompt`, a prompt of that kind: the
// problem is read back from the text and solved again. False if the prompt is not understood.
bool tv_curriculum_check(const char *kind, const char *prompt, const char *answer);

typedef struct tv_curriculum_options {
    uint64_t size; // bytes of train.txt, at most; at least TV_CURRICULUM_SIZE_MIN
    uint64_t seed;
    int level; // 0: all
} tv_curriculum_options;
enum { TV_CURRICULUM_SIZE_MIN = 4096 };

typedef struct tv_curriculum_summary {
    uint64_t train_bytes, train_lines, val_bytes, val_lines;
    size_t exercises, kinds;
} tv_curriculum_summary;

// Writes DIR/train.txt, val.txt, exercises.jsonl (held-out problems, each once) and README.txt.
// The same options give the same bytes. TV_EUSAGE for options that cannot be meant; on failure
// none of the files is changed that was not complete.
tv_err tv_curriculum_write(const char *directory, const tv_curriculum_options *options,
                           tv_curriculum_summary *summary);

#endif
