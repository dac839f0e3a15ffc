// The curriculum: words and simple grammar.
#include "data/exercise_kinds.h"

#include <string.h>

#define S(i) (slots->s[(i)-1])

// Nouns whose plural follows the rules (s; es after s, x, ch, sh; y to ies after a consonant) and
// whose first letter tells the article.
static const char *const nouns[] = {
    "cat",    "dog",     "hat",    "pen",    "book",   "tree",   "car",    "ship",   "lamp",
    "door",   "desk",    "chair",  "table",  "window", "river",  "stone",  "cloud",  "star",
    "flower", "garden",  "apple",  "orange", "egg",    "ant",    "owl",    "eagle",  "arm",
    "ear",    "eye",     "island", "engine", "oven",   "uncle",  "aunt",   "artist", "actor",
    "animal", "answer",  "idea",   "inch",   "arch",   "box",    "fox",    "tax",    "bus",
    "glass",  "class",   "dress",  "kiss",   "dish",   "brush",  "wish",   "bench",  "beach",
    "watch",  "match",   "peach",  "branch", "lunch",  "church", "baby",   "city",   "lady",
    "story",  "party",   "pony",   "berry",  "cherry", "family", "fly",    "spy",    "puppy",
    "kitty",  "army",    "enemy",  "key",    "boy",    "toy",    "day",    "monkey", "donkey",
    "tray",   "way",     "ray",    "coat",   "shoe",   "sock",   "shirt",  "ring",   "king",
    "queen",  "horse",   "cow",    "duck",   "goat",   "frog",   "bird",   "snake",  "whale",
    "bear",   "lion",    "tiger",  "rabbit", "plant",  "road",   "hill",   "lake",   "boat",
    "train",  "plane",   "wheel",  "school", "friend", "doctor", "nurse",  "farmer", "baker",
    "cook",   "teacher", "singer", "letter", "word",   "page",   "song",   "drum",   "bell",
    "clock",  "spoon",   "fork",   "plate",  "cup",    "bowl",   "basket", "carpet", "mirror",
    "pillow", "ladder",  "hammer", "nail",   "rope",   "bottle", "button", "pocket", "ticket"};

// Verbs whose forms follow the rules (s or es, y to ies; ed, d after e, y to ied).
static const char *const verbs[] = {
    "walk",  "talk",  "jump",   "look",  "cook",  "play",  "help",  "ask",   "open",  "clean",
    "start", "learn", "listen", "paint", "plant", "rain",  "shout", "turn",  "visit", "wait",
    "work",  "climb", "count",  "call",  "bake",  "dance", "like",  "live",  "move",  "smile",
    "use",   "close", "hope",   "love",  "race",  "save",  "carry", "cry",   "dry",   "hurry",
    "marry", "study", "try",    "copy",  "wash",  "watch", "push",  "fix",   "miss",  "kiss",
    "touch", "reach", "match",  "pack",  "kick",  "laugh", "thank", "enjoy", "stay",  "follow"};

typedef struct word_pair {
    const char *from, *to;
} word_pair;

static const word_pair opposites[] = {
    {"hot", "cold"},   {"big", "small"},      {"tall", "short"},  {"fast", "slow"},
    {"old", "young"},  {"good", "bad"},       {"happy", "sad"},   {"wet", "dry"},
    {"hard", "soft"},  {"light", "dark"},     {"open", "closed"}, {"full", "empty"},
    {"early", "late"}, {"rich", "poor"},      {"strong", "weak"}, {"clean", "dirty"},
    {"near", "far"},   {"high", "low"},       {"loud", "quiet"},  {"thick", "thin"},
    {"up", "down"},    {"left", "right"},     {"in", "out"},      {"first", "last"},
    {"day", "night"},  {"yes", "no"},         {"more", "less"},   {"push", "pull"},
    {"win", "lose"},   {"begin", "end"},      {"buy", "sell"},    {"give", "take"},
    {"true", "false"}, {"safe", "dangerous"}, {"wide", "narrow"}, {"deep", "shallow"}};

