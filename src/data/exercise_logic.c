// The curriculum: order, membership and syllogisms.
#include "data/exercise_kinds.h"

#include <string.h>

#define S(i) (slots->s[(i)-1])

static const struct {
    const char *more, *less, *most, *least;
} orders[] = {{"taller", "shorter", "tallest", "shortest"},
              {"older", "younger", "oldest", "youngest"},
              {"faster", "slower", "fastest", "slowest"},
              {"heavier", "lighter", "heaviest", "lightest"}};
enum { ORDERS = sizeof orders / sizeof *orders };

static const struct {
    const char *name, *members[8];
} classes[] = {
    {"animals", {"dog", "cat", "horse", "cow", "lion", "goat", "bear", "fox"}},
    {"fruits", {"apple", "pear", "plum", "cherry", "lemon", "grape", "peach", "melon"}},
    {"colours", {"red", "blue", "green", "yellow", "brown", "black", "white", "pink"}},
    {"tools", {"hammer", "saw", "drill", "axe", "spade", "rake", "file", "wrench"}},
    {"clothes", {"shirt", "sock", "coat", "hat", "scarf", "glove", "skirt", "belt"}},
    {"numbers", {"two", "five", "seven", "ten", "eleven", "six", "three", "nine"}},
};
enum { CLASSES = sizeof classes / sizeof *classes, MEMBERS = 8 };

// Things and what they all are, for syllogisms: "All cats are animals." "Rex is a cat."
static const struct {
    const char *one, *many;
} sorts[] = {{"cat", "cats"},     {"dog", "dogs"},     {"bird", "birds"},     {"poet", "poets"},
             {"baker", "bakers"}, {"robot", "robots"}, {"wug", "wugs"},       {"blick", "blicks"},
             {"pilot", "pilots"}, {"dax", "daxes"},    {"singer", "singers"}, {"fep", "feps"}};
static const char *const traits[] = {"green", "kind", "brave", "tall", "fast",  "wise",
                                     "loud",  "calm", "rich",  "shy",  "funny", "old"};

static void draw_order(tv_rng *rng, tv_slots *slots)
{
    size_t which = tv_rng_below(rng, ORDERS);
    tv_draw_names(rng, slots, 0, 2);
    tv_set_word(slots, 2, tv_rng_below(rng, 2) ? orders[which].more : orders[which].less);
    tv_set_word(slots, 3, tv_rng_below(rng, 2) ? orders[which].more : orders[which].less);
}

// 1 for more, -1 for less, 0 where the words do not belong to one order.
static int same_direction(const char *said, const char *asked, bool superlative)
{
    for (size_t i = 0; i < ORDERS; i++) {
        const char *most = superlative ? orders[i].most : orders[i].more;
        const char *least = superlative ? orders[i].least : orders[i].less;
        bool more = strcmp(said, orders[i].more) == 0, less = strcmp(said, orders[i].less) == 0;
        if (!more && !less)
            continue;
        if (strcmp(asked, most) == 0)
            return more ? 1 : -1;
        if (strcmp(asked, least) == 0)
            return less ? 1 : -1;
    }
    return 0;
}

static bool solve_order(const tv_slots *slots, tv_text *solution)
{
    int direction = same_direction(S(3), S(4), false);
    tv_text_puts(solution, direction > 0 ? S(1) : S(2));
    return direction != 0 && strcmp(S(1), S(2)) != 0;
}

static void draw_chain(tv_rng *rng, tv_slots *slots, size_t length)
{
    size_t which = tv_rng_below(rng, ORDERS);
    tv_draw_names(rng, slots, 0, length);
    tv_set_word(slots, length, tv_rng_below(rng, 2) ? orders[which].more : orders[which].less);
    tv_set_word(slots, length + 1, tv_rng_below(rng, 2) ? orders[which].most : orders[which].least);
}

static void draw_chain3(tv_rng *rng, tv_slots *slots)
{
    draw_chain(rng, slots, 3);
}

static bool solve_chain3(const tv_slots *slots, tv_text *solution)
{
    int direction = same_direction(S(4), S(5), true);
    tv_text_puts(solution, direction > 0 ? S(1) : S(3));
    return direction != 0;
}

static void draw_chain4(tv_rng *rng, tv_slots *slots)
{
    draw_chain(rng, slots, 4);
}

static bool solve_chain4(const tv_slots *slots, tv_text *solution)
{
    int direction = same_direction(S(5), S(6), true);
    const char *const up[] = {S(1), S(2), S(3), S(4)};
    for (int i = 0; i < 4; i++)
        tv_text_printf(solution, "%s%s", i ? ", " : "", up[direction > 0 ? 3 - i : i]);
    tv_text_printf(solution, " #### %s", direction > 0 ? S(1) : S(4));
    return direction != 0;
}

static void draw_odd_one(tv_rng *rng, tv_slots *slots)
{
    uint64_t key = tv_rng_u32(rng), inner = tv_rng_u32(rng);
    size_t most = tv_permute(0, CLASSES, key), other = tv_permute(1, CLASSES, key);
    size_t odd = tv_rng_below(rng, 4), drawn = 0;
    for (size_t i = 0; i < 4; i++)
        tv_set_word(slots, i,
                    i == odd ? classes[other].members[tv_rng_below(rng, MEMBERS)]
                             : classes[most].members[tv_permute(drawn++, MEMBERS, inner)]);
}

