// Exercises: problems with a known answer, as a list in a file and as a judgement on an answer.
//
// A line of a curriculum is `prompt`, one space, the worked solution, a newline:
//     Q: 7 + 5 = ? A: 12
//     Q: 3 * 4 + 5 = ? A: 3 * 4 = 12, 12 + 5 = 17 #### 17
// `prompt` is everything up to and including "A:". The answer is what follows "#### " where the
// solution has that mark (as in GSM8K), else the whole solution.
#ifndef TV_DATA_EXERCISE_H
#define TV_DATA_EXERCISE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tv_exercise {
    char *kind;   // "add", "plural", ...
    int level;    // from 1, the easiest
    char *prompt; // ends in "A:"
    char *answer; // the final answer, without spaces around it
} tv_exercise;

typedef struct tv_exercises {
    tv_exercise *items;
    size_t count, capacity;
} tv_exercises;

// Reads a JSONL file: one object per line with "kind", "level", "prompt" and "answer"; other keys
// and empty lines are passed over. TV_EIO, or TV_EFORMAT naming the line; TV_EDATA if none is left.
tv_err tv_exercises_load(const char *path, tv_exercises *exercises);
// The same from memory; `name` stands in error lines.
tv_err tv_exercises_parse(const char *name, const uint8_t *data, size_t size,
                          tv_exercises *exercises);
void tv_exercises_finish(tv_exercises *exercises); // frees, and writes {0}

// The final answer in a solution: `*length` bytes inside `text`.
const char *tv_exercise_final(const char *text, size_t *length);

// Whether what a model wrote behind the prompt (up to a newline, if there is one) ends in `answer`
// exactly.
bool tv_exercise_match(const char *written, const char *answer);

#endif