static const word_pair plurals[] = {
    {"child", "children"},  {"man", "men"},       {"woman", "women"},   {"foot", "feet"},
    {"tooth", "teeth"},     {"goose", "geese"},   {"mouse", "mice"},    {"ox", "oxen"},
    {"sheep", "sheep"},     {"fish", "fish"},     {"deer", "deer"},     {"leaf", "leaves"},
    {"knife", "knives"},    {"wife", "wives"},    {"life", "lives"},    {"wolf", "wolves"},
    {"half", "halves"},     {"shelf", "shelves"}, {"person", "people"}, {"potato", "potatoes"},
    {"tomato", "tomatoes"}, {"hero", "heroes"},   {"thief", "thieves"}, {"loaf", "loaves"}};

static const word_pair pasts[] = {
    {"go", "went"},      {"see", "saw"},       {"eat", "ate"},       {"run", "ran"},
    {"come", "came"},    {"give", "gave"},     {"take", "took"},     {"make", "made"},
    {"have", "had"},     {"do", "did"},        {"say", "said"},      {"write", "wrote"},
    {"drink", "drank"},  {"sing", "sang"},     {"swim", "swam"},     {"begin", "began"},
    {"find", "found"},   {"think", "thought"}, {"bring", "brought"}, {"buy", "bought"},
    {"catch", "caught"}, {"teach", "taught"},  {"sleep", "slept"},   {"keep", "kept"},
    {"feel", "felt"},    {"leave", "left"},    {"lose", "lost"},     {"speak", "spoke"},
    {"break", "broke"},  {"drive", "drove"},   {"ride", "rode"},     {"fly", "flew"},
    {"grow", "grew"},    {"know", "knew"},     {"throw", "threw"},   {"draw", "drew"},
    {"fall", "fell"},    {"hold", "held"},     {"stand", "stood"},   {"tell", "told"},
    {"sit", "sat"},      {"get", "got"},       {"win", "won"},       {"cut", "cut"},
    {"put", "put"},      {"read", "read"},     {"build", "built"},   {"send", "sent"}};

static const struct {
    const char *subject;
    bool one; // takes walks, not walk
} subjects[] = {{"I", false},  {"You", false},  {"We", false},   {"They", false}, {"He", true},
                {"She", true}, {"It", true},    {"Dad", true},   {"Mum", true},   {"Kim", true},
                {"Tom", true}, {"Dogs", false}, {"Cats", false}, {"Men", false},  {"Birds", false}};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

static bool is_vowel(char letter)
{
    return letter && strchr("aeiou", letter) != NULL;
}

static bool ends_y_after_consonant(const char *word)
{
    size_t n = strlen(word);
    return n >= 2 && word[n - 1] == 'y' && !is_vowel(word[n - 2]);
}

// Plural of a regular noun; also the form of a regular verb after he, she, it.
static void append_s_form(const char *word, tv_text *text)
{
    if (ends_y_after_consonant(word)) {
        tv_text_append(text, word, strlen(word) - 1);
        tv_text_puts(text, "ies");
        return;
    }
    bool hisses = tv_ends_with(word, "s") || tv_ends_with(word, "x") || tv_ends_with(word, "z") ||
                  tv_ends_with(word, "ch") || tv_ends_with(word, "sh");
    tv_text_printf(text, "%s%s", word, hisses ? "es" : "s");
}

static void append_past(const char *word, tv_text *text)
{
    size_t n = strlen(word);
    bool y = ends_y_after_consonant(word);
    tv_text_append(text, word, y ? n - 1 : n);
    tv_text_puts(text, y ? "ied" : word[n - 1] == 'e' ? "d" : "ed");
}

static bool is_listed(const char *word, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}

#define IS_LISTED(word, list) is_listed((word), (list), sizeof(list) / sizeof *(list))

static void draw_noun(tv_rng *rng, tv_slots *slots)
{
    tv_set_word(slots, 0, TV_PICK(rng, nouns));
}

static bool solve_plural(const tv_slots *slots, tv_text *solution)
{
    if (!IS_LISTED(S(1), nouns))
        return false;
    append_s_form(S(1), solution);
    return true;
}

static bool solve_article(const tv_slots *slots, tv_text *solution)
{
    if (!IS_LISTED(S(1), nouns))
        return false;
    tv_text_puts(solution, is_vowel(S(1)[0]) ? "an" : "a");
    return true;
}

