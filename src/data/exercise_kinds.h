// The curriculum, inside: what a kind of exercise is made of. Only exercise_*.c and curriculum.c
// include this.
//
// A phrasing is a template: #1 is a number, @1 a number of two digits ("05"), $1 a word or several.
// A kind draws the slots, a phrasing turns them into text; reading goes the other way.
#ifndef TV_DATA_EXERCISE_KINDS_H
#define TV_DATA_EXERCISE_KINDS_H

#include "base/rng.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>

enum { TV_SLOTS = 8, TV_WORD_MAX = 64 };

typedef struct tv_slots {
    long n[TV_SLOTS];              // #1 is n[0]
    char s[TV_SLOTS][TV_WORD_MAX]; // $1 is s[0]
    bool fact;                     // can only be known: never held out
} tv_slots;

typedef struct tv_exercise_kind {
    const char *name;
    const char *topic; // kinds of one topic ask the same problems
    int level;
    int numbers, words; // the first slots of each sort that make the problem; the rest decorates
    bool any_order;     // their order does not matter (7 + 5 is 5 + 7)
    const char *const *phrasings; // NULL ends them
    void (*draw)(tv_rng *rng, tv_slots *slots);
    // Appends the worked solution. false: these slots ask nothing that can be answered.
    bool (*solve)(const tv_slots *slots, tv_text *solution);
} tv_exercise_kind;

typedef struct tv_exercise_room {
    const tv_exercise_kind *kinds;
    size_t count;
} tv_exercise_room;
extern const tv_exercise_room tv_room_numbers, tv_room_measures, tv_room_words, tv_room_logic;

#define TV_PHRASINGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TV_PICK(rng, array) ((array)[tv_rng_below((rng), sizeof(array) / sizeof *(array))])

// Templates.
void tv_template_fill(const char *phrasing, const tv_slots *slots, tv_text *text);
bool tv_template_match(const char *phrasing, const char *text, tv_slots *slots);

// Drawing.
long tv_draw(tv_rng *rng, long low, long high); // both ends included
void tv_set_word(tv_slots *slots, size_t slot, const char *word);
void tv_draw_names(tv_rng *rng, tv_slots *slots, size_t first, size_t count); // all different
void tv_draw_thing(tv_rng *rng, tv_slots *slots, size_t slot);                // a plural: "pens"

// Solutions of one step: "3 * 4 = 12". The operators are + - * /.
void tv_step(tv_text *text, long a, char operation, long b, long result);

// Words for numbers below 10000 ("three hundred and twelve"), and back (-1 if there are none).
void tv_number_words(long number, tv_text *text);
long tv_words_number(const char *words);

#endif