static int find_class(const char *word)
{
    for (int i = 0; i < CLASSES; i++)
        for (int j = 0; j < MEMBERS; j++)
            if (strcmp(classes[i].members[j], word) == 0)
                return i;
    return -1;
}

static bool solve_odd_one(const tv_slots *slots, tv_text *solution)
{
    int odd = -1, class[4];
    for (int i = 0; i < 4; i++)
        class[i] = find_class(slots->s[i]);
    for (int i = 0; i < 4; i++) {
        int alike = 0;
        for (int j = 0; j < 4; j++)
            alike += class[i] == class[j];
        if (class[i] < 0 || alike == 2)
            return false;
        if (alike == 1)
            odd = i;
    }
    if (odd < 0)
        return false;
    tv_text_puts(solution, slots->s[odd]);
    return true;
}

static void draw_belongs(tv_rng *rng, tv_slots *slots)
{
    size_t class = tv_rng_below(rng, CLASSES);
    tv_set_word(slots, 0, classes[class].members[tv_rng_below(rng, MEMBERS)]);
    tv_set_word(slots, 1, classes[tv_rng_below(rng, 2) ? class : tv_rng_below(rng, CLASSES)].name);
    slots->fact = true;
}

static bool solve_belongs(const tv_slots *slots, tv_text *solution)
{
    int class = find_class(S(1));
    if (class < 0)
        return false;
    tv_text_puts(solution, strcmp(classes[class].name, S(2)) == 0 ? "yes" : "no");
    return true;
}

// $1 All or No, $2 cats, $3 green, $4 a name; $5 is what is said of the name, $6 what is asked:
// "a cat" and "green", or the other way round, from where nothing follows if all cats are green.
static void draw_inference_from(tv_rng *rng, tv_slots *slots, bool forward)
{
    size_t sort = tv_rng_below(rng, sizeof sorts / sizeof *sorts);
    tv_text member = {0};
    tv_text_printf(&member, "a %s", sorts[sort].one);
    tv_set_word(slots, 0, tv_rng_below(rng, 2) ? "All" : "No");
    tv_set_word(slots, 1, sorts[sort].many);
    tv_set_word(slots, 2, TV_PICK(rng, traits));
    tv_draw_names(rng, slots, 3, 1);
    tv_set_word(slots, forward ? 4 : 5, member.data);
    tv_set_word(slots, forward ? 5 : 4, S(3));
    tv_text_finish(&member);
}

static void draw_syllogism(tv_rng *rng, tv_slots *slots)
{
    draw_inference_from(rng, slots, true);
}

static void draw_inference(tv_rng *rng, tv_slots *slots)
{
    draw_inference_from(rng, slots, tv_rng_below(rng, 2) == 0);
}

static bool solve_inference(const tv_slots *slots, tv_text *solution)
{
    bool all = strcmp(S(1), "All") == 0, forward = strcmp(S(6), S(3)) == 0;
    tv_text_puts(solution, !all ? "no" : forward ? "yes" : "not certain");
    return all || strcmp(S(1), "No") == 0;
}

static const tv_exercise_kind kinds[] = {
    {"order", "order", 3, 0, 4, false,
     TV_PHRASINGS("$1 is $3 than $2. Who is $4?", "If $1 is $3 than $2, who is $4?"), draw_order,
     solve_order},
    {"chain", "chain", 3, 0, 5, false,
     TV_PHRASINGS("$1 is $4 than $2. $2 is $4 than $3. Who is the $5?",
                  "$2 is $4 than $3 and $1 is $4 than $2. Who is the $5?"),
     draw_chain3, solve_chain3},
    {"odd_one", "odd_one", 3, 0, 4, true,
     TV_PHRASINGS("Which does not belong: $1, $2, $3, $4?", "Odd one out: $1, $2, $3, $4?"),
     draw_odd_one, solve_odd_one},
    {"belongs", "belongs", 3, 0, 2, false,
     TV_PHRASINGS("Does $1 belong to the $2?", "Is $1 among the $2?"), draw_belongs, solve_belongs},
    {"syllogism", "inference", 3, 0, 6, false, TV_PHRASINGS("$1 $2 are $3. $4 is $5. Is $4 $6?"),
     draw_syllogism, solve_inference},
    {"chain_long", "chain_long", 4, 0, 6, false,
     TV_PHRASINGS("$1 is $5 than $2. $3 is $5 than $4. $2 is $5 than $3. Who is the $6?",
                  "$3 is $5 than $4, $2 is $5 than $3, $1 is $5 than $2. Who is the $6?"),
     draw_chain4, solve_chain4},
    {"inference", "inference", 4, 0, 6, false,
     TV_PHRASINGS("$1 $2 are $3. $4 is $5. Is $4 $6?",
                  "Suppose: $1 $2 are $3. We know that $4 is $5. Is $4 $6?"),
     draw_inference, solve_inference},
};

const tv_exercise_room tv_room_logic = {kinds, sizeof kinds / sizeof *kinds};