static void draw_agree(tv_rng *rng, tv_slots *slots)
{
    tv_text form = {0};
    const char *verb = TV_PICK(rng, verbs);
    append_s_form(verb, &form);
    tv_set_word(slots, 0, subjects[tv_rng_below(rng, SUBJECTS)].subject);
    tv_set_word(slots, 1, verb);
    tv_set_word(slots, 2, form.data);
    tv_text_finish(&form);
}

static bool solve_agree(const tv_slots *slots, tv_text *solution)
{
    for (size_t i = 0; i < SUBJECTS; i++)
        if (strcmp(subjects[i].subject, S(1)) == 0) {
            tv_text_puts(solution, subjects[i].one ? S(3) : S(2));
            return true;
        }
    return false;
}

static void draw_past(tv_rng *rng, tv_slots *slots)
{
    tv_set_word(slots, 0, TV_PICK(rng, verbs));
}

static bool solve_past(const tv_slots *slots, tv_text *solution)
{
    if (!IS_LISTED(S(1), verbs))
        return false;
    append_past(S(1), solution);
    return true;
}

static void draw_opposite(tv_rng *rng, tv_slots *slots)
{
    const word_pair *pair = &TV_PICK(rng, opposites);
    tv_set_word(slots, 0, tv_rng_below(rng, 2) ? pair->from : pair->to);
    slots->fact = true;
}

static bool solve_opposite(const tv_slots *slots, tv_text *solution)
{
    for (size_t i = 0; i < sizeof opposites / sizeof *opposites; i++) {
        bool from = strcmp(opposites[i].from, S(1)) == 0;
        if (!from && strcmp(opposites[i].to, S(1)) != 0)
            continue;
        tv_text_puts(solution, from ? opposites[i].to : opposites[i].from);
        return true;
    }
    return false;
}

static bool solve_pair(const word_pair *pairs, size_t count, const char *word, tv_text *solution)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i].from, word) == 0) {
            tv_text_puts(solution, pairs[i].to);
            return true;
        }
    return false;
}

static void draw_irregular_plural(tv_rng *rng, tv_slots *slots)
{
    tv_set_word(slots, 0, TV_PICK(rng, plurals).from);
    slots->fact = true;
}

static bool solve_irregular_plural(const tv_slots *slots, tv_text *solution)
{
    return solve_pair(plurals, sizeof plurals / sizeof *plurals, S(1), solution);
}

static void draw_irregular_past(tv_rng *rng, tv_slots *slots)
{
    tv_set_word(slots, 0, TV_PICK(rng, pasts).from);
    slots->fact = true;
}

static bool solve_irregular_past(const tv_slots *slots, tv_text *solution)
{
    return solve_pair(pasts, sizeof pasts / sizeof *pasts, S(1), solution);
}

static const tv_exercise_kind kinds[] = {
    {"two", "plural", 1, 0, 1, false, TV_PHRASINGS("two $1?"), draw_noun, solve_plural},
    {"plural", "plural", 2, 0, 1, false,
     TV_PHRASINGS("Plural of $1?", "One $1, two ...?", "More than one $1?"), draw_noun,
     solve_plural},
    {"article", "article", 2, 0, 1, false,
     TV_PHRASINGS("a or an: $1?", "Is it a or an $1?", "$1: a or an?"), draw_noun, solve_article},
    {"agree", "agree", 2, 0, 3, false, TV_PHRASINGS("$1 ($2/$3)", "$1: $2 or $3?", "$1 ... $2/$3?"),
     draw_agree, solve_agree},
    {"opposite", "opposite", 2, 0, 1, false,
     TV_PHRASINGS("Opposite of $1?", "Not $1 but ...?", "The opposite of $1?"), draw_opposite,
     solve_opposite},
    {"plural_irregular", "plural", 3, 0, 1, false,
     TV_PHRASINGS("Plural of $1?", "One $1, two ...?", "What is the plural of $1?"),
     draw_irregular_plural, solve_irregular_plural},
    {"past", "past", 3, 0, 1, false,
     TV_PHRASINGS("Past tense of $1?", "Today they $1. Yesterday they ...?"), draw_past,
     solve_past},
    {"past_irregular", "past", 3, 0, 1, false,
     TV_PHRASINGS("Past tense of $1?", "Today they $1. Yesterday they ...?"), draw_irregular_past,
     solve_irregular_past},
};

const tv_exercise_room tv_room_words = {kinds, sizeof kinds / sizeof *kinds};
